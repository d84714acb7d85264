"""Access requests: opened, decided by a second person, cancelled, closed when nobody decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import Conflict, Forbidden, NotFound, Unprocessable
from pynomaly_pipelines.service import audit
from pynomaly_pipelines.service.access import rules
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.giving import account_named, store
from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.access.standing import at_least
from pynomaly_pipelines.service.access.tables import AccessRequest, Grant
from pynomaly_pipelines.service.accounts.tables import Account, now

MOST_OPEN = 20
"""Open requests of one account."""


class State(StrEnum):
    """What became of a request."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Wish:
    """What is asked for: permissions, on a pipeline or everywhere, or a role."""

    reason: str
    permissions: tuple[Permission, ...] = ()
    pipeline: str | None = None
    role: Role | None = None
    days: int | None = None
    account: str | None = None
    """Name of the account that is to have it; nothing: who asks."""


def open_request(
    session: Session, caller: Caller, actor: audit.Actor, wish: Wish, stays_open: timedelta
) -> AccessRequest:
    """Ask for access.

    Whether the pipeline exists is looked at when it is decided: asking must not tell who may not see it.

    Raises:
        Forbidden: for somebody else, without the permission to manage grants.
        Unprocessable: neither permissions nor a role, or both; or permissions that do not fit the pipeline.
        Conflict: it is held already, or too many requests are open.
    """
    if bool(wish.permissions) == (wish.role is not None) or (wish.role is not None and wish.pipeline is not None):
        raise Unprocessable(
            "a request is for permissions, or for a role on the whole",
            rule="`permissions`, with or without `pipeline`; or `role` alone",
            fix="leave one of them out",
        )
    account = _beneficiary(session, caller, wish)
    rules.refuse_what_does_not_fit(wish.permissions, wish.pipeline, account.all_pipelines)
    _refuse_what_is_held(account, wish)
    _refuse_too_many(session, caller)
    at = now()
    made = AccessRequest(
        account_id=account.id, requested_by=caller.account, requested_by_name=caller.name, pipeline=wish.pipeline,
        permissions=[p.value for p in wish.permissions], role=wish.role.value if wish.role else None,
        reason=wish.reason, days=wish.days, state=State.OPEN.value, created_at=at, expires_at=at + stays_open,
    )  # fmt: skip
    session.add(made)
    session.flush()
    _tell(session, actor, audit.Action.REQUEST_OPENED, made, reason=wish.reason)
    return made


def _beneficiary(session: Session, caller: Caller, wish: Wish) -> Account:
    if wish.account is None or wish.account.strip().lower() == caller.name:
        found = session.get(Account, caller.account)
        if found is None:
            raise NotFound(f"there is no account {caller.name!r}", rule="the account was deleted", fix="log in anew")
        return found
    if not caller.may(Permission.GRANTS_MANAGE):
        rule = "for others asks who has the permission 'grants:manage'"
        raise Forbidden(f"{caller.name!r} may ask for {caller.name!r} only", rule=rule, fix="leave `account` out")
    return account_named(session, wish.account)


def _refuse_what_is_held(account: Account, wish: Wish) -> None:
    if wish.role is not None and at_least(Role(account.role), wish.role):
        raise Conflict(
            f"{account.name!r} is {account.role!r} already", rule="a request is for more than there is", fix="none"
        )


def _refuse_too_many(session: Session, caller: Caller) -> None:
    mine = sa.select(sa.func.count()).where(
        AccessRequest.requested_by == caller.account, AccessRequest.state == State.OPEN.value
    )
    if (session.scalar(mine) or 0) >= MOST_OPEN:
        raise Conflict(
            f"{caller.name!r} has {MOST_OPEN} open requests", rule=f"at most {MOST_OPEN} at a time",
            fix="cancel some, or have them decided",
        )  # fmt: skip


