"""Settings and a project -> the ASGI application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from pynomaly_pipelines import __version__
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.problems import handle_problems
from pynomaly_pipelines.service.routes import pipelines
from pynomaly_pipelines.service.settings import ServiceSettings

ROUTERS: tuple[APIRouter, ...] = (pipelines.router,)
"""One a noun, in the order of the API's description."""


def create_app(settings: ServiceSettings | None = None, project: Project | None = None) -> FastAPI:
    """The application, ready to be served."""
    app = FastAPI(title="Pynomaly Pipelines", version=__version__)
    app.state.service = Service(settings or ServiceSettings(), project or Project.current())
    handle_problems(app)
    for router in ROUTERS:
        app.include_router(router, prefix="/v1")
    return app
