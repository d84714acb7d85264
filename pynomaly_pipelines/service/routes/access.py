"""Grants, and requests for access that a second person decides."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from pynomaly_pipelines.operations.errors import Unprocessable
from pynomaly_pipelines.service import audit, bodies
from pynomaly_pipelines.service.access import giving, requests
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.access.requirements import no_such_pipeline, require
from pynomaly_pipelines.service.access.tables import PIPELINE_LENGTH, REASON_LENGTH, AccessRequest, Grant
from pynomaly_pipelines.service.accounts.tables import ID_LENGTH, NAME_LENGTH, Account
from pynomaly_pipelines.service.context import Service, TheService
from pynomaly_pipelines.service.paging import Answer, StrictQuery, no_query

grants = bodies.router("/grants", "access")
access_requests = bodies.router("/access-requests", "access")

Reason = Annotated[
    str,
    Field(
        min_length=3, max_length=REASON_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$", description="Why, for those who decide."
    ),
]
Pipeline = Annotated[
    str, Field(min_length=1, max_length=PIPELINE_LENGTH, pattern=r"^[a-z][a-z0-9_]*$", description="A pipeline's name.")
]
Name = Annotated[
    str, Field(min_length=1, max_length=NAME_LENGTH, pattern=r"^[\x21-\x7e]+$", description="What it logs in with.")
]
Id = Annotated[str, Field(max_length=ID_LENGTH, pattern=r"^[0-9a-f]{32}$")]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewGrant(_Body):
    """A grant to be given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"account": "ann", "permission": "models:promote", "pipeline": "flights", "reason": "owns this model"}
            ]
        }
    )

    account: Name
    permission: Permission
    pipeline: Pipeline | None = Field(default=None, description="Where it holds; without it, everywhere.")
    reason: Reason
    expires_at: datetime | None = Field(default=None, description="With a time zone; without it, until revoked.")


class GrantAnswer(Answer):
    """A grant."""

    id: str
    account: str = Field(description="Who has it.")
    pipeline: str | None = Field(description="Where it holds; null: everywhere.")
    permission: Permission | None
    role: Role | None = Field(description="A role, where no single permission was granted.")
    reason: str
    granted_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    request: str | None = Field(description="The access request it came of.")


class Grants(Answer):
    """Grants, the newest first."""

    items: tuple[GrantAnswer, ...]


class Asked(StrictQuery):
    """Which are wanted."""

    account: Name | None = Field(default=None, description="Those of one account only.")
    limit: int = Field(default=100, ge=1, le=500, description="At most so many.")


_MANAGER = Annotated[Caller, Depends(require(Permission.GRANTS_MANAGE))]
_ASKER = Annotated[Caller, Depends(require(Permission.ACCESS_REQUEST))]
_DECIDER = Annotated[Caller, Depends(require(Permission.ACCESS_DECIDE))]


@grants.get("")
def list_grants(service: TheService, caller: _ASKER, asked: Annotated[Asked, Query()]) -> Grants:
    """What was granted, the newest first: all of it to those who manage grants, one's own to everybody else."""
    query = sa.select(Grant, Account.name).join(Account).order_by(Grant.created_at.desc(), Grant.id).limit(asked.limit)
    if not caller.may(Permission.GRANTS_MANAGE):
        query = query.where(Grant.account_id == caller.account)
    if asked.account is not None:
        query = query.where(Account.name == asked.account.lower())
    with service.database.reading() as session:
        return Grants(items=tuple(_grant(grant, name) for grant, name in session.execute(query)))


@grants.post("", status_code=201)
def give_grant(request: Request, service: TheService, caller: _MANAGER, body: NewGrant) -> GrantAnswer:
    """Grant a permission beyond the role. It holds from the account's next request on.

    Not to oneself, and not what one does not have; a role is asked for by an access request.
    """
    if body.pipeline is not None:
        _require_pipeline(service, caller, body.pipeline)
    wanted = giving.Wanted(body.account, body.permission, body.pipeline, body.reason, _with_zone(body.expires_at))
    with service.database.writing() as session:
        made = giving.give(session, caller, audit.actor_of(request, caller), wanted)
        return _grant(made, body.account.lower())


@grants.delete("/{grant_id}", status_code=204, dependencies=[Depends(no_query)])
def revoke_grant(request: Request, service: TheService, caller: _MANAGER, grant_id: Id) -> Response:
    """Take a grant back. It is gone from the account's next request on."""
    with service.database.writing() as session:
        giving.revoke(session, caller, audit.actor_of(request, caller), grant_id)
    return Response(status_code=204)


class NewRequest(_Body):
    """What is asked for: permissions, on a pipeline or everywhere, or a role."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"permissions": ["models:promote"], "pipeline": "flights", "reason": "on call this week", "days": 7}
            ]
        }
    )

    permissions: tuple[Permission, ...] = Field(default=(), max_length=len(Permission))
    pipeline: Pipeline | None = None
    role: Role | None = Field(default=None, description="Instead of permissions.")
    reason: Reason
    days: int | None = Field(default=None, ge=1, le=366, description="How long; without it, until revoked.")
    account: Name | None = Field(default=None, description="For whom; without it, for oneself.")


class Decision(_Body):
    """What the second person says to it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"comment": "as agreed in the team"}]})

    comment: Reason


