"""Incidents, failures and notices -> messages that say the same in text and in HTML, and nothing that values inject."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynomaly_pipelines.operations.redaction import remember
from pynomaly_pipelines.resources.notifications import Picture
from pynomaly_pipelines.stages.incidents.incident import Incident, Reason, Sample
from pynomaly_pipelines.stages.notifications.marks import Notice
from pynomaly_pipelines.stages.notifications.messages import (
    Failure,
    about_failures,
    about_incidents,
    about_notices,
    joined,
    plain,
)
from tests.small_pipelines import spec

SPEC = spec(timezone="America/New_York")
URL = "https://watch.example"
NOON = datetime(2025, 7, 1, 12, tzinfo=UTC)
REASON = Reason("amount", 2, "900", "10 … 80", 0.8)
SAMPLE = Sample(NOON, "id=7", "in/a.csv:3", 0.9, "amount = 900")
INCIDENT = Incident(
    "1a2b3c", "shop", "country=DE", NOON, NOON, NOON, 0.9, 2, "high", (REASON,), (SAMPLE,), ("2025-07-01",), 1
)


class Tags(HTMLParser):
    """All tags of a page, with their addresses, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str | None] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name == "href"]
        assert {name for name, _ in attrs} <= {"href"}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_an_incident_as_people_read_it() -> None:
    message = about_incidents(SPEC, [INCIDENT], [Picture("1a2b3c.png", b"")], URL)
    assert message.title == "shop: 2 anomalies of country=DE: amount = 900 (usually 10 … 80)"
    assert message.text.splitlines() == [
        "shop: 2 anomalies of country=DE: amount = 900 (usually 10 … 80)",
        # 12:00 UTC is 08:00 in New York in summer.
        "- 2025-07-01 08:00 America/New_York, peak 2025-07-01 08:00, score 0.9000",
        "- amount = 900 (usually 10 … 80) in 2 of 2 rows",
        "- e.g. 2025-07-01 08:00 id=7 (in/a.csv:3)",
        "- incident 1a2b3c: pynomaly incidents shop 1a2b3c",
        "https://watch.example/assets/shop/incidents",
    ]
    page = Tags(message.html)
    assert page.addresses == ["https://watch.example/assets/shop/incidents"]
    # A mail program that shows no HTML keeps the text alone: the address is in it.
    assert "https://watch.example/assets/shop/incidents" in page.text


def test_many_incidents_are_listed_shorter_and_then_counted() -> None:
    many = [replace(INCIDENT, id=f"{n:04}", score=n / 100) for n in range(53)]
    message = about_incidents(SPEC, many, [], URL)
    assert message.title == "shop: 53 incidents"
    assert message.text.count("peak ") == 5
    assert message.text.count("score 0.5200") == 1
    assert message.text.endswith("and 3 more\n- pynomaly incidents shop")


def test_failures_say_what_was_not_made_and_why_and_no_secret() -> None:
    remember("hunter2hunter2")
    refused = tuple(f"2025-07-{day:02}: 40 % of the rows broke a rule" for day in range(1, 8))
    message = about_failures(
        SPEC,
        [Failure("run-one-of-many", "password hunter2hunter2 was refused.", "raw of 2025-07-01 … 2025-07-07", refused)],
        URL,
    )
    assert message.title == "shop: a run failed"
    assert message.text.splitlines()[0] == "raw of 2025-07-01 … 2025-07-07 (run run-one-)"
    assert "hunter2" not in message.text + message.html
    assert message.text.count("broke a rule") == 5
    assert "- and 2 more\nhttps://watch.example/runs/run-one-of-many" in message.text


def test_several_kinds_are_one_message() -> None:
    notice = Notice("drift", "1/a", "shop: drift that lasts: amount", ("3 partitions in a row",), "drift")
    one = about_incidents(SPEC, [INCIDENT], [Picture("1a2b3c.png", b"x")], URL)
    two = about_notices(SPEC, [notice], URL)
    both = joined([one, two])
    assert both.title == f"{one.title}; shop: drift that lasts: amount"
    assert both.pictures == one.pictures
    assert two.text == f"shop: drift that lasts: amount\n- 3 partitions in a row\n{URL}/assets/shop/drift"
    assert about_notices(SPEC, [notice, notice], URL).title == "shop: 2 notices"


@pytest.mark.parametrize(
    "value",
    [
        "<script>alert(1)</script>",
        "x\r\nBcc: all@example.org",
        "<!channel> <@U123> @everyone",
        "[click](https://evil.example)",
        "<https://evil.example|bank>",
        "a\u202egnp.exe\u2028next",
        '" onmouseover="alert(1)',
    ],
)
def test_values_stay_text(value: str) -> None:
    evil = replace(
        INCIDENT, entity=value, reasons=(replace(REASON, value=value),), samples=(replace(SAMPLE, row=value),)
    )
    message = about_incidents(SPEC, [evil], [], URL)
    assert set(Tags(message.html).tags) <= {"h3", "ul", "li", "p", "a"}
    assert "\n" not in message.title
    assert "\r" not in message.title
    for found in (message.title, message.text, message.html):
        assert not re.search(r"<http|<!channel|<@U|@everyone|\]\(|\u202e|\u2028", found)


@given(st.text())
def test_any_value_is_one_short_line(value: str) -> None:
    found = plain(value)
    assert len(found.splitlines()) <= 1
    assert len(found.replace("\u200b", "")) <= 200
