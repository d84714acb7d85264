"""An Arrow IPC stream -> a scorer's cells: its schema held against the signature, its buffers against their length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pynomaly_pipelines.service.scoring import arrow_frames, faults
from pynomaly_pipelines.service.scoring.faults import EXACT, Fault
from pynomaly_pipelines.service.scoring.signature import Column, Signature, Wanted

if TYPE_CHECKING:
    import pyarrow as pa

    from pynomaly_pipelines.detection.columns import Cells

_TAKEN: dict[Wanted, str] = {
    "number": "float64, float32 or an integer",
    "integer": "an integer",
    "boolean": "bool",
    "string": "string or large_string",
    "timestamp": "timestamp with a time zone",
    "date": "date32",
}


def read_arrow(body: bytes, signature: Signature, most_rows: int) -> Cells:
    """The rows of a stream, in the order the scorer reads its columns.

    Raises:
        Unprocessable: it is torn, or not of this signature.
        TooLarge: more rows than a request may have.
    """
    import pyarrow as pa

    arrow_frames.check_stream(body, columns=len(signature.columns), most_rows=most_rows)
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
            _check_schema(stream.schema, signature)
            table = stream.read_all()
        # Offsets and lengths inside: what follows reads memory by them.
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        arrow_frames.torn(str(error).splitlines()[0][:200])
    if table.num_rows == 0:
        faults.empty()
    return tuple(_cells(column, table.column(column.name).combine_chunks()) for column in signature.columns)


def _check_schema(schema: pa.Schema, signature: Signature) -> None:
    if len(set(schema.names)) < len(schema.names):
        twice = next(name for name in schema.names if schema.names.count(name) > 1)
        faults.refuse([Fault(f"column {twice!r}", "stands twice", "a column stands once", "send it once")])
    found = [*faults.names("", dict.fromkeys(schema.names), signature)]
    found += [fault for column in signature.columns for fault in _other_type(column, schema)]
    if found:
        faults.refuse(found)


def _other_type(column: Column, schema: pa.Schema) -> Iterator[Fault]:
    place = schema.get_field_index(column.name)
    if place >= 0 and not _takes(column.type, schema.field(place).type):
        yield Fault(
            f"column {column.name!r}",
            f"type {str(schema.field(place).type)[:60]}",
            f"a {column.type} comes as {_TAKEN[column.type]}",
            "cast the column before writing",
        )


def _takes(wanted: Wanted, kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    match wanted:
        case "number":
            return bool(types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind))
        case "integer":
            return bool(types.is_integer(kind))
        case "boolean":
            return bool(types.is_boolean(kind))
        case "string":
            return bool(types.is_string(kind) or types.is_large_string(kind))
        case "timestamp":
            return bool(types.is_timestamp(kind) and kind.tz is not None)
        case _:
            return bool(types.is_date32(kind))


def _cells(column: Column, values: Any) -> np.ndarray:
    """float64[n], NaN where null; texts as object[n]; times as seconds since 1970 UTC."""
    if values.null_count and not column.nullable:
        place = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        faults.refuse([Fault(f"row {place}, column {column.name!r}", *faults.null())])
    if column.type == "string":
        out = np.empty(len(values), dtype=object)
        out[:] = values.to_pylist()
        return out
    return _seconds(column, values) if column.moment else _numbers(column, values)


def _numbers(column: Column, values: Any) -> np.ndarray:
    missing = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
    given = (values.fill_null(0) if missing is not None else values).to_numpy(zero_copy_only=False)
    # A copy: what Arrow gives may not be written to, and compiled code is made for arrays that may.
    x = np.array(given, dtype=np.float64)
    _check(column, given, ~np.isfinite(x), "is not finite", "numbers are finite float64", "send null if it may be")
    if given.dtype.kind in "iu" and (np.abs(x) >= EXACT).any():
        rounded = np.array([int(one) != int(float(one)) for one in given.tolist()])
        rule = "integers beyond 2^53 must be exact in float64"
        _check(column, given, rounded, "is no float64", rule, "send numbers that are")
    if missing is not None:
        x[missing] = np.nan
    return x


def _check(column: Column, given: np.ndarray, wrong: np.ndarray, problem: str, rule: str, fix: str) -> None:
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        faults.refuse([Fault(f"row {place}, column {column.name!r}", f"{given[place]} {problem}", rule, fix)])


def _seconds(column: Column, values: Any) -> np.ndarray:
    """As the batch: whole microseconds, divided once."""
    import pyarrow as pa

    days = column.type == "date"
    kind = pa.timestamp("us") if days else pa.timestamp("us", "UTC")
    try:
        micros = values.cast(kind, safe=False).cast(pa.int64())
    except pa.ArrowInvalid as error:
        arrow_frames.torn(f"column {column.name!r}: {error}")
    missing = micros.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, np.nan, micros.fill_null(0).to_numpy(zero_copy_only=False) / 1e6)
