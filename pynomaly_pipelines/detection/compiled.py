"""A Python function over arrays -> the same compiled by numba, cached on disk, without the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function` compiled at first call, once a machine: later processes read the cache beside the module.

    Never fastmath and never parallel: either would let a row's last bits depend on the batch around it.
    """
    return _jitted(function)


def fused(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled`, but ``a * b + c`` may be rounded once: only for figures whose last bits reach no result."""
    return _jitted(function, fastmath={"contract"})


def _jitted(function: Callable[P, R], **further: Any) -> Callable[P, R]:
    """Where no folder for the cache can be written (a read-only image without a home), it compiles in each process."""
    import numba

    options = {"nogil": True, "error_model": "numpy", **further}
    try:
        return cast(Callable[P, R], numba.njit(cache=True, **options)(function))
    except RuntimeError:  # numba: "cannot cache function …: no locator available"
        return cast(Callable[P, R], numba.njit(**options)(function))
