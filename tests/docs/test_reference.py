"""The reference pages say what the code says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES: dict[str, str] = runpy.run_path(str(DOCS / "generate.py"))["pages"]()


@pytest.mark.parametrize("file", sorted(PAGES))
def test_page_is_what_the_code_makes(file: str) -> None:
    assert (DOCS / "reference" / file).read_text(encoding="utf-8") == PAGES[file], "run `python docs/generate.py`"


def test_every_setting_and_key_has_a_meaning() -> None:
    for file in ("settings.md", "pipeline.md", "errors.md"):
        assert "| |\n" not in PAGES[file]
