"""A library's client -> the same client, each call of which passes the breaker of a dependency."""

from __future__ import annotations

import functools
from typing import Any, TypeVar, cast

from pynomaly_pipelines.operations.resilience.dependencies import breaker

Client = TypeVar("Client")


class _Guarded:
    def __init__(self, client: object, dependency: str) -> None:
        self._client = client
        self._dependency = dependency

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found
        return functools.partial(breaker(self._dependency).call, found)


def guarded(client: Client, dependency: str) -> Client:
    """The client, to be used as before; its calls raise DependencyUnavailable while the breaker is open.

    Each is made once: whether it may be repeated only its caller knows.
    """
    return cast("Client", _Guarded(client, dependency))
