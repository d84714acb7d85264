"""Keys for machines: everybody's own, for admins all of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Query, Request
from pydantic import Field

from pynomaly_pipelines.operations.errors import Forbidden, NotFound, Unprocessable
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import demand, require
from pynomaly_pipelines.service.accounts.tables import NAME_LENGTH, ApiKey
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.log import record
from pynomaly_pipelines.service.auth import api_keys
from pynomaly_pipelines.service.auth.recognition import Identity
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.paging import Answer, StrictQuery
from pynomaly_pipelines.service.problems import problems
from pynomaly_pipelines.service.routes.asking import actor_of

router = bodies.router("/api-keys", "accounts")
Owner = Annotated[Caller, Depends(require(Permission.KEYS_OWN))]


class Listed(StrictQuery):
    """Which keys."""

    account: str = Field("", max_length=32, description="Of another account, for admins; `all` lists every key.")


class NewKey(Answer):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=NAME_LENGTH, description="What it is for.", examples=["till 7"])
    days: int = Field(90, ge=1, description="How long it holds.")
    permissions: tuple[Permission, ...] | None = Field(
        None, max_length=len(Permission), description="What it is limited to; null: all that the account may do."
    )
    pipelines: tuple[Annotated[str, Field(max_length=100)], ...] | None = Field(
        None, max_length=1000, description="Where it may do so; null: wherever the account may."
    )


class Key(Answer):
    """A key, without its secret."""

    id: str
    account: str
    name: str
    permissions: tuple[str, ...] | None
    pipelines: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class CreatedKey(Answer):
    """The key; it is shown here only."""

    key: Key
    secret: str = Field(description="For the header X-API-Key.")


@router.get("")
def list_keys(service: TheService, caller: Owner, asked: Annotated[Listed, Query()]) -> list[Key]:
    """The own keys; for admins those of an account, or all. The newest first, a thousand at most."""
    query = sa.select(ApiKey).order_by(ApiKey.created_at.desc()).limit(1000)
    if asked.account not in ("", caller.account):
        demand(caller, Permission.USERS_MANAGE)
    if asked.account != "all":
        query = query.where(ApiKey.account_id == (asked.account or caller.account))
    with service.database.reading() as session:
        return [_shown(row) for row in session.scalars(query)]


@router.post("", status_code=201, responses=problems(403, 422))
def create_key(body: NewKey, request: Request, service: TheService, caller: Owner) -> CreatedKey:
    """Make a key for the own account. It can never do more than the account can at the time."""
    _may_make(request, caller, body)
    if body.days > service.settings.api_key_days:
        raise Unprocessable(
            f"{body.days} days are too long",
            rule=f"keys hold up to {service.settings.api_key_days} days here",
            fix="ask for fewer, and make a new key before it ends",
        )
    wanted = api_keys.Wanted(caller.account, body.name, timedelta(days=body.days), body.permissions, body.pipelines)
    with service.database.writing() as session:
        row, secret = api_keys.create(session, wanted, service.auth.now())
        record(
            session,
            actor=actor_of(request, caller),
            action=Action.KEY_CREATED,
            subject=f"key:{row.id}",
            details={"name": row.name, "permissions": row.permissions, "pipelines": row.pipelines},
        )
        return CreatedKey(key=_shown(row), secret=secret)


@router.delete("/{key}", status_code=204, responses=problems(404))
def revoke_key(key: str, request: Request, service: TheService, caller: Owner) -> None:
    """Revoke a key, the own or, for admins, anybody's."""
    with service.database.writing() as session:
        row = session.get(ApiKey, key)
        if row is None or not (row.account_id == caller.account or caller.may(Permission.USERS_MANAGE)):
            raise NotFound(f"there is no key {key[:20]!r}", rule="an id of GET /v1/api-keys", fix="check the id")
        if row.revoked_at is None:
            row.revoked_at = service.auth.now()
            record(session, actor=actor_of(request, caller), action=Action.KEY_REVOKED, subject=f"key:{row.id}")


def _may_make(request: Request, caller: Caller, wanted: NewKey) -> None:
    """Nobody gets more, or for longer, than the credential at hand gives."""
    identity: Identity = request.state.identity
    if not identity.session:
        raise Forbidden(
            "an API key cannot make API keys", rule="a key that leaked must end", fix="log in, then make the key"
        )
    if caller.scopes is not None and not (wanted.permissions and set(wanted.permissions) <= caller.scopes):
        raise Forbidden(
            "the key would do more than this login",
            rule="the login was limited to a scope",
            fix="limit the key to permissions of that scope, or log in without one",
        )


def _shown(row: ApiKey) -> Key:
    return Key(
        id=row.id,
        account=row.account_id,
        name=row.name,
        permissions=None if row.permissions is None else tuple(row.permissions),
        pipelines=None if row.pipelines is None else tuple(row.pipelines),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
