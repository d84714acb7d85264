"""Grants: given, revoked, listed, each change in the audit log within the same transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import Conflict, NotFound, Unprocessable
from pynomaly_pipelines.service import audit
from pynomaly_pipelines.service.access import rules
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.standing import holding
from pynomaly_pipelines.service.access.tables import Grant
from pynomaly_pipelines.service.accounts.tables import Account, now


@dataclass(frozen=True)
class Wanted:
    """A grant as it is asked for."""

    account: str
    """What the account logs in with."""
    permission: Permission
    pipeline: str | None
    reason: str
    expires_at: datetime | None


def account_named(session: Session, name: str) -> Account:
    """The account that logs in with that name.

    Raises:
        NotFound: there is none.
    """
    found = session.scalars(sa.select(Account).where(Account.name == name.strip().lower())).one_or_none()
    if found is None:
        raise NotFound(f"there is no account {name!r}", rule="the name it logs in with is expected", fix="check it")
    return found


def give(session: Session, caller: Caller, actor: audit.Actor, wanted: Wanted) -> Grant:
    """Grant a permission.

    Raises:
        Forbidden: to oneself, or more than one has.
        NotFound: there is no such account.
        Conflict: it is granted already, or of no use to the account.
        Unprocessable: it is not for single pipelines, or has expired already.
    """
    account = account_named(session, wanted.account)
    rules.refuse_to_oneself(caller, account.id)
    rules.refuse_to_give_more_than_held(caller, [wanted.permission], wanted.pipeline)
    rules.refuse_what_does_not_fit([wanted.permission], wanted.pipeline, account.all_pipelines)
    at = now()
    if wanted.expires_at is not None and wanted.expires_at <= at:
        raise Unprocessable(
            f"expires_at is {wanted.expires_at.isoformat()}, which is past", rule="a grant ends in the future",
            fix="give a later time, or none",
        )  # fmt: skip
    _refuse_a_second(session, account, wanted, at)
    grant = Grant(
        account_id=account.id, pipeline=wanted.pipeline, permission=wanted.permission.value, reason=wanted.reason,
        granted_by=caller.account, granted_by_name=caller.name, expires_at=wanted.expires_at,
    )  # fmt: skip
    store(session, actor, grant)
    return grant


def _refuse_a_second(session: Session, account: Account, wanted: Wanted, at: datetime) -> None:
    same = sa.select(Grant.id).where(
        Grant.account_id == account.id,
        Grant.permission == wanted.permission.value,
        Grant.pipeline.is_(None) if wanted.pipeline is None else Grant.pipeline == wanted.pipeline,
        *holding(at),
    )
    known = session.scalars(same).first()
    if known is not None:
        raise Conflict(
            f"{account.name!r} has that grant already: {known}", rule="one grant for one permission on one pipeline",
            fix=f"revoke it first: DELETE /v1/grants/{known}",
        )  # fmt: skip


def store(session: Session, actor: audit.Actor, grant: Grant) -> None:
    """Store a grant that was decided on, and tell the audit log."""
    session.add(grant)
    session.flush()
    audit.record(
        session,
        actor=actor,
        action=audit.Action.GRANT_GIVEN,
        subject=f"account:{grant.account_id}",
        details={
            "grant": grant.id,
            "permission": grant.permission,
            "role": grant.role,
            "pipeline": grant.pipeline,
            "reason": grant.reason,
            "expires_at": grant.expires_at.isoformat() if grant.expires_at else None,
            "access_request": grant.request_id,
        },
    )


def revoke(session: Session, caller: Caller, actor: audit.Actor, grant_id: str) -> None:
    """Take a grant back; whoever may give grants may, and nobody needs a second person for it.

    Raises:
        NotFound: there is none, or it was taken back already.
    """
    done = session.execute(
        sa.update(Grant)
        .where(Grant.id == grant_id, Grant.revoked_at.is_(None))
        .values(revoked_at=now(), revoked_by=caller.account)
        .returning(Grant.account_id, Grant.permission, Grant.role, Grant.pipeline)
    ).one_or_none()
    if done is None:
        raise NotFound(f"there is no grant {grant_id!r}", rule="an id of GET /v1/grants is expected", fix="check it")
    audit.record(
        session,
        actor=actor,
        action=audit.Action.GRANT_REVOKED,
        subject=f"account:{done.account_id}",
        details={"grant": grant_id, "permission": done.permission, "role": done.role, "pipeline": done.pipeline},
    )
