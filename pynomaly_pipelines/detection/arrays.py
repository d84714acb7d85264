"""Names for the arrays that travel through the package, and checks that run before compiled code sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pynomaly_pipelines.operations.errors import SignatureError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Objects = NDArray[np.object_]
AnyArray = NDArray[Any]


def matrix(values: AnyArray, columns: int) -> Floats:
    """`values` as C-contiguous float64[n, columns]; SignatureError for another shape.

    Compiled code reads memory by offset: a wrong width would be read past its end, so this is the gate.
    """
    out = np.ascontiguousarray(values, dtype=np.float64)
    if out.ndim != 2 or out.shape[1] != columns:
        raise SignatureError(
            f"an array of shape {out.shape} came where (n, {columns}) belongs",
            rule="A scorer reads as many features as it was fitted on.",
            fix="pass the frame through the scorer's own methods, which encode it",
        )
    return out
