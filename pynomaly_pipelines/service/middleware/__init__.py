"""What every request passes before and after its route; pure ASGI, as Starlette's own base costs 300 µs a request."""

from __future__ import annotations

from fastapi import FastAPI

from pynomaly_pipelines.service.rates.limiter import limiter
from pynomaly_pipelines.service.rates.middleware import RateLimits
from pynomaly_pipelines.service.settings import ServiceSettings


def add_middleware(app: FastAPI, settings: ServiceSettings) -> None:
    """Put them around the routes."""
    # The innermost: it counts by the address that trusted proxies tell.
    app.add_middleware(RateLimits, limiter=limiter(settings))
