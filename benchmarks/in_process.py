"""The service without a server in between: processor time of a request, from its ASGI scope to the end of its answer.

Everything a deployment has is on: a verified token, limits, metrics, JSON access log, traces of 1 %.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.serving import Load

NAME, PASSWORD = "bench", "a benchmark asks itself"  # pragma: allowlist secret
OTLP = "http://127.0.0.1:9/v1/traces"
"""Where nobody listens: of what is recorded, the sending is not measured."""


def application() -> Any:
    """The application of the project of this process, with one account."""
    from pynomaly_pipelines.operations.telemetry.logs import configure_logs
    from pynomaly_pipelines.project import Project
    from pynomaly_pipelines.service.app import create_app
    from pynomaly_pipelines.service.settings import ServiceSettings

    configure_logs("info", "json")
    app = create_app(ServiceSettings(rate_score="100000000/60", otlp_url=OTLP), Project.current())
    make_account(app.state.service.auth)
    return app


def make_account(auth: Any) -> None:
    """The one account that asks."""
    from pynomaly_pipelines.service.access.permissions import Role
    from pynomaly_pipelines.service.accounts import management
    from pynomaly_pipelines.service.audit.actions import Action
    from pynomaly_pipelines.service.audit.entries import Actor

    actor = Actor.system("benchmark")
    with auth.database.writing() as session:
        account = management.create(session, actor, NAME, Role.USER, all_pipelines=True, at=auth.now())
        stored = auth.passwords.hash(PASSWORD)
        management.set_password(session, actor, account, stored, Action.LOGIN_CHANGED, auth.now())


async def ask(app: Any, path: str, media: str, body: bytes, *headers: tuple[bytes, bytes]) -> bytes:
    """One request; the body of its answer."""
    received, answer = False, b""

    async def receive() -> dict[str, Any]:
        nonlocal received
        if received:
            await asyncio.Event().wait()
        received = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal answer
        if message.get("status", 200) >= 300:
            raise SystemExit(f"{path} answered {message}")
        answer += message.get("body", b"")

    own = [(b"host", b"127.0.0.1"), (b"content-type", media.encode()), (b"content-length", b"%d" % len(body))]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [*own, *headers],
        "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    return answer


async def _measured(app: Any, loads: Sequence[Load], rounds: int) -> dict[str, list[float]]:
    """Load -> seconds of processor time of a request, a round each; rounds of the loads take turns."""
    found: dict[str, list[float]] = {}
    async with app.router.lifespan_context(app):
        form = f"grant_type=password&username={NAME}&password={PASSWORD.replace(' ', '+')}"
        import msgspec

        told = await ask(app, "/v1/auth/token", "application/x-www-form-urlencoded", form.encode())
        bearer = (b"authorization", b"Bearer " + msgspec.json.decode(told)["access_token"].encode())
        for one in range(rounds + 1):
            for load in loads:
                requests = 400 if len(load.body) < 10_000 else 20
                began = time.process_time()
                for _ in range(requests):
                    await ask(app, load.path, load.media, load.body, bearer)
                if one:
                    found.setdefault(load.name, []).append((time.process_time() - began) / requests)
    return found


def report(loads: Sequence[Load], rounds: int = 9) -> None:
    """Print the median and the least of the rounds; access lines go nowhere, as they would drown it."""
    app = application()
    printed = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        found = asyncio.run(_measured(app, loads, rounds))
    finally:
        sys.stdout.flush()
        os.dup2(printed, 1)
    for name, seconds in found.items():
        print(f"{name}: {statistics.median(seconds) * 1e6:,.0f} µs of CPU a request, {min(seconds) * 1e6:,.0f} at best")
