"""What was done outside the accounts' database (a champion moved, a file sent) -> an entry in its own transaction."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import HTTPConnection

from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.entries import Detail
from pynomaly_pipelines.service.audit.log import record
from pynomaly_pipelines.service.audit.origin import actor_of


class HasDatabase(Protocol):
    """The service's parts, as far as this needs them."""

    @property
    def database(self) -> Database:
        """Where the log is."""
        ...


def note(
    service: HasDatabase, request: HTTPConnection, caller: Caller, action: Action, subject: str, **details: Detail
) -> None:
    """Tell the log what was done for a request; returns when it is stored."""
    with service.database.writing() as session:
        record(session, actor=actor_of(request, caller), action=action, subject=subject, details=details)
