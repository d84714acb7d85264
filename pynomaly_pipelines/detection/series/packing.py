"""Many small dataclasses of numbers and arrays <-> a few flat arrays, for saving without pickle.

Field ``x`` of k items becomes one array: numbers as float64[k] or int64[k]; one- and two-dimensional arrays joined
end to end, with their shapes beside them as ``x#shape``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray
from pynomaly_pipelines.operations.errors import ScorerFileError


def pack(items: Sequence[dict[str, Any]], prefix: str) -> dict[str, AnyArray]:
    """Arrays named `prefix` + field; all items have the same fields, each of one kind."""
    arrays: dict[str, AnyArray] = {}
    for name in items[0] if items else ():
        column = [item[name] for item in items]
        if isinstance(column[0], np.ndarray):
            arrays[f"{prefix}{name}"] = np.concatenate([part.ravel() for part in column])
            arrays[f"{prefix}{name}#shape"] = np.array([part.shape for part in column], dtype=np.int64)
        else:
            arrays[f"{prefix}{name}"] = np.asarray(column)
    return arrays


def unpack(arrays: dict[str, AnyArray], prefix: str, count: int) -> list[dict[str, Any]]:
    """The items that `pack` was given; ScorerFileError where lengths do not fit."""
    items: list[dict[str, Any]] = [{} for _ in range(count)]
    for key, array in arrays.items():
        if not key.startswith(prefix) or key.endswith("#shape"):
            continue
        name, shapes = key.removeprefix(prefix), arrays.get(f"{key}#shape")
        parts = _split(array, shapes, key) if shapes is not None else array.tolist()
        if len(parts) != count:
            raise _torn(key, len(parts), count)
        for item, part in zip(items, parts, strict=True):
            item[name] = part
    return items


def _split(array: AnyArray, shapes: AnyArray, key: str) -> list[AnyArray]:
    sizes = shapes.prod(axis=1)
    if int(sizes.sum()) != array.size:
        raise _torn(key, array.size, int(sizes.sum()))
    ends = np.cumsum(sizes)
    return [
        np.ascontiguousarray(array[end - size : end].reshape(shape))
        for end, size, shape in zip(ends, sizes, shapes, strict=True)
    ]


def _torn(key: str, found: int, expected: int) -> ScorerFileError:
    return ScorerFileError(
        f"array {key} has {found} entries instead of {expected}",
        rule="A saved series scorer holds one model for each series it names.",
        fix="fetch the artifact again, or train and save the model again",
    )
