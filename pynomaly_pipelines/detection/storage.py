"""A scorer's JSON values and arrays <-> two files in a folder, checked by hash. No pickle."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray
from pynomaly_pipelines.operations.errors import ScorerFileError

FORMAT = 2
"""Raised whenever what is saved changes, so that older files are told from broken ones; a snapshot in the tests
notices a change.
"""
DOCUMENT, ARRAYS = "scorer.json", "arrays.npz"


def write(folder: Path, kind: str, values: dict[str, Any], arrays: dict[str, AnyArray]) -> None:
    """Write both files, the JSON last: a folder with a JSON is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    packed = buffer.getvalue()
    (folder / ARRAYS).write_bytes(packed)
    head = {"format": FORMAT, "kind": kind, "arrays_sha256": hashlib.sha256(packed).hexdigest()}
    text = json.dumps({**head, **values}, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / DOCUMENT).write_text(text, encoding="utf-8")


def digest(folder: Path) -> str:
    """SHA-256 of the JSON, which names that of the arrays: `read` and this together vouch for every byte.

    Raises:
        ScorerFileError: there is no such file.
    """
    return hashlib.sha256(_bytes(folder / DOCUMENT)).hexdigest()


def read(folder: Path) -> tuple[str, dict[str, Any], dict[str, AnyArray]]:
    """Kind, JSON values and arrays; ScorerFileError where a file is missing, altered or of another format."""
    values = _document(folder / DOCUMENT)
    packed = _bytes(folder / ARRAYS)
    digest = hashlib.sha256(packed).hexdigest()
    if digest != values.pop("arrays_sha256", None):
        raise _broken(folder / ARRAYS, f"its SHA-256 is {digest[:12]}…, not the one in {DOCUMENT}")
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise _broken(folder / ARRAYS, f"it holds something else than plain arrays ({error})") from error
    return str(values.pop("kind", "")), values, arrays


def _document(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_bytes(path))
    except ValueError as error:
        raise _broken(path, f"it is not JSON ({error})") from error
    found = values.pop("format", None) if isinstance(values, dict) else None
    if found != FORMAT:
        raise _broken(
            path, f"its format is {found}, this version reads format {FORMAT}", fix="train and save the model again"
        )
    return values  # type: ignore[no-any-return]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _broken(path, f"it cannot be read ({error.strerror})") from error


def _broken(
    path: Path, problem: str, fix: str = "fetch the artifact again, or train and save the model again"
) -> ScorerFileError:
    return ScorerFileError(
        f"{path.name}: {problem}",
        rule=f"A saved scorer is {DOCUMENT} and {ARRAYS} as they were written together.",
        fix=fix,
        where=str(path.parent),
    )
