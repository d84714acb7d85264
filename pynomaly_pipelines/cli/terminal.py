"""What commands write: tables, bars of progress, files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress


class Bars:
    """Progress of a run as one bar a part."""

    def __init__(self, bars: Progress, pipeline: str) -> None:
        self._bars = bars
        self._pipeline = pipeline
        self._tasks: dict[str, Any] = {}

    def __call__(self, part: str, done: int, total: int) -> None:
        if part not in self._tasks:
            self._tasks[part] = self._bars.add_task(f"{self._pipeline}: {part}", total=total)
        self._bars.update(self._tasks[part], completed=done)


@contextmanager
def progress() -> Iterator[Progress]:
    """Bars on standard error, while the block runs."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield bars


def show_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, title=title or None)
    for row in rows:
        table.add_row(*row)
    console = Console()
    # Piped output has no width of its own; cutting it at 80 columns would lose figures.
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def cell(value: object) -> str:
    """A value in a cell of a table."""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def write_bytes(content: bytes, output: Path | None) -> None:
    """Into the file, made with its folders; without one, to standard output."""
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(content)
