"""Logging in, renewing, revoking; the browser's session; the keys that sign."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Form, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.config import JsonDict
from starlette.concurrency import run_in_threadpool

from pynomaly_pipelines.operations.errors import BadRequest, NotAuthenticated
from pynomaly_pipelines.service import bodies
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission
from pynomaly_pipelines.service.access.requirements import public, require, require_account
from pynomaly_pipelines.service.accounts import management
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.log import record
from pynomaly_pipelines.service.auth import login, redeeming, revocation
from pynomaly_pipelines.service.auth.credentials import cookie_name, require_own_page
from pynomaly_pipelines.service.auth.login import Tokens
from pynomaly_pipelines.service.auth.recognition import Identity
from pynomaly_pipelines.service.context import TheService
from pynomaly_pipelines.service.paging import Answer
from pynomaly_pipelines.service.problems import problems
from pynomaly_pipelines.service.routes.asking import actor_of, source_of

router = bodies.router("/auth", "auth")
well_known = bodies.router("/.well-known", "auth")
Somebody = Annotated[Caller, Depends(require_account)]

Name = Annotated[str, Field(min_length=1, max_length=100, description="What the account logs in with.")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=4096, description="The password.")]
_TOKEN = Annotated[str, Field(max_length=8192)]


def _form(grant: str, *fields: str) -> JsonDict:
    """What goes together in a form; without `fields`, one of the grant's name."""
    given = fields or (grant,)
    properties: JsonDict = {"grant_type": {"const": grant}, **{name: {"minLength": 1} for name in given}}
    return {"properties": properties, "required": ["grant_type", *given]}


class TokenRequest(BaseModel):
    """A form of RFC 6749, 4.3.2 or 6. Other fields are ignored, as it says."""

    model_config = ConfigDict(
        frozen=True, json_schema_extra={"anyOf": [_form("password", "username", "password"), _form("refresh_token")]}
    )

    grant_type: Literal["password", "refresh_token"] = Field(description="What it is asked for.")
    username: str = Field("", max_length=1000, description="With `password`: the account's name.")
    password: SecretStr = Field(SecretStr(""), max_length=4096, description="With `password`: the password.")
    refresh_token: _TOKEN = Field("", description="With `refresh_token`: the newest one.")
    scope: str = Field(
        "",
        max_length=2000,
        description="Permissions between spaces; empty: all of the account's.",
        json_schema_extra={"pattern": rf"^( *({'|'.join(Permission)})( |$))* *$"},
    )


class TokenAnswer(Answer):
    """An answer of RFC 6749, 5.1."""

    access_token: str = Field(description="For `Authorization: Bearer`.")
    token_type: Literal["Bearer"] = "Bearer"  # nosec B105 - a word of the standard
    expires_in: int = Field(description="Seconds that the access token holds.")
    refresh_token: str = Field(description="Works once, for the next tokens.")
    scope: str = Field(description="Permissions the tokens are limited to; `*`: all of the account's.")


class RevokeRequest(BaseModel):
    """A form of RFC 7009, 2.1."""

    model_config = ConfigDict(frozen=True)

    token: _TOKEN = Field(min_length=1, description="An access or a refresh token.")
    token_type_hint: str = Field("", max_length=50, description="Not needed.")


class LoginRequest(Answer):
    """Name and password."""

    name: Name
    password: Password


class BootstrapRequest(LoginRequest):
    """The first admin."""

    code: str = Field(max_length=200, description="Printed by `pynomaly accounts bootstrap`.")


class RedeemRequest(Answer):
    """A one-time code and the password to set."""

    code: str = Field(max_length=200, description="Of a new account, or after a reset.")
    password: Password


class RotateRequest(Answer):
    """How the signing key is changed."""

    compromised: bool = Field(False, description="Whether tokens signed so far must no longer hold.")


class KeySet(BaseModel):
    """Public keys (RFC 7517)."""

    keys: list[dict[str, Any]] = Field(description="Those that verify tokens, and the one that will sign next.")


@router.post("/token", responses=problems(400, 401, 429))
@public("whoever has a password or a refresh token may use it")
async def issue_tokens(
    form: Annotated[TokenRequest, Form()], request: Request, response: Response, service: TheService
) -> TokenAnswer:
    """Log in with a password, or renew tokens. A refresh token that comes twice ends its login."""
    auth, source = service.auth, source_of(request)
    if form.grant_type == "password":
        name, password = form.username, form.password.get_secret_value()
        if not name or not password:
            raise _missing("username", "password")
        found = await auth.workers.run(lambda: login.by_password(auth, name, password, form.scope, source))
    else:
        if not form.refresh_token:
            raise _missing("refresh_token")
        found = await run_in_threadpool(login.by_refresh, auth, form.refresh_token, form.scope, source)
    response.headers["cache-control"] = "no-store"
    return _answer(found, service.settings.access_token_seconds)


