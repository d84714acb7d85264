"""A library's client -> the same client, each call of which passes the breaker of a dependency."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from pynomaly_pipelines.operations.errors import PynomalyError
from pynomaly_pipelines.operations.resilience.dependencies import breaker
from pynomaly_pipelines.operations.resilience.faults import is_fault

Client = TypeVar("Client")
Told = Callable[[Exception], PynomalyError]


class _Guarded:
    def __init__(self, client: object, dependency: str, told: Told | None) -> None:
        self._client = client
        self._dependency = dependency
        self._told = told

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found
        return functools.partial(self._call, found)

    def _call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            return breaker(self._dependency).call(function, *args, **kwargs)
        except Exception as error:
            if self._told is None or not is_fault(error):
                raise
            raise self._told(error) from error


def guarded(client: Client, dependency: str, told: Told | None = None) -> Client:
    """The client, to be used as before; its calls raise DependencyUnavailable while the breaker is open.

    Each is made once: whether it may be repeated only its caller knows.

    Args:
        told: a fault of the dependency, as its library tells it -> the error of ours that is raised for it.
    """
    return cast("Client", _Guarded(client, dependency, told))
