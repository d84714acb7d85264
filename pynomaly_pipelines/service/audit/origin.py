"""A request and its caller -> the actor of the entries it causes."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from pynomaly_pipelines.operations.telemetry import current
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.audit.entries import Actor


def actor_of(request: HTTPConnection, caller: Caller | None = None) -> Actor:
    """Who did it; nobody known where no caller is given. The address is the one that trusted proxies tell."""
    work = current.current()
    address, request_id = request.client.host if request.client else "", work.request_id if work else ""
    if caller is None:
        return Actor("", "", address, request_id)
    return Actor(caller.account, caller.name, address, request_id)