@router.post("/revoke", status_code=204)
@public("whoever has a token may end it; unknown ones are answered alike (RFC 7009)")
async def revoke_token(form: Annotated[RevokeRequest, Form()], service: TheService) -> None:
    """Revoke an access token, or a refresh token with its login."""
    epoch = await service.auth.epoch.now()
    await run_in_threadpool(revocation.revoke_given, service.auth, form.token, epoch)


@router.post("/logout", status_code=204)
def log_out(request: Request, service: TheService, caller: Somebody) -> None:
    """End this login: its access and refresh tokens, or the browser's session."""
    identity: Identity = request.state.identity
    if not identity.session:
        raise _no_login()
    with service.database.writing() as session:
        revocation.revoke_login(session, identity.session, service.auth.now())
        record(session, actor=actor_of(request, caller), action=Action.LOGOUT, subject=f"account:{caller.account}")


@router.post("/logout-all", status_code=204)
def log_out_everywhere(request: Request, service: TheService, caller: Somebody) -> None:
    """End every login of the account. API keys stay."""
    with service.database.writing() as session:
        management.log_out(session, management.get(session, caller.account), service.auth.now())
        record(
            session,
            actor=actor_of(request, caller),
            action=Action.TOKENS_REVOKED,
            subject=f"account:{caller.account}",
        )


@router.post("/session", status_code=204, responses=problems(401, 403, 429))
@public("whoever has a password may log in")
async def open_session(body: LoginRequest, request: Request, response: Response, service: TheService) -> None:
    """Log a browser in: sets a cookie that scripts cannot read and other sites' requests do not carry."""
    if "origin" in request.headers or "sec-fetch-site" in request.headers:
        require_own_page(request, request.method)
    auth, source = service.auth, source_of(request)
    secret = await auth.workers.run(
        lambda: login.into_browser(auth, body.name, body.password.get_secret_value(), source)
    )
    secure = service.settings.cookie_secure
    response.set_cookie(
        cookie_name(secure=secure),
        secret,
        max_age=service.settings.session_seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


@router.delete("/session", status_code=204)
def close_session(request: Request, response: Response, service: TheService, caller: Somebody) -> None:
    """Log the browser out."""
    log_out(request, service, caller)
    secure = service.settings.cookie_secure
    response.delete_cookie(cookie_name(secure=secure), path="/", secure=secure, httponly=True, samesite="lax")


@router.post("/bootstrap", status_code=204, responses=problems(401, 409, 422))
@public("only who has the one-time code of the installation makes the first admin")
async def bootstrap(body: BootstrapRequest, request: Request, service: TheService) -> None:
    """Make the first admin with the code that `pynomaly accounts bootstrap` printed."""
    auth, source = service.auth, source_of(request)
    await auth.workers.run(
        lambda: redeeming.bootstrap(auth, body.code, body.name, body.password.get_secret_value(), source)
    )


@router.post("/redeem", status_code=204, responses=problems(401, 422))
@public("only who has the one-time code of an account sets its password")
async def redeem_code(body: RedeemRequest, request: Request, service: TheService) -> None:
    """Set the password of an account with its one-time code."""
    auth, source = service.auth, source_of(request)
    await auth.workers.run(lambda: redeeming.redeem(auth, body.code, body.password.get_secret_value(), source))


@router.post("/signing-keys/rotate", responses=problems(403))
def rotate_signing_key(
    body: RotateRequest,
    request: Request,
    service: TheService,
    caller: Annotated[Caller, Depends(require(Permission.USERS_MANAGE))],
) -> KeySet:
    """Have the next signing key sign from now on; tokens of the one before hold until they expire."""
    keys = service.auth.keys
    active = keys.rotate(service.auth.now(), compromised=body.compromised)
    with service.database.writing() as session:
        record(
            session,
            actor=actor_of(request, caller),
            action=Action.SIGNING_KEY_ROTATED,
            subject=f"signing-key:{active.kid}",
            details={"compromised": body.compromised},
        )
    return KeySet(keys=keys.published(service.auth.now()))


@well_known.get("/jwks.json")
@public("public keys are public")
def published_keys(response: Response, service: TheService) -> KeySet:
    """The public keys that verify access tokens."""
    service.auth.keys.signer(service.auth.now())
    response.headers["cache-control"] = "public, max-age=300"
    return KeySet(keys=service.auth.keys.published(service.auth.now()))


def _answer(found: Tokens, seconds: int) -> TokenAnswer:
    return TokenAnswer(access_token=found.access, expires_in=seconds, refresh_token=found.refresh, scope=found.scope)


def _missing(*fields: str) -> BadRequest:
    return BadRequest(
        f"{' and '.join(fields)} must be given",
        rule="the form is that of RFC 6749: grant_type=password with username and password, or "
        "grant_type=refresh_token with refresh_token",
        fix="send all of its fields",
    )


def _no_login() -> NotAuthenticated:
    return NotAuthenticated(
        "an API key has no login to end", rule="log-out ends a login", fix="DELETE /v1/api-keys/{id} ends a key"
    )
