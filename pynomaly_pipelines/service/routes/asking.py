"""A request -> who is at its other end, for counting and for the audit log."""

from __future__ import annotations

from fastapi import Request

from pynomaly_pipelines.operations.telemetry import current
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.audit.entries import Actor
from pynomaly_pipelines.service.auth.login import From


def source_of(request: Request) -> From:
    """The client's address, as far as proxies are trusted, and the request's id."""
    work = current.current()
    return From(request.client.host if request.client else "unknown", work.request_id if work else "")


def actor_of(request: Request, caller: Caller) -> Actor:
    """The caller as the audit log writes it down."""
    source = source_of(request)
    return Actor(caller.account, caller.name, source.client, source.request_id)
