"""What every request passes before and after its route; pure ASGI, as Starlette's own base costs 300 µs a request."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from pynomaly_pipelines.operations.telemetry.traces import Tracing
from pynomaly_pipelines.service.middleware.bounds import Bounds
from pynomaly_pipelines.service.middleware.gate import Gate, address_check
from pynomaly_pipelines.service.middleware.observing import Observing
from pynomaly_pipelines.service.rates.limiter import limiter, shared_windows
from pynomaly_pipelines.service.rates.middleware import RateLimits
from pynomaly_pipelines.service.settings import ServiceSettings


def add_middleware(app: FastAPI, settings: ServiceSettings, tracing: Tracing) -> None:
    """Put them around the routes. Starlette's last added is the outermost: read from below.

    An error of the tree raised in any of them is answered as a problem by `Observing`.
    """
    # The innermost: it counts by the address that trusted proxies tell.
    app.add_middleware(RateLimits, limiter=limiter(settings, shared_windows(settings)))
    app.add_middleware(Bounds, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            # Credentials come in headers that scripts set, never in cookies that browsers add.
            allow_credentials=False,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["authorization", "x-api-key", "content-type", "idempotency-key", "if-none-match"],
            expose_headers=["x-request-id", "retry-after", "location", "etag", "deprecation", "sunset"],
            max_age=600,
        )
    app.add_middleware(Gate, settings=settings)
    app.add_middleware(Observing, tracing=tracing, trusted=address_check(settings.trusted_proxies))
