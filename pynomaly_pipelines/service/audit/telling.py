"""What a route did -> its entry in the audit log, in a transaction of its own.

For what is done outside the database (Dagster, the registry, the tables): there is no transaction that could hold both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.entries import Detail
from pynomaly_pipelines.service.audit.log import record
from pynomaly_pipelines.service.audit.origin import actor_of

if TYPE_CHECKING:
    from pynomaly_pipelines.service.context import Service


def tell(
    service: Service,
    request: HTTPConnection,
    caller: Caller,
    action: Action,
    subject: str,
    details: Mapping[str, Detail] | None = None,
) -> None:
    """Add the entry. Waits for the database: not for the event loop."""
    with service.database.writing() as session:
        record(session, actor=actor_of(request, caller), action=action, subject=subject, details=details)