class RequestAnswer(Answer):
    """A request for access."""

    id: str
    account: str = Field(description="Who is to have it.")
    requested_by: str
    permissions: tuple[Permission, ...]
    pipeline: str | None
    role: Role | None
    reason: str
    days: int | None
    state: requests.State
    created_at: datetime
    expires_at: datetime = Field(description="When it closes undecided.")
    decided_by: str | None
    decided_at: datetime | None
    comment: str | None


class Requests(Answer):
    """Requests, the newest first."""

    items: tuple[RequestAnswer, ...]


class AskedRequests(StrictQuery):
    """Which are wanted."""

    state: requests.State | None = None
    limit: int = Field(default=100, ge=1, le=500, description="At most so many.")


@access_requests.post("", status_code=201)
def ask_for_access(request: Request, service: TheService, caller: _ASKER, body: NewRequest) -> RequestAnswer:
    """Ask for permissions or a role; somebody else decides."""
    wish = requests.Wish(
        body.reason, tuple(dict.fromkeys(body.permissions)), body.pipeline, body.role, body.days, body.account
    )
    stays_open = timedelta(days=service.settings.access_request_days)
    with service.database.writing() as session:
        made = requests.open_request(session, caller, audit.actor_of(request, caller), wish, stays_open)
        return _request(made, session.get_one(Account, made.account_id).name)


@access_requests.get("")
def list_access_requests(service: TheService, caller: _ASKER, asked: Annotated[AskedRequests, Query()]) -> Requests:
    """Requests, the newest first: all of them to those who decide, those that concern oneself to everybody else."""
    query = sa.select(AccessRequest, Account.name).join(Account).order_by(
        AccessRequest.created_at.desc(), AccessRequest.id
    )  # fmt: skip
    if not caller.may(Permission.ACCESS_DECIDE):
        mine = sa.or_(AccessRequest.account_id == caller.account, AccessRequest.requested_by == caller.account)
        query = query.where(mine)
    if asked.state is not None:
        query = query.where(AccessRequest.state == asked.state.value)
    with service.database.writing() as session:
        requests.close_overdue(session)
        found = session.execute(query.limit(asked.limit)).all()
        return Requests(items=tuple(_request(request, name) for request, name in found))


@access_requests.post("/{request_id}/approve")
def approve_access(
    request: Request, service: TheService, caller: _DECIDER, request_id: Id, body: Decision
) -> RequestAnswer:
    """Approve what somebody else asked for. It holds from the account's next request on."""
    return _decide(request, service, caller, request_id, body, approve=True)


@access_requests.post("/{request_id}/deny")
def deny_access(
    request: Request, service: TheService, caller: _DECIDER, request_id: Id, body: Decision
) -> RequestAnswer:
    """Deny what somebody else asked for."""
    return _decide(request, service, caller, request_id, body, approve=False)


@access_requests.post("/{request_id}/cancel", dependencies=[Depends(no_query)])
def cancel_access_request(request: Request, service: TheService, caller: _ASKER, request_id: Id) -> RequestAnswer:
    """Take back what one asked for."""
    with service.database.writing() as session:
        found = requests.cancel(session, caller, audit.actor_of(request, caller), request_id)
        return _request(found, session.get_one(Account, found.account_id).name)


def _decide(
    request: Request, service: Service, caller: Caller, request_id: str, body: Decision, *, approve: bool
) -> RequestAnswer:
    with service.database.writing() as session:
        requests.close_overdue(session)
    with service.database.writing() as session:
        if approve and (known := session.get(AccessRequest, request_id)) is not None and known.pipeline is not None:
            _require_pipeline(service, caller, known.pipeline)
        found = requests.decide(
            session, caller, audit.actor_of(request, caller), request_id, approve=approve, comment=body.comment
        )
        return _request(found, session.get_one(Account, found.account_id).name)


def _require_pipeline(service: Service, caller: Caller, pipeline: str) -> None:
    """Refuse a pipeline that is not there, or not for the caller: a grant on it would wait for one of that name."""
    if not caller.sees(pipeline) or pipeline not in {spec.name for spec in service.specs.all()}:
        raise no_such_pipeline(pipeline)


def _with_zone(at: datetime | None) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise Unprocessable(
            f"expires_at is {at.isoformat()}, without a time zone", rule="RFC 3339: 2026-12-31T00:00:00Z", fix="add it"
        )
    return at


def _grant(grant: Grant, account: str) -> GrantAnswer:
    return GrantAnswer(
        id=grant.id, account=account, pipeline=grant.pipeline,
        permission=Permission(grant.permission) if grant.permission else None,
        role=Role(grant.role) if grant.role else None, reason=grant.reason, granted_by=grant.granted_by_name,
        created_at=grant.created_at, expires_at=grant.expires_at, revoked_at=grant.revoked_at, request=grant.request_id,
    )  # fmt: skip


def _request(found: AccessRequest, account: str) -> RequestAnswer:
    return RequestAnswer(
        id=found.id, account=account, requested_by=found.requested_by_name,
        permissions=tuple(Permission(p) for p in found.permissions), pipeline=found.pipeline,
        role=Role(found.role) if found.role else None, reason=found.reason, days=found.days,
        state=requests.State(found.state), created_at=found.created_at, expires_at=found.expires_at,
        decided_by=found.decided_by_name, decided_at=found.decided_at, comment=found.comment,
    )  # fmt: skip
