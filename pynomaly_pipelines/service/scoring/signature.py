"""A scorer and its pipeline's table -> the columns that a request must have, with their types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pynomaly_pipelines.operations.errors import RegistryError
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from pynomaly_pipelines.detection import Scorer
    from pynomaly_pipelines.detection.columns import Kind

Wanted = Literal["number", "integer", "boolean", "string", "timestamp", "date"]
"""A column's type, by the names `columns` of a defs.yaml has for them."""

_KINDS: dict[Wanted, Kind] = {
    "number": "numeric",
    "integer": "numeric",
    "boolean": "boolean",
    "string": "categorical",
    "timestamp": "datetime",
    "date": "datetime",
}
_OF_KIND: dict[Kind, Wanted] = {
    "numeric": "number",
    "boolean": "boolean",
    "categorical": "string",
    "datetime": "timestamp",
}


@dataclass(frozen=True)
class Column:
    """One column of a request. nullable: whether a row may have null there."""

    name: str
    type: Wanted
    nullable: bool

    @property
    def numeric(self) -> bool:
        """Whether its cells are JSON numbers."""
        return self.type in ("number", "integer")

    @property
    def moment(self) -> bool:
        """Whether its cells are times."""
        return self.type in ("timestamp", "date")


@dataclass(frozen=True)
class Signature:
    """The columns of a request, in the order the scorer reads them."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(column.name for column in self.columns)

    @classmethod
    def of(cls, spec: PipelineSpec, scorer: Scorer, table: pa.Schema | None) -> Signature:
        """What a request to this scorer must have.

        Args:
            table: the pipeline's validated rows; None where there are none here.

        Raises:
            RegistryError: the scorer reads columns that the table has not, or of another type.
        """
        types = {} if table is None else {field.name: _type_of(field.type) for field in table}
        return cls(_of_series(spec, types) if spec.kind == "series" else _of_records(spec, scorer, types))


def _of_records(spec: PipelineSpec, scorer: Scorer, types: dict[str, Wanted | None]) -> tuple[Column, ...]:
    from pynomaly_pipelines.detection.records import RecordScorer

    if not isinstance(scorer, RecordScorer):
        raise _other_kind(spec, scorer)
    return tuple(
        Column(encoding.name, _agreed(spec, encoding.name, encoding.kind, types), encoding.missing_share > 0)
        for encoding in scorer.encoder.encodings
    )


def _of_series(spec: PipelineSpec, types: dict[str, Wanted | None]) -> tuple[Column, ...]:
    assert spec.time is not None
    ids = []
    for name in spec.series:
        found = types.get(name, "string")
        if found not in ("string", "integer", "boolean"):
            raise RegistryError(
                f"the series of {spec.name!r} are told apart by {name!r}, a column of type {found}",
                rule="points are scored online where series ids are strings, integers or booleans",
                fix="declare the column in `columns` as string",
            )
        ids.append(Column(name, found, nullable=False))
    values = [Column(name, "number", nullable=True) for name in spec.values]
    return (Column(spec.time, "timestamp", nullable=False), *ids, *values)


def _agreed(spec: PipelineSpec, name: str, kind: Kind, types: dict[str, Wanted | None]) -> Wanted:
    if not types:
        return _OF_KIND[kind]
    found = types.get(name)
    if found is None or _KINDS[found] != kind:
        raise RegistryError(
            f"the model reads {name!r} as {_OF_KIND[kind]}; the rows of {spec.name!r} have "
            + (f"it as {found}" if found else "no such column"),
            rule="a champion reads the pipeline's columns, by name and type",
            fix=f"train one on the columns as they are now: `pynomaly run {spec.name} --train`",
        )
    return found


def _type_of(kind: pa.DataType) -> Wanted | None:
    import pyarrow as pa

    kinds: tuple[tuple[Wanted, bool], ...] = (
        ("boolean", pa.types.is_boolean(kind)),
        ("integer", pa.types.is_integer(kind)),
        ("number", pa.types.is_floating(kind) or pa.types.is_decimal(kind)),
        ("timestamp", pa.types.is_timestamp(kind)),
        ("date", pa.types.is_date(kind)),
        ("string", pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)),
    )
    return next((name for name, it_is in kinds if it_is), None)


def _other_kind(spec: PipelineSpec, scorer: Scorer) -> RegistryError:
    return RegistryError(
        f"the model of {spec.name!r} scores {scorer.kind}, the pipeline is one of {spec.kind}",
        rule="a champion is of its pipeline's kind",
        fix=f"train one: `pynomaly run {spec.name} --train`",
    )