def decide(
    session: Session, caller: Caller, actor: audit.Actor, request_id: str, *, approve: bool, comment: str
) -> AccessRequest:
    """Approve or deny. Of several who decide at the same time, one does; the others are told.

    Raises:
        NotFound: there is no such request.
        Forbidden: the caller asked, or is to have it, or does not have it himself.
        Conflict: it is not open any more.
    """
    found = _found(session, request_id)
    rules.refuse_to_oneself(caller, found.account_id, found.requested_by)
    asked = [Permission(p) for p in found.permissions]
    if approve:
        role = Role(found.role) if found.role else None
        rules.refuse_to_give_more_than_held(caller, asked, found.pipeline, role)
    _take(session, found, State.APPROVED if approve else State.DENIED, caller, comment)
    if approve:
        for grant in _grants(found, caller):
            store(session, actor, grant)
    action = audit.Action.REQUEST_APPROVED if approve else audit.Action.REQUEST_DENIED
    _tell(session, actor, action, found, comment=comment)
    return found


def _grants(found: AccessRequest, caller: Caller) -> list[Grant]:
    expires_at = now() + timedelta(days=found.days) if found.days else None
    things: list[tuple[str | None, str | None]] = [(p, None) for p in found.permissions] or [(None, found.role)]
    return [
        Grant(
            account_id=found.account_id, pipeline=found.pipeline, permission=permission, role=role,
            reason=found.reason, granted_by=caller.account, granted_by_name=caller.name, request_id=found.id,
            expires_at=expires_at,
        )
        for permission, role in things
    ]  # fmt: skip


def cancel(session: Session, caller: Caller, actor: audit.Actor, request_id: str) -> AccessRequest:
    """Take a request back; who asked may, and who is to have it.

    Raises:
        NotFound: there is none, or it is others'.
        Conflict: it is not open any more.
    """
    found = _found(session, request_id)
    if caller.account not in (found.requested_by, found.account_id):
        raise _no_such(request_id)
    _take(session, found, State.CANCELLED, caller, "")
    _tell(session, actor, audit.Action.REQUEST_CANCELLED, found)
    return found


def close_overdue(session: Session) -> int:
    """Close the open requests that nobody decided in time."""
    closed = session.scalars(
        sa.update(AccessRequest)
        .where(AccessRequest.state == State.OPEN.value, AccessRequest.expires_at <= now())
        .values(state=State.EXPIRED.value)
        .returning(AccessRequest)
    ).all()
    for request in closed:
        _tell(session, audit.Actor.system("access"), audit.Action.REQUEST_EXPIRED, request)
    return len(closed)


def _found(session: Session, request_id: str) -> AccessRequest:
    found = session.get(AccessRequest, request_id)
    if found is None:
        raise _no_such(request_id)
    return found


def _no_such(request_id: str) -> NotFound:
    return NotFound(
        f"there is no access request {request_id!r}",
        rule="an id of GET /v1/access-requests is expected",
        fix="check it",
    )


def _take(session: Session, found: AccessRequest, state: State, caller: Caller, comment: str) -> None:
    """Open -> decided, for one of all who try."""
    at = now()
    taken = session.execute(
        sa.update(AccessRequest)
        .where(AccessRequest.id == found.id, AccessRequest.state == State.OPEN.value, AccessRequest.expires_at > at)
        .values(
            state=state.value, decided_by=caller.account, decided_by_name=caller.name, decided_at=at, comment=comment
        )
        .returning(AccessRequest.id)
    ).one_or_none()
    session.refresh(found)
    if taken is None:
        state_now = State.EXPIRED.value if found.state == State.OPEN.value else found.state
        raise Conflict(
            f"the request {found.id} is {state_now}",
            rule="only an open request can be decided or cancelled",
            fix="open a new one",
        )


def _tell(
    session: Session, actor: audit.Actor, action: audit.Action, request: AccessRequest, **more: str | None
) -> None:
    audit.record(
        session,
        actor=actor,
        action=action,
        subject=f"account:{request.account_id}",
        details={
            "access_request": request.id,
            "permissions": list(request.permissions),
            "role": request.role,
            "pipeline": request.pipeline,
            **more,
        },
    )
