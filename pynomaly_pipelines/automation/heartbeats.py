"""A run's process shows that it is alive, and is told when its run was given to another.

A worker that was killed with its machine says nothing; a paused one wakes up and writes over what its successor did.
So a run's process writes a sign of life into its run's tags while it works on a step, and asks before each commit
whether the run is still its own (a fencing check; M. Kleppmann, *How to do distributed locking*, 2016).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from pynomaly_pipelines.operations.errors import RunSuperseded
from pynomaly_pipelines.operations.faults import Fault, fault_of

BEAT_TAG = "pynomaly/heartbeat"

_last: dict[str, float] = {}


@contextmanager
def alive(instance: dg.DagsterInstance, run_id: str, seconds: float) -> Iterator[None]:
    """Signs of life while the block works: one at once, if the last is `seconds` old, and then at that interval."""
    ended = threading.Event()
    if time.monotonic() - _last.get(run_id, -seconds) >= seconds:
        _beat(instance, run_id)
    name = f"heartbeat {run_id[:8]}"
    thread = threading.Thread(target=_beats, args=(instance, run_id, seconds, ended), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def refuse_if_superseded(instance: dg.DagsterInstance, run_id: str) -> None:
    """To be asked right before a commit.

    Raises:
        RunSuperseded: the run was ended from outside, while this process slept or was cut off.
    """
    run = instance.get_run_by_id(run_id)
    if run is not None and run.is_finished:
        raise RunSuperseded(
            f"run {run_id} is {run.status.value} for everybody else",
            rule="a process that was thought dead must not write over what its successor wrote",
            fix="nothing is lost: the run was given to another process",
        )


def _beats(instance: dg.DagsterInstance, run_id: str, seconds: float, ended: threading.Event) -> None:
    while not ended.wait(seconds):
        try:
            _beat(instance, run_id)
        except Exception as error:
            # A database that is away for a while must not make this run look dead for good.
            if fault_of(error) is not Fault.TRANSIENT:
                raise


def _beat(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.add_run_tags(run_id, {BEAT_TAG: f"{time.time():.0f} {socket.gethostname()} {os.getpid()}"})
    _last[run_id] = time.monotonic()
