"""Figures of this process, or of all workers together -> the text that Prometheus reads.

Labels are bounded: routes by their template, methods and statuses by what HTTP has.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from pynomaly_pipelines.operations.settings import variables

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of the folder where workers keep their figures; read by prometheus_client at its import."""
CONTENT_TYPE = CONTENT_TYPE_LATEST
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUESTS = Counter("pynomaly_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "pynomaly_http_request_seconds", "From a request's head to the end of its answer.", ["method", "route"],
    buckets=_BUCKETS,
)  # fmt: skip
IN_FLIGHT = Gauge("pynomaly_http_requests_in_flight", "Requests being answered.", multiprocess_mode="livesum")
PROBLEMS = Counter("pynomaly_http_problems_total", "Requests answered with a problem, by its code.", ["code"])
CONNECTIONS = Gauge("pynomaly_http_connections", "Open connections.", multiprocess_mode="livesum")
CLOSED = Counter("pynomaly_http_connections_closed_total", "Connections closed on purpose, and why.", ["reason"])


class HttpMetrics:
    """Counts requests; keeps the labelled children, as looking them up costs more than counting."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], Counter] = {}
        self._seconds: dict[tuple[str, str], Histogram] = {}

    def answered(self, method: str, route: str, status: int, seconds: float, problem: str) -> None:
        """One request more."""
        known = method if method in METHODS else "other"
        counter = self._requests.get((known, route, status))
        if counter is None:
            counter = self._requests[known, route, status] = REQUESTS.labels(known, route, str(status))
        counter.inc()
        timer = self._seconds.get((known, route))
        if timer is None:
            timer = self._seconds[known, route] = SECONDS.labels(known, route)
        timer.observe(seconds)
        if problem:
            PROBLEMS.labels(problem).inc()


def exposition() -> bytes:
    """All figures, in Prometheus' text form; blocks on files where there are several workers."""
    if not variables(DIRECTORY).get(DIRECTORY):
        return generate_latest(REGISTRY)
    from prometheus_client import multiprocess

    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)


def forget_worker(pid: int, folder: Path) -> None:
    """Take a dead worker's gauges out of the sums; its counters stay."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def clear_directory(folder: Path) -> None:
    """An empty folder for a new set of workers."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.db"):
        left.unlink()
