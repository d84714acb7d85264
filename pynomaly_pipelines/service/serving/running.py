"""`pynomaly serve`: settings -> a listening socket, and one process or several behind it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn

from pynomaly_pipelines.operations.settings import unless_set
from pynomaly_pipelines.operations.telemetry.logs import configure_logs
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth.starting import prepare
from pynomaly_pipelines.service.serving.listening import BACKLOG, listen
from pynomaly_pipelines.service.serving.protocol import bounded_protocol
from pynomaly_pipelines.service.serving.server import DrainingServer
from pynomaly_pipelines.service.serving.workers import Workers
from pynomaly_pipelines.service.settings import ServiceSettings, read_settings

MLFLOW = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""MLflow's client tries for minutes, longer than a request may take; the breaker and the caller try again."""
Say = Callable[[str], None]


def run(project: Project, given: Mapping[str, Any], say: Say) -> int:
    """Serve until told to stop; `given` overrides settings.

    Returns:
        0 after an orderly end.

    Raises:
        SettingsError: a setting breaks a rule, or the address can't be had.
    """
    settings = read_settings(**given)
    _allow_many_files()
    prepare(settings, project.settings.home, say)
    listening = listen(settings.host, settings.port)
    address = address_of(settings, listening)
    if settings.workers > 1:
        return Workers(settings, project, listening, given).run(lambda: say(f"API {address}"))
    return serve_here(settings, project, listening, lambda: say(f"API {address}"))


def serve_here(
    settings: ServiceSettings, project: Project, listening: socket.socket, on_started: Callable[[], None]
) -> int:
    """Serve in this process."""
    configure_logs(settings.log_level, settings.log_format)
    unless_set(MLFLOW)
    app = create_app(settings, project)
    config = uvicorn.Config(
        app,
        http=bounded_protocol(settings),
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_seconds,  # type: ignore[arg-type]
        backlog=BACKLOG,
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
    )
    server = DrainingServer(config, settings, app.state.service.health, on_started)
    server.run([listening])
    return 0 if server.started else 1


def address_of(settings: ServiceSettings, listening: socket.socket) -> str:
    """Where it listens, as a URL."""
    scheme = "https" if settings.tls_certificate else "http"
    host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{listening.getsockname()[1]}"


def _allow_many_files() -> None:
    """Each connection is an open file, and many systems start with 1024."""
    try:
        import resource
    except ImportError:  # Windows.
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else min(most, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
