"""Accounts: for admins all of them, for everybody the own one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Query, Request
from pydantic import Field, SecretStr, StrictBool
from sqlalchemy.orm import Session

from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.access.requirements import require, require_account
from pynomaly_pipelines.service.accounts import management
from pynomaly_pipelines.service.accounts.management import Change
from pynomaly_pipelines.service.accounts.tables import NAME_LENGTH, Account
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.log import record
from pynomaly_pipelines.service.auth import codes, lockout, redeeming
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.paging import Answer, StrictQuery
from pynomaly_pipelines.service.problems import problems
from pynomaly_pipelines.service.routes.asking import actor_of, source_of

router = bodies.router("/users", "accounts")
Admin = Annotated[Caller, Depends(require(Permission.USERS_MANAGE))]
Somebody = Annotated[Caller, Depends(require_account)]


class Listed(StrictQuery):
    """Which accounts."""

    after: str = Field("", max_length=NAME_LENGTH, description="Only names after this one: `next` of the page before.")
    limit: int = Field(100, ge=1, le=1000, description="Most accounts of the page.")


class User(Answer):
    """An account."""

    id: str
    name: str = Field(description="What it logs in with.")
    role: Role
    enabled: bool
    all_pipelines: bool = Field(description="Whether the role holds for every pipeline, or for those with a grant.")
    has_password: bool = Field(description="False until its one-time code was redeemed.")
    created_at: datetime
    password_changed_at: datetime | None
    last_login_at: datetime | None
    last_login_from: str | None = Field(description="Address.")
    failed_logins: int = Field(description="Wrong passwords since the last right one.")


class Users(Answer):
    """A page of accounts, by name."""

    items: tuple[User, ...]
    next: str | None = Field(description="`after` of the next page; null on the last.")


class NewUser(Answer):
    """An account to be made."""

    name: str = Field(
        min_length=1,
        max_length=NAME_LENGTH,
        examples=["ada@example.org"],
        json_schema_extra={"pattern": "^ *[A-Za-z0-9][A-Za-z0-9._@+-]* *$"},
    )
    role: Role = Role.VIEWER
    all_pipelines: StrictBool = Field(True, description="False: only pipelines with a grant.")


class UserChange(Answer):
    """What is to be different."""

    role: Role | None = None
    enabled: StrictBool | None = None
    all_pipelines: StrictBool | None = None


class Code(Answer):
    """A one-time code; it is shown here only."""

    code: str = Field(description="For POST /v1/auth/redeem.")
    expires_at: datetime


class CreatedUser(Answer):
    """The account and the code by which its owner sets the password."""

    user: User
    code: str = Field(description="For POST /v1/auth/redeem.")
    expires_at: datetime


class PasswordChange(Answer):
    """The password of now and the next."""

    current: SecretStr = Field(min_length=1, max_length=4096)
    new: SecretStr = Field(min_length=1, max_length=4096)


@router.get("")
def list_users(service: TheService, _caller: Admin, asked: Annotated[Listed, Query()]) -> Users:
    """All accounts, by name."""
    query = sa.select(Account).where(Account.name > asked.after).order_by(Account.name).limit(asked.limit + 1)
    with service.database.reading() as session:
        found = session.scalars(query).all()
        items = tuple(_shown(session, account) for account in found[: asked.limit])
    return Users(items=items, next=items[-1].name if len(found) > asked.limit else None)


@router.post("", status_code=201, responses=problems(409, 422))
def create_user(body: NewUser, request: Request, service: TheService, caller: Admin) -> CreatedUser:
    """Make an account. Its owner sets the password with the code; no admin ever knows it."""
    at = service.auth.now()
    with service.database.writing() as session:
        code_for = management.create(
            session, actor_of(request, caller), body.name, body.role, all_pipelines=body.all_pipelines, at=at
        )
        code, until = codes.make(session, code_for.id, at)
        return CreatedUser(user=_shown(session, code_for), code=code, expires_at=until)


@router.get("/me")
def show_me(service: TheService, caller: Somebody) -> User:
    """The own account."""
    with service.database.reading() as session:
        return _shown(session, management.get(session, caller.account))


@router.post("/me/password", status_code=204, responses=problems(401, 422, 429))
async def change_password(body: PasswordChange, request: Request, service: TheService, caller: Somebody) -> None:
    """Change the own password. Every login ends, this one too."""
    auth, source = service.auth, source_of(request)
    current, new = body.current.get_secret_value(), body.new.get_secret_value()
    await auth.workers.run(lambda: redeeming.change(auth, caller.name, current, new, source))


@router.get("/{account}", responses=problems(404))
def show_user(account: str, service: TheService, _caller: Admin) -> User:
    """One account."""
    with service.database.reading() as session:
        return _shown(session, management.get(session, account))


@router.patch("/{account}", responses=problems(404, 409, 422))
def change_user(account: str, body: UserChange, request: Request, service: TheService, caller: Admin) -> User:
    """Change role, state or the pipelines seen. Access tokens of before are refused from the next request on."""
    with service.database.writing() as session:
        found = management.get(session, account)
        wanted = Change(body.role, body.enabled, body.all_pipelines)
        management.change(session, actor_of(request, caller), found, wanted, service.auth.now())
        return _shown(session, found)


@router.delete("/{account}", status_code=204, responses=problems(404, 409))
def delete_user(account: str, request: Request, service: TheService, caller: Admin) -> None:
    """Delete an account with its tokens, keys and grants. The audit log keeps what it did."""
    with service.database.writing() as session:
        management.delete(session, actor_of(request, caller), management.get(session, account))


@router.post("/{account}/unlock", status_code=204, responses=problems(404))
def unlock_user(account: str, request: Request, service: TheService, caller: Admin) -> None:
    """End every wait after wrong passwords, from all addresses."""
    with service.database.writing() as session:
        found = management.get(session, account)
        ended = lockout.unlock(session, found.name)
        record(
            session,
            actor=actor_of(request, caller),
            action=Action.ACCOUNT_UNLOCKED,
            subject=f"account:{found.id}",
            details={"waits": ended},
        )


@router.post("/{account}/reset-password", responses=problems(404, 409))
def reset_password(account: str, request: Request, service: TheService, caller: Admin) -> Code:
    """Take the password away and make a code to set another. Every login of the account ends."""
    at = service.auth.now()
    with service.database.writing() as session:
        found = management.get(session, account)
        management.require_another_admin(session, found)
        code, until = codes.make(session, found.id, at)
        management.set_password(session, actor_of(request, caller), found, None, Action.LOGIN_RESET, at)
        return Code(code=code, expires_at=until)


def _shown(session: Session, account: Account) -> User:
    return User(
        id=account.id,
        name=account.name,
        role=Role(account.role),
        enabled=account.enabled,
        all_pipelines=account.all_pipelines,
        has_password=account.password_hash is not None,
        created_at=account.created_at,
        password_changed_at=account.password_changed_at,
        last_login_at=account.last_login_at,
        last_login_from=account.last_login_from,
        failed_logins=lockout.failures(session, account.name),
    )
