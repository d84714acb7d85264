"""A one-time code and a password -> an account that can log in; a password and another -> the other.

Synchronous, and slow by design: called in `Workers`.
"""

from __future__ import annotations

from pynomaly_pipelines.operations.errors import Conflict, SettingsError
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.accounts import management
from pynomaly_pipelines.service.accounts.tables import Account, OneTimeCode
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.entries import Actor
from pynomaly_pipelines.service.auth import codes, opaque, password_policy
from pynomaly_pipelines.service.auth.login import From, check_password
from pynomaly_pipelines.service.auth.parts import Auth


def accepted_hash(auth: Auth, name: str, password: str) -> str:
    """What is stored of a new password.

    Raises:
        Unprocessable: the policy refuses it.
    """
    rule = auth.settings
    password_policy.check(password, name, length=rule.password_length, strength=rule.password_strength)
    return auth.passwords.hash(password)


def bootstrap(auth: Auth, code: str, name: str, password: str, source: From) -> Account:
    """Make the first admin.

    Raises:
        NotAuthenticated: the code does not work.
        Conflict: there is an admin.
        Unprocessable: it cannot be a name, or the policy refuses the password.
    """
    _peek(auth, code)
    stored = accepted_hash(auth, management.canonical(name), password)
    at = auth.now()
    with auth.database.writing() as session:
        if codes.take(session, code, at) is not None:
            raise codes.unknown()
        if management.admins(session):
            raise Conflict("there is an admin", rule="bootstrapping is for the first one", fix="log in")
        actor = Actor("", "system:bootstrap", source.client, source.request_id)
        account = management.create(session, actor, name, Role.ADMIN, all_pipelines=True, at=at)
        management.set_password(session, actor, account, stored, Action.ACCOUNT_BOOTSTRAPPED, at)
    return account


def redeem(auth: Auth, code: str, password: str, source: From) -> Account:
    """Set the password of the account that the code is for.

    Raises:
        NotAuthenticated: the code does not work.
        Unprocessable: the policy refuses the password; the code still works.
    """
    whose = _peek(auth, code)
    if whose is None:
        raise codes.unknown()
    with auth.database.reading() as session:
        name = management.get(session, whose).name
    stored = accepted_hash(auth, name, password)
    at = auth.now()
    with auth.database.writing() as session:
        if codes.take(session, code, at) != whose:
            raise codes.unknown()
        account = management.get(session, whose)
        actor = Actor(account.id, account.name, source.client, source.request_id)
        management.set_password(session, actor, account, stored, Action.LOGIN_CHANGED, at)
    return account


def change(auth: Auth, name: str, current: str, new: str, source: From) -> None:
    """Another password for who knows the one of now; every login of before ends.

    Raises:
        NotAuthenticated, TooManyRequests: the current one is wrong.
        Unprocessable: the policy refuses the new one.
    """
    account = check_password(auth, name, current, source)
    stored = accepted_hash(auth, name, new)
    with auth.database.writing() as session:
        found = management.get(session, account.id)
        actor = Actor(found.id, found.name, source.client, source.request_id)
        management.set_password(session, actor, found, stored, Action.LOGIN_CHANGED, auth.now())


def require_somebody(auth: Auth) -> None:
    """Refuse to serve an installation that nobody could ever log in to.

    Raises:
        SettingsError: there is neither an admin nor a code to make the first one.
    """
    with auth.database.reading() as session:
        if management.admins(session) or codes.outstanding(session, None, auth.now()):
            return
    raise SettingsError(
        "there is no admin yet, and there is no default password",
        rule="the first admin is made with a one-time code",
        fix="`pynomaly accounts bootstrap` prints one",
    )


def _peek(auth: Auth, code: str) -> str | None:
    """Whose the code is, without using it up: a refused password must not cost it."""
    with auth.database.reading() as session:
        found = session.get(OneTimeCode, opaque.hashed(code))
        if found is None or found.expires_at <= auth.now():
            raise codes.unknown()
        return found.account_id
