"""A saved scorer is data: checked by hash, loaded and used without PyOD or scikit-learn, no pickle anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from pynomaly_pipelines.detection import Scorer
from pynomaly_pipelines.detection.storage import FORMAT
from pynomaly_pipelines.operations.errors import ScorerFileError

from .conftest import CASES, DEFAULTS, fitted, mixed

FRESH = """
import pickle, sys
def refused(*args, **kwargs):
    raise AssertionError("pickle was used")
import pandas as pd
from pynomaly_pipelines.detection import Scorer
from pynomaly_pipelines.detection.storage import FORMAT
folder, cases = sys.argv[1], sys.argv[2:]
rows = pd.read_parquet(f"{folder}/rows.parquet")
kept = pickle.load, pickle.loads, pickle.Unpickler
pickle.load = pickle.loads = pickle.Unpickler = refused
scorers = {case: Scorer.load(f"{folder}/{case}") for case in cases}
pickle.load, pickle.loads, pickle.Unpickler = kept  # numba reads its own compiled code with it
for case, scorer in scorers.items():
    print(case, scorer.score(rows).tobytes().hex())
    scorer.explain(rows.head(3)).sentences()
heavy = {"pyod", "sklearn", "torch", "mlflow", "dagster"}
print("heavy", *sorted(heavy & {name.split(".")[0] for name in sys.modules}))
"""


@pytest.mark.slow
def test_a_fresh_process_scores_the_same_bits_without_pyod_or_pickle(tmp_path):
    rows = mixed(30, 5)
    rows.to_parquet(tmp_path / "rows.parquet")
    for case in CASES:
        fitted(case, "mixed").save(tmp_path / case)
    command = [sys.executable, "-c", FRESH, str(tmp_path), *CASES]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    expected = [f"{case} {fitted(case, 'mixed').score(rows).tobytes().hex()}" for case in CASES]
    assert out == [*expected, "heavy"]


@pytest.mark.slow
def test_importing_the_package_is_light():
    code = "import sys, pynomaly_pipelines.detection; print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("numpy", "pandas", "numba", "pyod", "sklearn"):
        assert f"'{heavy}'" not in out


def test_altered_arrays_are_refused(tmp_path):
    fitted("HBOS").save(tmp_path)
    packed = bytearray((tmp_path / "arrays.npz").read_bytes())
    packed[len(packed) // 2] ^= 1
    (tmp_path / "arrays.npz").write_bytes(packed)
    with pytest.raises(ScorerFileError, match=r"arrays\.npz: its SHA-256 is .*not the one in scorer\.json"):
        Scorer.load(tmp_path)


@pytest.mark.parametrize("name", ["scorer.json", "arrays.npz"])
def test_a_missing_file_is_named(tmp_path, name):
    fitted("HBOS").save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ScorerFileError, match=rf"{name}: it cannot be read"):
        Scorer.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "its format is 99"),
        ({"kind": "images"}, "kind 'images'"),
        ({"frozen": {"family": "oracle"}}, "family 'oracle'"),
        ({"frozen": {"family": "forest"}}, "the saved forest lacks roots, children"),
    ],
)
def test_unknown_formats_kinds_and_families_are_named(tmp_path, change, message):
    fitted("HBOS").save(tmp_path)
    path = tmp_path / "scorer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ScorerFileError, match=message):
        Scorer.load(tmp_path)


def test_a_scorer_of_the_format_before_says_to_train_again(tmp_path):
    fitted("HBOS").save(tmp_path)
    path = tmp_path / "scorer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1}))
    with pytest.raises(ScorerFileError, match=r"format is 1, this version reads format 2.*Fix: train and save"):
        Scorer.load(tmp_path)


def layout(values: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, list[str]]:
    """Keys of the JSON; names, types and dimensions of the arrays, those of a fixed number of rows with it."""
    shapes = [
        (name, a.dtype, a.shape[0] if a.ndim == 2 and a.shape[0] <= 3 else "n", a.ndim) for name, a in arrays.items()
    ]
    return {
        "values": sorted(_keys(values)),
        "arrays": sorted(f"{name} {kind} {first}, {dimensions}-d" for name, kind, first, dimensions in shapes),
    }


def _keys(values: Any, prefix: str = "") -> set[str]:
    if isinstance(values, dict):
        return {key for name, value in values.items() for key in _keys(value, f"{prefix}/{name}")}
    if isinstance(values, list):
        return {key for value in values for key in _keys(value, f"{prefix}[]")} or {prefix}
    return {prefix}


def test_what_is_saved_changes_with_the_format_only(snapshot):
    """Where this fails, raise `storage.FORMAT`, or nobody's saved scorers say why they cannot be read."""
    kept = {case: layout(*fitted(case, "mixed").state()) for case in DEFAULTS}
    assert {"format": FORMAT, **kept} == snapshot


def test_text_that_is_no_json_is_named(tmp_path):
    fitted("HBOS").save(tmp_path)
    (tmp_path / "scorer.json").write_text("{")
    with pytest.raises(ScorerFileError, match="it is not JSON"):
        Scorer.load(tmp_path)


def test_saving_twice_writes_the_same_bytes(tmp_path):
    fitted("auto").save(tmp_path / "a")
    Scorer.load(tmp_path / "a").save(tmp_path / "b")
    for name in ("scorer.json", "arrays.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_arrays_hold_numbers_only(tmp_path):
    fitted("auto", "mixed").save(tmp_path)
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as archive:
        assert {archive[name].dtype.kind for name in archive.files} <= set("fiub")
