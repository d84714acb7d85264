"""Wrong passwords -> waits that grow, for one account from one address.

Every try is counted as a failure before its password is looked at, in one transaction, and the count is cleared by the
right one: tries at the same time cannot get more guesses than those one after another. Waits are per address, so that
nobody can lock out somebody else (OWASP ASVS 5.0, 6.1.1). Against guesses from many addresses, an account with
very many failures gives each address one try before its wait; whoever knows the password needs no more.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import TooManyRequests
from pynomaly_pipelines.service.accounts.tables import LoginAttempt
from pynomaly_pipelines.service.settings import ServiceSettings

_ANYWHERE = "*"


@dataclass(frozen=True)
class Rule:
    """How many failures, and what then."""

    failures: int
    first: timedelta
    longest: timedelta
    forgotten: timedelta
    account_failures: int

    @classmethod
    def of(cls, settings: ServiceSettings) -> Rule:
        """The settings' rule."""
        return cls(
            settings.lockout_failures,
            timedelta(seconds=settings.lockout_seconds),
            timedelta(seconds=settings.lockout_longest_seconds),
            timedelta(seconds=settings.lockout_forgotten_seconds),
            settings.lockout_account_failures,
        )

    def wait(self, beyond: int) -> timedelta:
        """After `beyond` failures more than are free."""
        doubled: timedelta = self.first * 2 ** min(beyond, 16)
        return min(doubled, self.longest)


def place(client: str) -> str:
    """What counts as one address: of IPv6, the network a household gets (/64)."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def take_try(session: Session, name: str, client: str, rule: Rule, at: datetime) -> bool:
    """Count a try as failed; `clear` it when it was not. Says whether this one begins a wait.

    Raises:
        TooManyRequests: a wait is not over.
    """
    everywhere, here = _row(session, name, _ANYWHERE), _row(session, name, place(client))
    if here.locked_until is not None and here.locked_until > at:
        raise locked(here.locked_until - at)
    for row in (everywhere, here):
        if row.last_failed_at is not None and at - row.last_failed_at > rule.forgotten:
            row.failures = 0
        row.failures, row.last_failed_at = row.failures + 1, at
    free = rule.failures if everywhere.failures <= rule.account_failures else 1
    if here.failures < free:
        return False
    here.locked_until = at + rule.wait(here.failures - free)
    return True


def clear(session: Session, name: str, client: str) -> None:
    """The password was right: failures from there, and the account's sum, are forgotten."""
    session.execute(
        sa.delete(LoginAttempt).where(
            LoginAttempt.subject == subject(name), LoginAttempt.client.in_((place(client), _ANYWHERE))
        )
    )


def unlock(session: Session, name: str) -> int:
    """End all waits of an account; how many there were."""
    found = session.execute(
        sa.delete(LoginAttempt).where(LoginAttempt.subject == subject(name)).returning(LoginAttempt.locked_until)
    )
    return sum(until is not None for (until,) in found.tuples())


def failures(session: Session, name: str) -> int:
    """Wrong passwords for the account since the last right one, from all addresses."""
    found = session.get(LoginAttempt, (subject(name), _ANYWHERE))
    return found.failures if found else 0


def locked(remaining: timedelta) -> TooManyRequests:
    """The answer during a wait, whether or not the password is right."""
    error = TooManyRequests(
        "too many wrong passwords",
        rule="each further one makes the wait longer",
        fix="wait as long as Retry-After says, or have an admin unlock the account",
    )
    error.retry_after = max(1.0, remaining.total_seconds())
    return error


def subject(name: str) -> str:
    """What is kept of a name that was typed."""
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()


def _row(session: Session, name: str, client: str) -> LoginAttempt:
    """The row, made if there was none, locked until the transaction ends."""
    key = {"subject": subject(name), "client": client}
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    session.execute(dialect.insert(LoginAttempt).values(**key, failures=0).on_conflict_do_nothing())
    return session.get_one(LoginAttempt, tuple(key.values()), with_for_update=True, populate_existing=True)
