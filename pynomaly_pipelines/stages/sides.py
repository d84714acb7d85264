"""Rows of a pipeline without enough partitions -> which of them are held out: decided row by row, for good.

A row's side follows from its own key (or, without one, from its own values) and the seed. New rows, another order or a
larger table move nobody: what one model was judged by, no later model is fitted on.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.features import feature_names

if TYPE_CHECKING:
    import pyarrow as pa


def held_out(spec: PipelineSpec, table: pa.Table, share: float, seed: int) -> np.ndarray:
    """bool[n]: about `share` of the rows, those whose hash falls into the lowest `share` of all hashes."""
    rows: pd.DataFrame = table.select(identifying(spec, table.schema)).to_pandas()
    hashes = pd.util.hash_pandas_object(rows, index=False, categorize=True).to_numpy("uint64")
    return np.asarray(_mixed(hashes, seed) < np.uint64(share * 2**64))


def identifying(spec: PipelineSpec, schema: pa.Schema) -> list[str]:
    """The columns that decide: the key, or time and features; never the label, which may become known later."""
    if spec.key:
        return list(spec.key)
    return sorted({*feature_names(spec, schema), *([spec.time] if spec.time else [])})


def _mixed(hashes: np.ndarray, seed: int) -> np.ndarray:
    """Another order of the rows for each seed (the finalizer of SplitMix64: Steele, Lea & Flood 2014)."""
    salt = np.uint64(int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest()))
    with np.errstate(over="ignore"):
        z = hashes ^ salt
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
