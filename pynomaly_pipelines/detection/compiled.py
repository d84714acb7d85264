"""A Python function over arrays -> the same compiled by numba, cached on disk, without the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function` compiled at first call, once a machine: later processes read the cache beside the module.

    Never fastmath and never parallel: either would let a row's last bits depend on the batch around it.
    Where no folder for the cache can be written (a read-only image without a home), it compiles in each process.
    """
    import numba

    options = {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Callable[P, R], numba.njit(cache=True, **options)(function))
    except RuntimeError:  # numba: "cannot cache function …: no locator available"
        return cast(Callable[P, R], numba.njit(**options)(function))
