"""Two daemons on one instance: one works, the other waits; when the first is killed, the second takes over."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pynomaly_pipelines.automation.leadership.leader import DAEMON
from pynomaly_pipelines.serving_locally import Service
from tests.faults.deployment import Deployment, alive, family

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def daemons(*services: Service) -> list[int]:
    """Processes of `dagster-daemon` that these started."""
    started = [pid for service in services if service.process for pid in family(service.process.pid)]
    return [pid for pid in started if DAEMON in Path(f"/proc/{pid}/cmdline").read_text()]


def test_one_works_and_the_other_takes_over(deployment: Deployment) -> None:
    first = deployment.start_daemon("first")
    deployment.until(lambda: "leader" in first.log.read_text(), "the first daemon")
    second = deployment.start_daemon("second")
    deployment.until(lambda: "standby" in second.log.read_text(), "the second daemon")
    deployment.until(lambda: len(daemons(first)) == 1, "the first's process")
    assert daemons(second) == []

    assert first.process is not None
    (worked,) = daemons(first)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    deployment.until(lambda: len(daemons(second)) == 1, "the take-over")
    assert not alive(worked)
    assert "leader" in second.log.read_text()

    assert second.process is not None
    (works,) = daemons(second)
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(60) == 0
    assert not alive(works)
