"""The audit log, to be read; nobody changes it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import Field

from pynomaly_pipelines.operations.errors import Unprocessable
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.audit import Action
from pynomaly_pipelines.service.audit.entries import LONGEST, Entry, moment
from pynomaly_pipelines.service.audit.log import MOST, page
from pynomaly_pipelines.service.audit.log import Asked as AskedEntries
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.paging import Answer, StrictQuery

router = bodies.router("/audit", "audit")

Text = Annotated[str, Field(min_length=1, max_length=LONGEST, pattern=r"^[^\x00]+$")]


class AuditEntry(Answer):
    """One event."""

    sequence: int
    at: str = Field(description="RFC 3339, UTC.")
    account: str = Field(description="Id of the account that did it; empty where nobody was logged in.")
    name: str = Field(description="What it logs in with, or `system:` and the part of the product.")
    action: str
    subject: str
    address: str
    request_id: str
    details: dict[str, Any]
    previous: str = Field(description="Hash of the entry before.")
    hash: str = Field(description="SHA-256 of the entry's canonical form.")


class AuditPage(Answer):
    """Events, the newest first."""

    items: tuple[AuditEntry, ...]
    next: int | None = Field(description="`before` of the next page; null: there is none.")


class Asked(StrictQuery):
    """Which are wanted."""

    account: Text | None = Field(default=None, description="Id of the account that did it.")
    action: Action | None = None
    subject: Text | None = Field(default=None, description="What it was done to, as in the entries.")
    since: datetime | None = Field(default=None, description="With a time zone; this moment and later.")
    until: datetime | None = Field(default=None, description="With a time zone; before this moment.")
    before: int | None = Field(default=None, ge=1, le=2**62, description="Entries below this sequence.")
    limit: int = Field(default=100, ge=1, le=MOST, description="At most so many.")


@router.get("")
def read_audit_log(
    service: TheService,
    _caller: Annotated[Caller, Depends(require(Permission.AUDIT_READ))],
    asked: Annotated[Asked, Query()],
) -> AuditPage:
    """Events, the newest first. `pynomaly audit verify` says whether they are what was written."""
    wanted = AskedEntries(
        account=asked.account or "",
        action=asked.action.value if asked.action else "",
        subject=asked.subject or "",
        since=_text(asked.since),
        until=_text(asked.until),
        before=asked.before,
        limit=asked.limit,
    )
    with service.database.reading() as session:
        found = page(session, wanted)
    following = found[-1][0].sequence if len(found) == asked.limit and found[-1][0].sequence > 1 else None
    return AuditPage(items=tuple(_answer(entry, written) for entry, written in found), next=following)


def _text(at: datetime | None) -> str:
    if at is None:
        return ""
    if at.tzinfo is None:
        raise Unprocessable(
            f"{at.isoformat()} has no time zone", rule="RFC 3339: 2026-12-31T00:00:00Z", fix="add the zone"
        )
    return moment(at)


def _answer(entry: Entry, written: str) -> AuditEntry:
    return AuditEntry(
        sequence=entry.sequence, at=entry.at, account=entry.account, name=entry.name, action=entry.action,
        subject=entry.subject, address=entry.address, request_id=entry.request_id, details=json.loads(entry.details),
        previous=entry.previous, hash=written,
    )  # fmt: skip
