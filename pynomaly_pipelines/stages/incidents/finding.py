"""An id -> the incident with its state; a pipeline -> all of them."""

from __future__ import annotations

from collections.abc import Iterable

from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents.following import read
from pynomaly_pipelines.stages.incidents.states import Standing, log, standings


def listed(spec: PipelineSpec, lake: Lake) -> list[Standing]:
    """All incidents of a pipeline, by start."""
    return standings(read(spec, lake), log(spec, lake))


def find(spec: PipelineSpec, lake: Lake, id: str) -> Standing:
    """One incident; the first digits of its id do where they say enough.

    Raises:
        DataError: there is none, or more than one.
    """
    found = [standing for standing in listed(spec, lake) if standing.incident.id.startswith(id)]
    if len(found) != 1 or not id:
        raise no_such_incident(id, [spec.name], len(found))
    return found[0]


def find_anywhere(specs: Iterable[PipelineSpec], lake: Lake, id: str) -> tuple[PipelineSpec, Standing]:
    """One incident of any of these pipelines, and whose it is.

    Raises:
        DataError: there is none, or more than one.
    """
    known = list(specs)
    found = [(spec, s) for spec in known for s in listed(spec, lake) if id and s.incident.id.startswith(id)]
    if len(found) != 1:
        raise no_such_incident(id, [spec.name for spec in known], len(found))
    return found[0]


def no_such_incident(id: str, pipelines: list[str], count: int) -> DataError:
    """What is said of an id that names none, or several."""
    return DataError(
        f"{count or 'no'} incidents have an id that begins with {id!r}",
        rule=f"the id of one incident of {', '.join(pipelines)} is expected",
        fix=f"`pynomaly incidents {pipelines[0] if len(pipelines) == 1 else 'PIPELINE'}` lists them",
    )
