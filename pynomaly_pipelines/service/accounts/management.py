"""Making, changing and deleting accounts; what each of it does to tokens that are out; the audit log's entries.

Every function works in the caller's transaction and ends with its entry in the audit log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import Conflict, NotFound, Unprocessable
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.accounts.tables import NAME_LENGTH, Account, RefreshFamily
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.entries import Actor, Detail
from pynomaly_pipelines.service.audit.log import record

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]*")


def canonical(name: str) -> str:
    """What somebody types as a name -> the name it would be."""
    return name.strip().lower()


def by_name(session: Session, name: str) -> Account | None:
    """The account that logs in with this."""
    return session.scalar(sa.select(Account).where(Account.name == canonical(name)))


def get(session: Session, account_id: str) -> Account:
    """The account of an id.

    Raises:
        NotFound: there is none.
    """
    found = session.get(Account, account_id)
    if found is None:
        raise NotFound(
            f"there is no account {account_id[:NAME_LENGTH]!r}", rule="an id of GET /v1/users", fix="check the id"
        )
    return found


def create(session: Session, actor: Actor, name: str, role: Role, *, all_pipelines: bool, at: datetime) -> Account:
    """A new account, without a password yet.

    Raises:
        Unprocessable: it cannot be a name.
        Conflict: the name is taken.
    """
    wanted = canonical(name)
    if not _NAME.fullmatch(wanted) or len(wanted) > NAME_LENGTH:
        raise Unprocessable(
            f"{name[:NAME_LENGTH]!r} cannot be an account's name",
            rule=f"letters a to z, digits and . _ @ + - are taken, up to {NAME_LENGTH}",
            fix="choose another name, an e-mail address for example",
        )
    account = Account(name=wanted, role=role, enabled=True, all_pipelines=all_pipelines, perm_version=1, created_at=at)
    try:
        with session.begin_nested():
            session.add(account)
    except sa.exc.IntegrityError:
        raise Conflict(f"the name {wanted!r} is taken", rule="names are unique", fix="choose another") from None
    details: dict[str, Detail] = {"name": wanted, "role": role.value, "all_pipelines": all_pipelines}
    record(session, actor=actor, action=Action.ACCOUNT_CREATED, subject=_subject(account), details=details)
    return account


@dataclass(frozen=True)
class Change:
    """What of an account is to be different; None leaves it."""

    role: Role | None = None
    enabled: bool | None = None
    all_pipelines: bool | None = None


def change(session: Session, actor: Actor, account: Account, wanted: Change, at: datetime) -> None:
    """Make it different. Tokens of before no longer hold after a change of role or state, or of the pipelines seen.

    Raises:
        Conflict: nobody could manage accounts any more.
    """
    was = (account.role, account.enabled, account.all_pipelines)
    demoted = wanted.role not in (None, Role.ADMIN) or wanted.enabled is False
    if demoted:
        require_another_admin(session, account)
    account.role = wanted.role or account.role
    account.enabled = account.enabled if wanted.enabled is None else wanted.enabled
    account.all_pipelines = account.all_pipelines if wanted.all_pipelines is None else wanted.all_pipelines
    if was == (account.role, account.enabled, account.all_pipelines):
        return
    account.perm_version += 1
    if not account.enabled:
        _end_logins(session, account, at)
    session.flush()
    _tell(session, actor, account, *was)


def _tell(session: Session, actor: Actor, account: Account, role: str, enabled: bool, all_pipelines: bool) -> None:
    subject = _subject(account)
    if role != account.role:
        details = {"name": account.name, "from": role, "to": account.role}
        record(session, actor=actor, action=Action.ROLE_CHANGED, subject=subject, details=details)
    if enabled != account.enabled:
        action = Action.ACCOUNT_ENABLED if account.enabled else Action.ACCOUNT_DISABLED
        record(session, actor=actor, action=action, subject=subject, details={"name": account.name})
    if all_pipelines != account.all_pipelines:
        seen: dict[str, Detail] = {"name": account.name, "all_pipelines": account.all_pipelines}
        record(session, actor=actor, action=Action.ACCOUNT_CHANGED, subject=subject, details=seen)


def delete(session: Session, actor: Actor, account: Account) -> None:
    """Delete it with its tokens, keys and grants; the audit log keeps its name.

    Raises:
        Conflict: nobody could manage accounts any more.
    """
    require_another_admin(session, account)
    session.delete(account)
    session.flush()
    details = {"name": account.name, "role": account.role}
    record(session, actor=actor, action=Action.ACCOUNT_DELETED, subject=_subject(account), details=details)


def set_password(
    session: Session, actor: Actor, account: Account, stored: str | None, action: Action, at: datetime
) -> None:
    """Another password, or none until a code is redeemed. Every login of before ends; API keys stay."""
    account.password_hash, account.password_changed_at = stored, at
    log_out(session, account, at)
    record(session, actor=actor, action=action, subject=_subject(account), details={"name": account.name})


def log_out(session: Session, account: Account, at: datetime) -> None:
    """End every login of the account, here and everywhere."""
    account.perm_version += 1
    _end_logins(session, account, at)
    session.flush()


def admins(session: Session) -> int:
    """Admins that can log in."""
    return session.scalar(sa.select(sa.func.count()).select_from(Account).where(*_ABLE)) or 0


def require_another_admin(session: Session, account: Account) -> None:
    """Refuse what would leave no admin that can log in, also when two do it to each other at the same time.

    Raises:
        Conflict: the account is the last one.
    """
    # Locked in one order, so that of two who take each other's role one waits and then sees it.
    able = session.scalars(sa.select(Account.id).where(*_ABLE).order_by(Account.id).with_for_update()).all()
    if list(able) == [account.id]:
        raise Conflict(
            f"{account.name!r} is the last admin",
            rule="one admin that can log in must stay",
            fix="make another account an admin first",
        )


_ABLE = (Account.role == Role.ADMIN.value, Account.enabled.is_(True), Account.password_hash.is_not(None))


def _end_logins(session: Session, account: Account, at: datetime) -> None:
    session.execute(
        sa.update(RefreshFamily)
        .where(RefreshFamily.account_id == account.id, RefreshFamily.revoked_at.is_(None))
        .values(revoked_at=at)
    )


def _subject(account: Account) -> str:
    return f"account:{account.id}"
