"""`pynomaly up --live`: files become scores without a hand on them, the UIs show it, and one Ctrl-C ends it all."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pynomaly_pipelines.operations.errors import TableError
from pynomaly_pipelines.resources.tables import Lake
from tests.end_to_end.conftest import day_of_rows
from tests.servers import free_port

COMMAND = Path(sys.executable).parent / "pynomaly"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Up:
    """A running `pynomaly up --live`."""

    def __init__(self, project: Path, environment: dict[str, str]) -> None:
        self.project = project
        self.log = project / "up.log"
        ports = ["--port", str(free_port()), "--mlflow-port", str(free_port()), "--api-port", str(free_port())]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [COMMAND, "up", "--live", *ports], cwd=project, env=environment, stdout=out, stderr=subprocess.STDOUT
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_until(self, ready: Callable[[], bool], seconds: float, what: str) -> float:
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            if ready():
                return time.monotonic() - started
            assert self.process.poll() is None, self.said()
            time.sleep(0.5)
        logs = "\n".join(p.read_text()[-2000:] for p in (self.project / ".pynomaly" / "logs").glob("*.log"))
        raise AssertionError(f"{what} did not happen within {seconds} s\n{self.said()}\n{logs}")

    def urls(self) -> list[str]:
        return re.findall(r"http://127\.0\.0\.1:\d+", self.said())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def up(own_project: Path, environment: dict[str, str], drop: Callable[[int], None]) -> Iterator[Up]:
    for day in range(1, 8):
        drop(day)
    running = Up(own_project, environment)
    yield running
    if running.process.poll() is None:
        running.stop()


def scored(lake: Lake) -> dict[str, int]:
    try:
        return lake.counts("orders", "scores")
    except TableError:
        return {}


def test_from_files_to_scores_without_a_hand(up: Up, drop: Callable[[int], None]) -> None:
    lake = Lake(str(up.project / ".pynomaly" / "lake"))
    up.wait_until(lambda: len(up.urls()) == 4, 240, "start")

    # Seven days lie there: ingested, a model trained, judged, promoted, and every day scored.
    first_week = {f"2025-03-{day:02}": 120 for day in range(1, 8)}
    up.wait_until(lambda: scored(lake) == first_week, 360, "the first scores")

    drop(8)
    up.wait_until(lambda: "2025-03-08" in scored(lake), 180, "the score of a new file")
    rows = lake.read("orders", "scores", partitions=["2025-03-08"]).to_pandas()
    assert len(rows) == len(day_of_rows(8))
    worst = rows.sort_values("score").iloc[-1]
    assert worst["id"] == 8119
    assert bool(worst["is_anomaly"])
    assert worst["reasons"][0]["column"] in ("amount", "items")

    look_at(up)
    children = descendants(up.process.pid)
    assert up.stop() == 0
    assert not [pid for pid in children if alive(pid)]


def look_at(up: Up) -> None:
    """The graph in the Dagster UI and the model in the MLflow UI, in a real browser."""
    if CHROMIUM is None:
        return
    from playwright.sync_api import sync_playwright

    dagster, mlflow, docs, api = up.urls()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.goto(f"{dagster}/locations/pynomaly_pipelines/asset-groups/orders")
        for noun in ("source", "raw", "validated", "quarantine", "model", "evaluation", "champion", "scores"):
            page.get_by_text(noun, exact=True).first.wait_for(timeout=60_000)
        page.goto(f"{mlflow}/#/models/orders")
        page.get_by_text("champion").first.wait_for(timeout=60_000)
        page.goto(f"{docs}/orders/index.html")
        page.get_by_role("link").first.click()
        page.get_by_role("heading", name="Expectations").wait_for(timeout=60_000)
        page.goto(f"{api}/docs")
        page.get_by_role("heading", name="Pynomaly Pipelines API").wait_for(timeout=60_000)
        browser.close()


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
