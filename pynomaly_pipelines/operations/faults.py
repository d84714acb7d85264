"""An exception -> what kind of failure it is, and so what to do about it.

| kind | what it is | what is done |
| --- | --- | --- |
| transient | the world: no answer, a full disk, a writer that came first | tried again, later and later |
| data | what came breaks a rule | reported and set aside; the rest goes on |
| setting | the YAML, a variable or a secret breaks a rule | reported; every partition would meet it |
| memory | there was not enough | never tried again at the same size |
| bug | everything else | reported; tried on a smaller part only, to find the partition that it is about |
"""

from __future__ import annotations

from enum import StrEnum

from pynomaly_pipelines.operations import errors
from pynomaly_pipelines.operations.resilience.faults import is_short, is_transient


class Fault(StrEnum):
    """Kinds of failure."""

    TRANSIENT = "transient"
    DATA = "data"
    SETTING = "setting"
    MEMORY = "memory"
    BUG = "bug"
    LOST = "lost"
    """The process that worked on it was killed or vanished; no exception tells this, the run's end does."""


_OF_TREE: tuple[tuple[type[errors.PynomalyError], Fault], ...] = (
    (errors.DataError, Fault.DATA),
    (errors.SourceDenied, Fault.SETTING),
    (errors.SourceError, Fault.DATA),
    (errors.SpecError, Fault.SETTING),
    (errors.SettingsError, Fault.SETTING),
)
_SET_UP = (errors.RegistryError, errors.TableError, errors.DetectorError)
"""Said on purpose of things that all partitions share, and caused by nothing that passes."""


def fault_of(error: BaseException) -> Fault:
    """The kind of failure; the error's own class counts before what caused it."""
    for link in _chain(error):
        found = _kind(link)
        if found is not None:
            return found
    return Fault.SETTING if isinstance(error, _SET_UP) else Fault.BUG


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in links:
        links.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return links


def _kind(error: BaseException) -> Fault | None:
    if isinstance(error, errors.PynomalyError):
        if error.retryable:
            return Fault.TRANSIENT
        return next((fault for kind, fault in _OF_TREE if isinstance(error, kind)), None)
    if isinstance(error, MemoryError):
        return Fault.MEMORY
    return Fault.TRANSIENT if is_transient(error) or is_short(error) else None
