"""Bytes -> a file in a landing folder: whole or not at all, and untouched when nothing changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

Arrivals = Iterator[tuple[str, bytes]]
"""File names and contents, in the order they arrive."""

Progress = Callable[[str, int, int], None]
"""Called with the pipeline's name, the files handled so far and the files in all."""


def place(path: Path, content: bytes) -> bool:
    """Write `content` to `path` in one step; whether anything was written.

    A file that already holds these bytes keeps its time stamp, so that nothing takes it for a new arrival. The
    temporary name starts with a dot, which `*.csv` does not match.
    """
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return True
