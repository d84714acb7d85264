"""A request's credentials -> the caller.

With each request: hash the credential, ask for the permission epoch, compare. Only what was not seen before, or not
since the last change of permissions, is verified and asked of the database, in a thread.
"""

from __future__ import annotations

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.auth.credentials import (
    Credential,
    Kind,
    cookie_name,
    presented,
    require_own_page,
)
from pynomaly_pipelines.service.auth.parts import Auth
from pynomaly_pipelines.service.auth.permission_epoch import unavailable
from pynomaly_pipelines.service.auth.recognition import Identity
from pynomaly_pipelines.service.auth.remembered import key_of


async def authenticate(request: Request) -> Caller:
    """The account whose token, API key or browser session came with the request.

    Raises:
        NotAuthenticated: none came, or it is not valid.
        Forbidden: a browser's session came with a change that another site's page asks for.
        DependencyUnavailable: the database does not answer, so that nobody is known.
    """
    found = await identify(request, request.method)
    return found.caller


async def identify(request: HTTPConnection, method: str) -> Identity:
    """The same, with the login it belongs to; `method` is the one that is judged, behind a proxy the original."""
    auth: Auth = request.app.state.service.auth
    credential = presented(request, cookie_name(secure=auth.settings.cookie_secure))
    if credential.kind is Kind.SESSION:
        require_own_page(request, method)
    found = await _known(auth, credential)
    request.state.identity = found
    return found


async def _known(auth: Auth, credential: Credential) -> Identity:
    key = key_of(credential.secret)
    epoch, at = await auth.epoch.now(), auth.clock()
    kept = auth.remembered.get(key)
    if kept is not None and kept.epoch == epoch and at < kept.until:
        return kept
    try:
        found = await run_in_threadpool(_ask, auth, credential, epoch, at)
    except SQLAlchemyError as error:
        raise unavailable(error) from error
    auth.remembered.keep(key, found)
    return found


def _ask(auth: Auth, credential: Credential, epoch: int, at: float) -> Identity:
    match credential.kind:
        case Kind.TOKEN:
            return auth.recognition.of_token(credential.secret, epoch, at)
        case Kind.API_KEY:
            return auth.recognition.of_api_key(credential.secret, at)
        case Kind.SESSION:
            return auth.recognition.of_session(credential.secret, at)
