"""The request, run or command at work -> the ids that logs, errors and traces carry."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Work:
    """What is being done at the moment, as far as it is known yet."""

    trace_id: str
    """32 hex digits, as in W3C Trace Context."""
    span_id: str
    """16 hex digits."""
    request_id: str
    """What the caller calls it; the trace id if it said nothing."""
    sampled: bool = False
    account: str = ""
    """Who asks, once that is known."""
    pipeline: str = ""
    problem: str = ""
    """Code of the problem it was answered with."""


_WORK: ContextVar[Work | None] = ContextVar("pynomaly_work", default=None)


def current() -> Work | None:
    """What is being done in this task or thread."""
    return _WORK.get()


def trace_id() -> str:
    """The id of the trace at work; a new one where there is none, so that an error always has one."""
    work = _WORK.get()
    return work.trace_id if work is not None else os.urandom(16).hex()


def at_work(work: Work) -> None:
    """From here on, this task and the threads it starts are doing this."""
    _WORK.set(work)
