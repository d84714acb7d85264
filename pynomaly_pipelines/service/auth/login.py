"""A name and a password, or a refresh token -> new tokens.

Synchronous, and slow by design: called in `Workers`. Every refusal costs the same work and says the same, whether or
not there is such an account.
"""

from __future__ import annotations

from dataclasses import dataclass

from pynomaly_pipelines.operations.errors import NotAuthenticated
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.accounts import management
from pynomaly_pipelines.service.accounts.tables import Account
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.entries import Actor
from pynomaly_pipelines.service.audit.log import record
from pynomaly_pipelines.service.auth import families, lockout, tokens
from pynomaly_pipelines.service.auth.families import Opened
from pynomaly_pipelines.service.auth.oauth_errors import bad_scope
from pynomaly_pipelines.service.auth.parts import Auth


@dataclass(frozen=True)
class Tokens:
    """What a program gets."""

    access: str
    refresh: str
    scope: str


@dataclass(frozen=True)
class From:
    """Where a request comes from, for counting and for the audit log."""

    client: str
    request_id: str = ""


def by_password(auth: Auth, name: str, password: str, scope: str, source: From) -> Tokens:
    """Log in.

    Raises:
        NotAuthenticated: no such account, another password, or not enabled.
        TooManyRequests: too many wrong passwords.
        BadRequest: the scope names something that is no permission.
    """
    wanted = scope_of(scope)
    account = check_password(auth, name, password, source)
    return _tokens(auth, _open(auth, account, families.TOKENS, wanted, source), account)


def into_browser(auth: Auth, name: str, password: str, source: From) -> str:
    """Log in a browser: the secret for its cookie.

    Raises:
        NotAuthenticated, TooManyRequests: as of `by_password`.
    """
    account = check_password(auth, name, password, source)
    return _open(auth, account, families.BROWSER, tokens.EVERYTHING, source).secret


def by_refresh(auth: Auth, secret: str, scope: str, source: From) -> Tokens:
    """Renew tokens.

    Raises:
        NotAuthenticated: the refresh token does not hold, or was used before.
        BadRequest: the scope goes beyond that of the login.
    """
    at, narrower = auth.now(), scope_of(scope)
    with auth.database.writing() as session:
        found = families.renew(session, secret, at)
        if found.reused and found.account is not None:
            record(
                session,
                actor=_actor(found.account, source),
                action=Action.REFRESH_REUSED,
                subject=f"account:{found.account.id}",
            )
    if found.opened is None or found.account is None:
        raise _refused("the refresh token is not valid", "log in again: POST /v1/auth/token with your password")
    return _tokens(auth, found.opened, found.account, _narrowed(found.opened.family.scope, narrower))


def check_password(auth: Auth, name: str, password: str, source: From) -> Account:
    """The account, if the password is its own; counts failures.

    Raises:
        NotAuthenticated, TooManyRequests: as of `by_password`.
    """
    typed = management.canonical(name)
    with auth.database.writing() as session:
        locks = lockout.take_try(session, typed, source.client, auth.lockout, auth.now())
    with auth.database.reading() as session:
        account = management.by_name(session, typed)
    right = auth.passwords.verify(account.password_hash if account else None, password)
    if account is None or not right or not account.enabled:
        _failed(auth, account, source, locks=locks)
        raise wrong()
    with auth.database.writing() as session:
        lockout.clear(session, typed, source.client)
    if account.password_hash is not None and auth.passwords.outdated(account.password_hash):
        _hash_anew(auth, account, password)
    return account


def wrong() -> NotAuthenticated:
    """The answer to a wrong name, a wrong password and a disabled account."""
    return _refused("name or password is wrong", "check both; an admin can reset the password or enable the account")


def scope_of(text: str) -> str:
    """A scope as it is stored: known permissions, sorted; all for an empty one.

    Raises:
        BadRequest: it names something else.
    """
    names = sorted(set(text.split()))
    unknown = [name for name in names if name not in list(Permission)]
    if unknown:
        raise bad_scope(
            f"{unknown[0][:60]!r} is no permission",
            rule="a scope is a list of permissions between spaces, or empty for all that the account may do",
            fix="leave it out, or name permissions such as `scores:read`",
        )
    return " ".join(names) or tokens.EVERYTHING


def _narrowed(held: str, wanted: str) -> str:
    if wanted == tokens.EVERYTHING or wanted == held:
        return held
    if held != tokens.EVERYTHING and not set(wanted.split()) <= set(held.split()):
        raise bad_scope(
            "the scope goes beyond that of the login", rule="renewing can only narrow it", fix="log in again"
        )
    return wanted


def _open(auth: Auth, account: Account, kind: str, scope: str, source: From) -> Opened:
    at = auth.now()
    lifetime = auth.lifetimes.refresh if kind == families.TOKENS else auth.lifetimes.session
    with auth.database.writing() as session:
        current = session.get(Account, account.id)
        # Changed while its password was looked at: the answer is about the account as it is.
        if current is None or not current.enabled or current.password_changed_at != account.password_changed_at:
            raise wrong()
        current.last_login_at, current.last_login_from = at, source.client[:64]
        opened = families.open_family(
            session, current, kind=kind, client=source.client, scope=scope, lifetime=lifetime, at=at
        )
        record(
            session,
            actor=_actor(current, source),
            action=Action.LOGIN_SUCCEEDED,
            subject=f"account:{current.id}",
            details={"by": kind},
        )
        account.perm_version = current.perm_version
    return opened


def _tokens(auth: Auth, opened: Opened, account: Account, scope: str | None = None) -> Tokens:
    held = scope or opened.family.scope
    access = tokens.issue(
        auth.keys.signer(auth.now()),
        auth.token_rule,
        account=account.id,
        session=opened.family.id,
        perm_version=account.perm_version,
        scope=held,
        at=auth.clock(),
    )
    return Tokens(access, opened.secret, held)


def _failed(auth: Auth, account: Account | None, source: From, *, locks: bool) -> None:
    """Note it. A name that nobody has is not written down: people type passwords there."""
    actor = Actor("", account.name if account else "", source.client, source.request_id)
    subject = f"account:{account.id}" if account else "account:unknown"
    with auth.database.writing() as session:
        record(session, actor=actor, action=Action.LOGIN_FAILED, subject=subject)
        if locks:
            record(session, actor=actor, action=Action.ACCOUNT_LOCKED, subject=subject)


def _hash_anew(auth: Auth, account: Account, password: str) -> None:
    stored = auth.passwords.hash(password)
    with auth.database.writing() as session:
        current = session.get(Account, account.id)
        if current is not None and current.password_hash == account.password_hash:
            current.password_hash = stored


def _actor(account: Account, source: From) -> Actor:
    return Actor(account.id, account.name, source.client, source.request_id)


def _refused(what: str, fix: str) -> NotAuthenticated:
    return NotAuthenticated(what, rule="what proves who is asking must be right and of now", fix=fix)
