"""docs/tutorial.md, followed to the letter in an empty project."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
START = date(2025, 3, 1)
ROWS = 120


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the page's second pipeline and five days of orders; the last day has two faults."""
    project = tmp_path_factory.mktemp("shop")
    (project / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "shop"\n', encoding="utf-8")
    defs = project / "shop" / "defs" / "orders" / "defs.yaml"
    defs.parent.mkdir(parents=True)
    defs.write_text(_yaml_with("max_quarantined"), encoding="utf-8")
    for number in range(5):
        _write_day(project, START + timedelta(days=number))
    faulty = project / "landing" / "orders" / "2025-03-05.csv"
    lines = faulty.read_text(encoding="utf-8").splitlines()
    without_amount = re.sub(r"[^,]*(,[^,]*)$", r"\1", lines[5])
    faulty.write_text("\n".join([*lines[:5], without_amount, *lines[6:], lines[-1]]) + "\n", encoding="utf-8")
    return project


def _yaml_with(word: str) -> str:
    blocks = re.findall(r"^```yaml[^\n]*\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if word in block)


def _write_day(project: Path, day: date) -> None:
    header = re.search(r"^order_id,.*$", PAGE, flags=re.MULTILINE)
    assert header is not None
    dice = random.Random(day.toordinal())
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    file = project / "landing" / "orders" / f"{day}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(header.group().split(","))
        for number in range(ROWS):
            at = midnight + timedelta(minutes=10 * number + dice.randrange(10))
            items = dice.randint(1, 6)
            amount = round(items * dice.uniform(8, 30), 2)
            country = dice.choice(["DE", "FR", "NL"])
            writer.writerow([day.toordinal() * 1000 + number, f"{at:%Y-%m-%dT%H:%M:%SZ}", country, items, amount, 4.95])


def _pynomaly(project: Path, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("pynomaly")), *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYNOMALY_", "DAGSTER_"))}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _scores(project: Path, *options: str) -> list[dict[str, Any]]:
    lines = _pynomaly(project, "scores", "orders", "--format", "json", *options).splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_check_run_and_scores(shop: Path) -> None:
    assert "no problems" in _pynomaly(shop, "check")
    _pynomaly(shop, "run", "orders")
    scores = _scores(shop)
    # One row without an amount, one with the key of another.
    assert len(scores) == 5 * ROWS - 1
    assert all(0 <= row["score"] <= 1 for row in scores)

    _write_day(shop, START + timedelta(days=5))
    for _ in range(2):
        _pynomaly(shop, "run", "orders", "--partition", "2025-03-06")
    assert len(_scores(shop)) == 6 * ROWS - 1
    assert len(_scores(shop, "--top", "10")) == 10
