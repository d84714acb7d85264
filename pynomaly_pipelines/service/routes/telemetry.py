"""Figures on the service itself, for Prometheus."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from pynomaly_pipelines.operations.telemetry import metrics
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import public, require
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.settings import ServiceSettings

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text form."}
}


def telemetry_router(settings: ServiceSettings) -> APIRouter:
    """/metrics, as the setting `metrics_access` has it."""
    router = bodies.router("", "telemetry")
    if settings.metrics_access == "permission":
        router.get("/metrics", response_class=Response, responses=_TEXT)(read_metrics)
    elif settings.metrics_access == "open":
        router.get("/metrics", response_class=Response, responses=_TEXT)(read_open_metrics)
    return router


def read_metrics(
    service: TheService, _caller: Annotated[Caller, Depends(require(Permission.METRICS_READ))]
) -> Response:
    """Counters, gauges and histograms of all workers together."""
    service.parts.tell()
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


@public("the setting `metrics_access` is `open`")
def read_open_metrics(service: TheService) -> Response:
    """Counters, gauges and histograms of all workers together."""
    service.parts.tell()
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)
