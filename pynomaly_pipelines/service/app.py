"""Settings and a project -> the ASGI application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from pynomaly_pipelines import __version__
from pynomaly_pipelines.operations.telemetry.traces import tracing
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.lifespan import lifespan
from pynomaly_pipelines.service.middleware import add_middleware
from pynomaly_pipelines.service.openapi import describe, operation_id
from pynomaly_pipelines.service.problems import handle_problems
from pynomaly_pipelines.service.routes import (
    access,
    api_keys,
    audit,
    auth,
    docs,
    drift,
    exclusions,
    health,
    incidents,
    lineage,
    login_page,
    models,
    partitions,
    pipelines,
    promotions,
    quarantine,
    releases,
    runs,
    scores,
    scoring,
    thresholds,
    users,
    verify,
)
from pynomaly_pipelines.service.routes.telemetry import telemetry_router
from pynomaly_pipelines.service.scoring.direct import DirectScoring
from pynomaly_pipelines.service.settings import ServiceSettings

ROUTERS: tuple[APIRouter, ...] = (
    *(auth.router, verify.router, users.router, api_keys.router),
    pipelines.router,
    scoring.router,
    partitions.router,
    lineage.router,
    scores.router,
    quarantine.router,
    releases.router,
    drift.router,
    exclusions.router,
    thresholds.router,
    models.router,
    promotions.router,
    runs.router,
    incidents.router,
    access.grants,
    access.access_requests,
    audit.router,
)
"""One a noun, in the order of the API's description; each under /v1."""


def create_app(settings: ServiceSettings | None = None, project: Project | None = None) -> FastAPI:
    """The application, ready to be served."""
    chosen = settings or ServiceSettings()
    app = FastAPI(
        title="Pynomaly Pipelines",
        version=__version__,
        summary="Pipelines, scores, models and runs over HTTP.",
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        # Swagger's and ReDoc's pages load from elsewhere; `routes.docs` has our own.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.service = Service(chosen, project or Project.current())
    app.state.tracing = tracing(chosen.trace_ratio, chosen.otlp_url)
    handle_problems(app)
    describe(app)
    for router in ROUTERS:
        app.include_router(router, prefix="/v1")
    app.include_router(auth.well_known)
    app.include_router(telemetry_router(chosen))
    app.include_router(health.router)
    app.include_router(login_page.router)
    if chosen.docs:
        app.include_router(docs.router)
    app.add_middleware(DirectScoring, endpoint=scoring.score, require=scoring.may_score)
    add_middleware(app, chosen, app.state.tracing)
    return app
