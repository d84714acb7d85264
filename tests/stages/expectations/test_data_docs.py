"""Data Docs: what a validation found, read back from the pages as a browser would read them."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from pynomaly_pipelines.resources.docs import DataDocs
from pynomaly_pipelines.stages.expectations.data_docs import index_page, partition_page, write_docs
from tests.small_pipelines import spec
from tests.stages.landing_zone import Zone

Make = Callable[..., Zone]
DAY, NEXT = "2025-01-01", "2025-01-02"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Cells of the tables, links, and everything that a browser would fetch; unbalanced tags are a fault."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "a":
            self.links.append(given["href"] or "")
        elif "src" in given or "href" in given or tag in ("script", "link", "img"):
            self.fetched.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.rows and {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


@pytest.fixture
def shop(zone: Make) -> Zone:
    return zone(
        validation={"max_quarantined": 0.5, "docs": 2},
        expectations=[
            {"expect_column_values_to_be_in_set": {"column": "item", "value_set": ["apple", "<b>pear</b>"]}},
            {"expect_column_values_to_be_between": {"column": "amount", "max_value": 5, "severity": "warn"}},
            {"expect_table_row_count_to_be_between": {"min_value": 1}},
        ],
    )


def drop(shop: Zone, day: str, *lines: str) -> None:
    shop.drop(f"{day}.csv", "\n".join(["at,item,amount", *(f"{day} 10:00,{line}" for line in lines)]) + "\n")
    shop.ingest(day)


def test_a_page_says_what_was_expected_and_what_was_found(shop: Zone) -> None:
    drop(shop, DAY, "apple,1", "<i>fig</i>,9", "<b>pear</b>,2")
    html = partition_page(shop.spec, shop.validate(DAY), DAY)
    page = Page(html)
    in_set = "expect_column_values_to_be_in_set(item, value_set=['apple', '<b>pear</b>'])"
    assert page.rows == [
        ["", "expectation", "severity", "unexpected", "share", "seen"],
        ["✗", in_set, "error", "1 of 3", "33.33%", "'<i>fig</i>'"],
        ["!", "expect_column_values_to_be_between(amount, max_value=5)", "warn", "1 of 3", "33.33%", "9"],
        ["✓", "expect_table_row_count_to_be_between(min_value=1)", "error", "", "", "2"],
        ["reason", "rows"],
        [in_set, "1"],
    ]
    assert "Accepted." in html
    assert "2 of 3 rows are valid; 1 (33.33%) are quarantined." in html
    assert page.fetched == []


def test_a_refused_partition_says_why(shop: Zone) -> None:
    drop(shop, DAY, "fig,1", "fig,2", "apple,1")
    page = Page(partition_page(shop.spec, shop.validate(DAY), DAY))
    assert page.rows[1][:2] == ["validation.max_quarantined is 50.0%", "2 of 3 rows (66.7%) are quarantined"]
    assert ["partition refused", "3"] in page.rows


def test_pages_of_a_range_are_listed_and_the_oldest_go(shop: Zone, tmp_path: Path) -> None:
    docs = DataDocs(tmp_path / "docs")
    days = [DAY, NEXT, "2025-01-03"]
    for day in days:
        drop(shop, day, "apple,1", "fig,9")
    url = write_docs(shop.spec, shop.validate(*days), docs)
    assert url == docs.path("shop").as_uri()
    assert sorted(p.name for p in docs.path("shop").parent.glob("*.html")) == [
        "2025-01-02.html", "2025-01-03.html", "index.html",
    ]  # fmt: skip
    index = Page(docs.path("shop").read_text(encoding="utf-8"))
    assert index.rows[1:] == [[m, d, "2", "1", "1 of 3", "1 of 3"] for m, d in (("✓", days[2]), ("✓", NEXT))]
    assert [docs.path("shop").parent / unquote(link) for link in index.links] == [
        docs.path("shop", d) for d in days[:0:-1]
    ]
    # Validated again, a page says what is so now.
    drop(shop, NEXT, "apple,1")
    assert write_docs(shop.spec, shop.validate(NEXT), docs) == docs.url("shop", NEXT)
    assert Page(docs.path("shop").read_text(encoding="utf-8")).rows[2] == ["✓", NEXT, "1", "0", "0 of 3", "0 of 3"]


def test_no_pages_are_kept_if_none_are_wanted(zone: Make, tmp_path: Path) -> None:
    shop = zone(validation={"docs": 0})
    drop(shop, DAY, "apple,1")
    assert write_docs(shop.spec, shop.validate(DAY), DataDocs(tmp_path / "docs")) is None
    assert not (tmp_path / "docs").exists()


def test_addresses_and_names_of_files(tmp_path: Path) -> None:
    key = "2025-01-01-05:00"
    served = DataDocs(tmp_path, "http://docs.example:5050/")
    assert served.url("shop", key) == "http://docs.example:5050/shop/2025-01-01-05%253A00.html"
    assert served.path("shop", key).name == "2025-01-01-05%3A00.html"
    assert unquote(DataDocs(tmp_path).url("shop", key)).endswith("/shop/2025-01-01-05%3A00.html")
    entry = {
        "partition": key,
        "refused": False,
        "valid": 1,
        "quarantined": 0,
        "expectations": 0,
        "errors": 0,
        "warnings": 0,
    }

    (link,) = Page(index_page(spec(), [entry])).links
    assert unquote(link) == served.path("shop", key).name
