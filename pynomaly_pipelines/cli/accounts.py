"""`accounts`: make, change and unlock accounts of the HTTP API at the terminal, without the service running."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from pynomaly_pipelines.service.accounts.tables import Account
    from pynomaly_pipelines.service.audit.entries import Actor
    from pynomaly_pipelines.service.auth.parts import Auth


@click.group()
def accounts() -> None:
    """Accounts of the HTTP API. Whoever may run this here may do anything: it works on the database itself."""


@accounts.command()
def migrate() -> None:
    """Bring the accounts' database to the schema of this version."""
    from pynomaly_pipelines.service.accounts.migrating import migrate as take_steps
    from pynomaly_pipelines.service.accounts.opening import connect
    from pynomaly_pipelines.service.settings import ServiceSettings

    database = connect(ServiceSettings(), Project.current().settings.home)
    before, after = take_steps(database)
    database.close()
    click.echo(f"already at {after}" if before == after else f"from {before or 'nothing'} to {after}")


@accounts.command()
@click.option("--name", help="Make the first admin here and now, under this name.")
@click.option("--password-stdin", is_flag=True, help="With --name: read the password from standard input.")
def bootstrap(name: str | None, password_stdin: bool) -> None:
    """Make the first admin: prints a one-time code for it, or takes a name and a password.

    The code holds for an hour. There is no default password.
    """
    from pynomaly_pipelines.operations.errors import Conflict
    from pynomaly_pipelines.service.accounts import management
    from pynomaly_pipelines.service.auth import codes, redeeming
    from pynomaly_pipelines.service.auth.login import From

    with _auth() as auth:
        with auth.database.writing() as session:
            if management.admins(session):
                raise Conflict("there is an admin", rule="bootstrapping is for the first one", fix="log in")
            code, until = codes.make(session, None, auth.now())
        if name is None:
            click.echo(code)
            click.echo(f"holds until {until:%Y-%m-%d %H:%M} UTC, once: POST /v1/auth/bootstrap", err=True)
            return
        account = redeeming.bootstrap(auth, code, name, _password(password_stdin), From("terminal"))
        click.echo(f"{account.name} is an admin")


@accounts.command(name="list")
def list_accounts() -> None:
    """Show every account."""
    import sqlalchemy as sa

    from pynomaly_pipelines.service.accounts.tables import Account
    from pynomaly_pipelines.service.auth import lockout

    with _auth() as auth, auth.database.reading() as session:
        rows = [
            [a.name, a.role, _state(a), _moment(a.last_login_at), str(lockout.failures(session, a.name))]
            for a in session.scalars(sa.select(Account).order_by(Account.name))
        ]
    show_table("", ["name", "role", "state", "last login", "wrong passwords since"], rows)


@accounts.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "user", "admin"]), default="viewer", show_default=True)
@click.option("--granted-only", is_flag=True, help="Limit it to pipelines with a grant.")
def create(name: str, role: str, granted_only: bool) -> None:
    """Make the account NAME; prints the one-time code by which its owner sets the password."""
    from pynomaly_pipelines.service.access.permissions import Role
    from pynomaly_pipelines.service.accounts import management
    from pynomaly_pipelines.service.auth import codes

    with _auth() as auth, auth.database.writing() as session:
        at = auth.now()
        made = management.create(session, _actor(), name, Role(role), all_pipelines=not granted_only, at=at)
        code, until = codes.make(session, made.id, at)
    _show_code(code, f"{until:%Y-%m-%d %H:%M}")


@accounts.command()
@click.argument("name")
def disable(name: str) -> None:
    """Let the account NAME do nothing any more, from the next request on."""
    _change(name, enabled=False)


@accounts.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let the account NAME log in again."""
    _change(name, enabled=True)


@accounts.command()
@click.argument("name")
def unlock(name: str) -> None:
    """End the waits of the account NAME after wrong passwords."""
    from pynomaly_pipelines.service.audit.actions import Action
    from pynomaly_pipelines.service.audit.log import record
    from pynomaly_pipelines.service.auth import lockout

    with _auth() as auth, auth.database.writing() as session:
        found = _named(session, name)
        ended = lockout.unlock(session, found.name)
        subject = f"account:{found.id}"
        record(session, actor=_actor(), action=Action.ACCOUNT_UNLOCKED, subject=subject, details={"waits": ended})
    click.echo(f"{found.name}: {ended} waits ended")


@accounts.command(name="reset-password")
@click.argument("name")
def reset_password(name: str) -> None:
    """Take the password of NAME away; prints a one-time code to set another."""
    from pynomaly_pipelines.service.accounts import management
    from pynomaly_pipelines.service.audit.actions import Action
    from pynomaly_pipelines.service.auth import codes

    with _auth() as auth, auth.database.writing() as session:
        at, found = auth.now(), _named(session, name)
        code, until = codes.make(session, found.id, at)
        management.set_password(session, _actor(), found, None, Action.LOGIN_RESET, at)
    _show_code(code, f"{until:%Y-%m-%d %H:%M}")


@accounts.command(name="rotate-keys")
@click.option("--now", "compromised", is_flag=True, help="Tokens signed so far no longer hold: the key has leaked.")
def rotate_keys(compromised: bool) -> None:
    """Have the next signing key sign; tokens of the one before hold until they expire."""
    from pynomaly_pipelines.service.audit.actions import Action
    from pynomaly_pipelines.service.audit.log import record

    with _auth() as auth:
        active = auth.keys.rotate(auth.now(), compromised=compromised)
        with auth.database.writing() as session:
            details = {"compromised": compromised}
            subject = f"signing-key:{active.kid}"
            record(session, actor=_actor(), action=Action.SIGNING_KEY_ROTATED, subject=subject, details=details)
    click.echo(f"{active.kid} signs now ({active.algorithm})")


@contextmanager
def _auth() -> Iterator[Auth]:
    from pynomaly_pipelines.service.accounts.opening import open_database
    from pynomaly_pipelines.service.auth.parts import Auth
    from pynomaly_pipelines.service.settings import ServiceSettings

    settings, home = ServiceSettings(), Project.current().settings.home
    database = open_database(settings, home)
    found = Auth.of(settings, database, home)
    try:
        yield found
    finally:
        found.close()
        database.close()


def _change(name: str, *, enabled: bool) -> None:
    from pynomaly_pipelines.service.accounts import management

    with _auth() as auth, auth.database.writing() as session:
        found = _named(session, name)
        management.change(session, _actor(), found, management.Change(enabled=enabled), auth.now())
    click.echo(f"{found.name} is {'enabled' if enabled else 'disabled'}")


def _named(session: Session, name: str) -> Account:
    from pynomaly_pipelines.operations.errors import NotFound
    from pynomaly_pipelines.service.accounts import management

    found = management.by_name(session, name)
    if found is None:
        raise NotFound(
            f"there is no account {name!r}", rule="`pynomaly accounts list` names them", fix="check the name"
        )
    return found


def _actor() -> Actor:
    """Who is at the terminal, for the audit log."""
    from pynomaly_pipelines.service.audit.entries import Actor

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # In a container the user may have a number and no name.
        user = "unknown"
    return Actor("", f"system:terminal:{user}", "terminal")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return typed


def _show_code(code: str, until: str) -> None:
    click.echo(code)
    click.echo(f"holds until {until} UTC, once: POST /v1/auth/redeem", err=True)


def _state(account: Account) -> str:
    if not account.enabled:
        return "disabled"
    return "ready" if account.password_hash else "no password yet"


def _moment(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"
