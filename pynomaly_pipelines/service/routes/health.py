"""Whether the service lives, is started, may be sent requests, and how its parts are."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict

from pynomaly_pipelines.operations.health import HealthReport, Status
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import public, require
from pynomaly_pipelines.service.context import TheService

router = bodies.router("/health", "health")


class Probe(BaseModel):
    """What a probe is told: nothing of the parts, as anybody may ask."""

    model_config = ConfigDict(frozen=True)

    status: Status
    message: str
    at: AwareDatetime


class Part(BaseModel):
    """One check."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: Status
    critical: bool
    message: str
    milliseconds: float
    at: AwareDatetime
    figures: dict[str, str | int | float | bool | None]


class Parts(BaseModel):
    """All checks, measured for this answer."""

    model_config = ConfigDict(frozen=True)

    status: Status
    at: AwareDatetime
    parts: list[Part]


_UNWELL: dict[int | str, dict[str, Any]] = {503: {"model": Probe, "description": "Not now: the message says why."}}


@router.get("/live")
@public("orchestrators ask it, and it tells nothing")
async def live(service: TheService) -> Probe:
    """Whether the process works; one that does not answer is to be restarted."""
    return _probe(service.health.live())


@router.get("/startup", responses=_UNWELL)
@public("orchestrators ask it, and it tells nothing")
async def startup(service: TheService, response: Response) -> Probe:
    """Whether it has started."""
    return _answered(service.health.startup(), response)


@router.get("/ready", responses=_UNWELL)
@public("load balancers ask it, and it tells nothing")
async def ready(service: TheService, response: Response) -> Probe:
    """Whether it may be sent requests: started, not stopping, and no critical part failed."""
    return _answered(await service.health.ready(), response)


@router.get("")
async def health(service: TheService, _caller: Annotated[Caller, Depends(require(Permission.HEALTH_DETAILS))]) -> Parts:
    """How each part is: measured now, each within its own time."""
    report = await service.health.run()
    return Parts(
        status=report.status,
        at=report.at,
        parts=[
            Part(
                name=found.name,
                status=found.status,
                critical=found.critical,
                message=found.message,
                milliseconds=round(found.seconds * 1000, 3),
                at=found.at,
                figures=dict(found.figures),
            )
            for found in report.checks
        ],
    )


def _answered(report: HealthReport, response: Response) -> Probe:
    response.status_code = 200 if report.healthy else 503
    return _probe(report)


def _probe(report: HealthReport) -> Probe:
    return Probe(status=report.status, message=report.message, at=report.at)
