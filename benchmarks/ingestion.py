"""What ingestion costs as data grows: peak memory, rows a CPU second, and seconds a file, each in a process of its own.

For each kind of source a data set of one size and one of ten times that size are ingested into an empty lake. Peak
memory must stay what it is; `source: {memory_mb: …}` is what bounds it. Then the same rows in more and more files.

    python -m benchmarks.ingestion [--rows N] [--memory-mb N] [--kinds csv parquet jsonl csv.gz sql delta]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

PARTITIONS = 10
COLUMNS = 10
PIECE_ROWS = 100_000
KINDS = ("csv", "csv.gz", "parquet", "jsonl", "sql", "delta")
FILE_COUNTS = (100, 200, 400, 800)


@dataclass(frozen=True)
class Cost:
    """What one ingestion cost."""

    rows: int
    cpu_seconds: float
    start_megabytes: float
    """Resident when all is imported and nothing is read."""
    peak_megabytes: float


# -------------------------------------------------------------------------------------------------------- data


def pieces(rows: int) -> Iterator[pa.Table]:
    """Rows of ten days in order, ten numbers, a category and an id each, a piece at a time."""
    rng = np.random.default_rng(0)
    step = PARTITIONS * 86_400 * 1_000_000 // rows
    first = np.datetime64("2025-01-01", "us")
    for start in range(0, rows, PIECE_ROWS):
        number = np.arange(start, min(rows, start + PIECE_ROWS))
        columns: dict[str, Any] = {"id": number, "at": first + (number * step).astype("timedelta64[us]")}
        columns |= {f"x{i}": np.round(rng.normal(size=len(number)), 6) for i in range(COLUMNS)}
        columns["kind"] = rng.choice(["red", "green", "blue"], len(number))
        yield pa.table(columns)


def write(kind: str, rows: int, folder: Path) -> dict[str, Any]:
    """Write a data set; returns the `source` of its pipeline."""
    if kind == "sql":
        return _write_sql(rows, folder)
    if kind == "delta":
        from deltalake import write_deltalake

        for table in pieces(rows):
            write_deltalake(folder / "table", table, mode="append")
        return {"type": "delta", "path": str(folder / "table")}
    writers = {"csv": _write_csv, "csv.gz": _write_csv, "parquet": _write_parquet, "jsonl": _write_json_lines}
    path = folder / f"rows.{kind}"
    writers[kind](rows, path)
    return {"type": kind.split(".")[0], "path": str(path)}


def _write_csv(rows: int, path: Path) -> None:
    from pyarrow import csv

    compression = "gzip" if path.suffix == ".gz" else None
    with pa.output_stream(str(path), compression=compression) as out:
        for number, table in enumerate(pieces(rows)):
            csv.write_csv(table, out, csv.WriteOptions(include_header=number == 0))


def _write_parquet(rows: int, path: Path) -> None:
    from pyarrow import parquet

    writer = None
    for table in pieces(rows):
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def _write_json_lines(rows: int, path: Path) -> None:
    with path.open("w", encoding="utf-8") as out:
        for table in pieces(rows):
            out.writelines(json.dumps(row, default=str) + "\n" for row in table.to_pylist())


def _write_sql(rows: int, folder: Path) -> dict[str, Any]:
    import sqlite3

    connection = sqlite3.connect(folder / "rows.db")
    for number, table in enumerate(pieces(rows)):
        names = ", ".join(table.column_names)
        if number == 0:
            connection.execute(f"CREATE TABLE rows ({names})")
        values = [[str(v) if k == "at" else v for k, v in row.items()] for row in table.to_pylist()]
        connection.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * table.num_columns)})", values)
    connection.execute("CREATE INDEX rows_at ON rows (at)")
    connection.commit()
    connection.close()
    return {"type": "sql", "url_env": "BENCHMARK_URL", "table": "rows"}


# --------------------------------------------------------------------------------------------------- measuring


def one(source: dict[str, Any], folder: Path) -> None:
    """Ingest in this process and print what it cost."""
    from pynomaly_pipelines.partitions import Calendar
    from pynomaly_pipelines.resources.tables import Lake
    from pynomaly_pipelines.spec import PipelineSpec
    from pynomaly_pipelines.stages.ingestion import ingest
    from pynomaly_pipelines.stages.sources import landing

    attributes = {"name": "rows", "source": source, "time": "at", "partition": "daily", "start": "2025-01-01"}
    spec, lake = PipelineSpec.model_validate(attributes), Lake(str(folder / "lake"))
    # Warm: what every process pays once, however little it reads.
    import pandas as _pandas  # noqa: F401
    from deltalake import DeltaTable as _  # noqa: F401

    start, began = _resident_megabytes(), time.process_time()
    calendar = Calendar(spec)
    keys = landing.available(spec, lake, folder)
    report = ingest(spec, [calendar.partition(key) for key in keys], lake, folder)
    cost = Cost(report.rows, time.process_time() - began, start, _peak_megabytes())
    print(json.dumps(vars(cost)))


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def measured(source: dict[str, Any], folder: Path) -> Cost:
    """Ingest in a fresh process."""
    lake = tempfile.mkdtemp(dir=folder)
    command = [sys.executable, "-m", "benchmarks.ingestion", "--one", json.dumps(source), "--folder", lake]
    environment = {**os.environ, "BENCHMARK_URL": f"sqlite:///{folder / 'rows.db'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return Cost(**json.loads(done.stdout))


def growth(kinds: list[str], rows: int, memory_mb: int) -> None:
    """One size and ten times that size, for each kind."""
    print(f"memory_mb: {memory_mb}; {PARTITIONS} days; {COLUMNS + 3} columns; peaks in MB over what imports take")
    print(f"{'source':<10}{'rows':>12}{'rows / CPU s':>14}{'start':>8}{'peak':>8}{'growth':>8}{'ratio':>7}")
    for kind in kinds:
        before = None
        for size in (rows, 10 * rows):
            with tempfile.TemporaryDirectory() as folder:
                source = {**write(kind, size, Path(folder)), "memory_mb": memory_mb}
                cost = measured(source, Path(folder))
            assert cost.rows == size
            grown = cost.peak_megabytes - cost.start_megabytes
            ratio = "" if before is None else f"{grown / before:.2f}"
            before = grown
            print(
                f"{kind:<10}{size:>12,}{size / cost.cpu_seconds:>14,.0f}{cost.start_megabytes:>8.0f}"
                f"{cost.peak_megabytes:>8.0f}{grown:>8.0f}{ratio:>7}",
                flush=True,
            )


def many_files(memory_mb: int) -> None:
    """The same number of rows a file, in more and more files."""
    print(f"\n{'files':>6}{'CPU s':>8}{'ms / file':>11}")
    for count in FILE_COUNTS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "in").mkdir()
            for number in range(count):
                day = f"2025-01-{1 + number % PARTITIONS:02d}"
                (folder / "in" / f"{number:05d}.csv").write_text(f"at,id,x\n{day},{number},1.5\n{day},{number},2.5\n")
            cost = measured({"type": "csv", "path": str(folder / "in" / "*.csv"), "memory_mb": memory_mb}, folder)
            print(f"{count:>6}{cost.cpu_seconds:>8.2f}{1000 * cost.cpu_seconds / count:>11.2f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--memory-mb", type=int, default=256)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--no-files", action="store_true", help="leave out the table over numbers of files")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(json.loads(chosen.one), Path(chosen.folder))
        return
    growth(chosen.kinds, chosen.rows, chosen.memory_mb)
    if not chosen.no_files:
        many_files(chosen.memory_mb)


if __name__ == "__main__":
    main()
