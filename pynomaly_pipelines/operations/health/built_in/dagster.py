"""Dagster's daemon -> whether it looks after schedules and sensors: as a webserver says, or its heartbeats."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.health.findings import Finding, degraded, failed, ok

if TYPE_CHECKING:
    import dagster as dg
    from dagster._daemon.types import DaemonHeartbeat

QUERY = (
    "{ instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime "
    "lastHeartbeatErrors { message } } } } }"
)


@dataclass(frozen=True)
class Daemon:
    """One of the daemon's parts."""

    kind: str
    last_heartbeat: float | None
    """Seconds since 1970; None before the first."""
    error: str = ""


def daemon_at(webserver: str, *, timeout_seconds: float, silent_seconds: float) -> Callable[[], Finding]:
    """By GraphQL of a webserver."""

    def check() -> Finding:
        body = json.dumps({"query": QUERY}).encode()
        request = urllib.request.Request(
            f"{webserver.rstrip('/')}/graphql", data=body, headers={"Content-Type": "application/json"}
        )
        # The address is the operator's own setting.
        with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:  # nosec B310
            found = json.load(answer)
        statuses = found["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
        return judged([_of_graphql(one) for one in statuses if one["required"]], silent_seconds)

    return check


def daemon_in(instance: Callable[[], dg.DagsterInstance], *, silent_seconds: float) -> Callable[[], Finding]:
    """By the heartbeats in an instance's storage, where no webserver runs."""

    def check() -> Finding:
        with instance() as opened:
            beats = opened.get_daemon_heartbeats()
            required = opened.get_required_daemon_types()
        return judged([_of_heartbeat(kind, beats.get(kind)) for kind in required], silent_seconds)

    return check


def judged(daemons: list[Daemon], silent_seconds: float) -> Finding:
    """Each required part was heard of lately and tells of no error.

    Dagster itself calls a daemon healthy for half an hour after its last heartbeat.
    """
    ages = {f"{one.kind.lower()}_heartbeat_age_seconds": round(_age(one), 1) for one in daemons if one.last_heartbeat}
    silent = [one.kind.lower() for one in daemons if one.last_heartbeat is None or _age(one) > silent_seconds]
    if silent:
        return failed(f"no heartbeat of {', '.join(silent)}; start `dagster-daemon run`, or `pynomaly up`", **ages)
    ailing = [f"{one.kind.lower()}: {one.error}" for one in daemons if one.error]
    return degraded("; ".join(ailing), **ages) if ailing else ok(f"{len(daemons)} parts of the daemon answer", **ages)


def _age(daemon: Daemon) -> float:
    return time.time() - (daemon.last_heartbeat or 0.0)


def _of_graphql(one: Mapping[str, object]) -> Daemon:
    beat, errors = one["lastHeartbeatTime"], one["lastHeartbeatErrors"]
    told = [str(error["message"]) for error in errors] if isinstance(errors, list) else []
    return Daemon(str(one["daemonType"]), float(beat) if isinstance(beat, int | float) else None, _in_short(told))


def _of_heartbeat(kind: str, beat: DaemonHeartbeat | None) -> Daemon:
    if beat is None:
        return Daemon(kind, None)
    return Daemon(kind, beat.timestamp, _in_short([error.message for error in beat.errors or []]))


def _in_short(messages: list[str]) -> str:
    return "; ".join(message.strip().splitlines()[0] for message in messages if message.strip())[:300]
