"""The parts of the serving benchmark that its figures rest on."""

from __future__ import annotations

import json
import os
import sys

import pyarrow as pa
import pytest

from benchmarks.serving import BASELINES, Window, loads, ratios, started, tree_seconds
from tests.servers import free_port


def test_ratios_are_of_the_same_round_and_leave_out_a_starved_one() -> None:
    ours = [Window(100, 2.0, 0.1, 0), Window(300, 2.0, 0.3, 0), Window(50, 2.0, 0.1, 0)]
    theirs = [Window(10, 2.0, 0.1, 0), Window(20, 2.0, 0.2, 0), Window(0, 2.0, 0.1, 0)]
    # 10 and 15 times the requests; 10 ms to 1 ms both times.
    assert ratios(ours, theirs) == (pytest.approx(12.5), pytest.approx(10.0))


def test_processor_time_grows_with_work() -> None:
    before = tree_seconds(os.getpid())
    total = 0
    while tree_seconds(os.getpid()) - before < 0.05:
        total += sum(range(10_000))
    assert total > 0


def test_all_forms_ask_for_the_same_rows() -> None:
    asked = loads(1000, 1)
    assert [load.name for load in asked["ours"]] == ["1000 × 1 clients, JSON", "1000 × 1 clients, Arrow"]
    assert pa.ipc.open_stream(asked["ours"][1].body).read_all().num_rows == 1000
    assert {asked[name][0].name for name in BASELINES} == {"1000 × 1 clients"}
    assert len(json.loads(asked[BASELINES[0]][0].body)["dataframe_split"]["data"]) == 1000


def test_what_a_server_said_is_told_when_it_does_not_start() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with (
        pytest.raises(SystemExit, match="fails did not start:\nno such model"),
        started("fails", command, free_port(), "/", {}),
    ):
        pass
