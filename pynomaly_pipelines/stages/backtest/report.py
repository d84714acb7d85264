"""A replay -> tables, a page of Markdown and a picture: what people would have got, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pandas as pd

from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.spec.threshold import AlertBudget
from pynomaly_pipelines.stages.backtest.replay import Backtest
from pynomaly_pipelines.stages.thresholds.alerts import KNOWN, alerts_per_period, next_period, period_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class Report:
    """A replay as tables; times are local to the pipeline."""

    partitions: pd.DataFrame
    """A row a partition: the version in force, rows, anomalies, labelled and caught."""
    periods: pd.DataFrame
    """A row a day, week or month: alerts, those of known events, the budget."""
    events: pd.DataFrame
    """A row a known event: caught or not, the first anomaly and how long after the start, when it was known."""
    trainings: pd.DataFrame
    """A row a training: why, the versions, the gate's verdict, the threshold and where it comes from."""
    summary: tuple[str, ...]
    """The same in a few lines."""

    def tables(self) -> dict[str, pd.DataFrame]:
        """File name (without ending) -> table."""
        return {
            "partitions": self.partitions,
            "periods": self.periods,
            "events": self.events,
            "trainings": self.trainings,
        }


def report(found: Backtest) -> Report:
    """Count what a replay gave."""
    periods, events = _periods(found), _events(found)
    trainings = pd.DataFrame(
        [
            {
                "moment": _local(t.moment, found),
                "why": t.why,
                "partitions": t.partitions,
                "last": t.last,
                "versions": ", ".join(map(str, t.versions)),
                "challenger": t.challenger,
                "detector": t.detector,
                "promoted": t.promoted,
                "threshold": t.threshold,
                "rule": t.rule,
                "basis": t.basis,
                "verdict": t.verdict,
            }
            for t in found.trainings
        ]
    )
    steps = pd.DataFrame(found.steps).assign(moment=[_local(step.moment, found) for step in found.steps])
    return Report(steps, periods, events, trainings, tuple(_summary(found, steps, periods, events)))


def markdown(found: Backtest, told: Report) -> str:
    """The page `report.md`."""
    parts = [
        f"# Backtest of {found.spec.name}, {found.first} to {found.last}\n",
        "\n".join(f"- {line}" for line in told.summary),
        "\n![Alerts over time](alerts.png)\n",
        f"## Alerts a {_per(found)}\n",
        _table(told.periods),
    ]
    if len(told.events):
        parts += ["\n## Known events\n", _table(told.events)]
    parts += ["\n## Trainings\n", _table(told.trainings), "\n## Partitions\n", _table(told.partitions)]
    return "\n".join(parts) + "\n"


def write(found: Backtest, told: Report, folder: Path) -> list[Path]:
    """The report as `report.md`, `alerts.png` and one CSV a table; what was written."""
    from pynomaly_pipelines.stages.thresholds.alert_plots import over_time

    folder.mkdir(parents=True, exist_ok=True)
    for name, table in {**told.tables(), "anomalies": found.flagged(), "alerts": found.alerts()}.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    (folder / "report.md").write_text(markdown(found, told), encoding="utf-8")
    promoted = [_local(training.moment, found) for training in found.trainings if training.promoted]
    (folder / "alerts.png").write_bytes(over_time(told.periods, told.events, promoted, _per(found)))
    return sorted(folder.iterdir())


class ScoresFile:
    """Scored rows, step by step, into one Parquet file, so that memory holds no more than a step."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def add(self, moment: datetime, scored: pd.DataFrame) -> None:
        """The rows of one step."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = scored.drop(columns=["reasons", "model_run_id"]).assign(known_at=pd.Timestamp(moment))
        table: pa.Table = pa.Table.from_pandas(rows, preserve_index=False)
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        """Finish the file; nothing is written if there was no step with scores."""
        if self._writer is not None:
            self._writer.close()


# ------------------------------------------------------------------------------------------------------- tables


def _periods(found: Backtest) -> pd.DataFrame:
    """Every period that has a scored partition; `whole` says whether all of it was replayed with a model."""
    per, zone = (found.budget or AlertBudget(alerts=1)).per, found.spec.timezone
    scored = [step.partition for step in found.steps if step.version is not None]
    columns = [_per(found), "whole", "alerts", "of known events", "budget", "over"]
    if not scored:
        return pd.DataFrame(columns=columns)
    calendar = Calendar(found.spec)
    starts = pd.Series([pd.Timestamp(calendar.partition(key).start or 0) for key in scored])
    end = pd.Timestamp(calendar.partition(scored[-1]).end or 0).tz_convert(zone).tz_localize(None)
    begun = pd.DatetimeIndex(period_of(starts, per, zone).unique())
    alerts = found.alerts()
    counts = alerts_per_period(alerts, begun, per, zone)
    known = alerts_per_period(alerts[alerts[KNOWN].astype(bool)], begun, per, zone)
    first = starts.iloc[0].tz_convert(zone).tz_localize(None)
    budget = found.budget.alerts if found.budget else None
    return pd.DataFrame(
        {
            columns[0]: [f"{start:%Y-%m-%d}" for start in begun],
            "whole": [bool(start >= first and next_period(start, per) <= end) for start in begun],
            "alerts": counts.to_numpy().astype(int),
            "of known events": known.to_numpy().astype(int),
            "budget": budget,
            "over": [budget is not None and count > budget for count in counts],
        }
    )


def _events(found: Backtest) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "start": _local(event.start, found),
                "event": event.what,
                "caught": event.first is not None,
                "first anomaly": "" if event.first is None else _local(event.first, found),
                "hours after start": None if event.first is None else (event.first - event.start) / pd.Timedelta("1h"),
                "known at": "" if event.known is None else _local(event.known, found),
                "points": event.points,
                "anomalies": event.flagged,
                "highest score": event.score,
            }
            for event in found.events
        ]
    )


def _summary(found: Backtest, steps: pd.DataFrame, periods: pd.DataFrame, events: pd.DataFrame) -> list[str]:
    scored = steps[steps["version"].notna()]
    promoted = sum(t.promoted for t in found.trainings)
    lines = [
        f"{len(steps)} partitions, {len(steps) - len(scored)} of them before the first champion",
        f"{int(scored['scored'].sum()):,} rows scored, {int(scored['anomalies'].sum()):,} anomalies",
        f"{len(found.trainings)} training{'s' * (len(found.trainings) != 1)}, {promoted} promoted",
        *_of_periods(found, periods),
    ]
    if len(events):
        seen = events[events["points"] > 0]
        lines.append(_of_events(events, seen))
    elif steps["labelled"].sum():
        caught, labelled = int(steps["caught"].sum()), int(steps["labelled"].sum())
        lines.append(f"{caught} of {labelled} labelled anomalies caught ({caught / labelled:.0%})")
    return lines


def _of_periods(found: Backtest, periods: pd.DataFrame) -> list[str]:
    whole = periods[periods["whole"]]
    if whole.empty:
        return []
    line = f"alerts a {_per(found)}: median {whole['alerts'].median():g}, most {whole['alerts'].max()}"
    if found.budget is None:
        return [f"{line} in {len(whole)} whole {_per(found)}s"]
    over = whole[whole["over"]]
    quiet = int((over["alerts"] - over["of known events"] <= found.budget.alerts).sum())
    return [
        f"{line}; {len(over)} of {len(whole)} whole {_per(found)}s over the budget of {found.budget.alerts}"
        + (f", {quiet} of them only because of known events" if quiet else "")
    ]


def _of_events(events: pd.DataFrame, seen: pd.DataFrame) -> str:
    caught = seen[seen["caught"].astype(bool)]
    line = f"{len(caught)} of {len(seen)} known events caught"
    if len(caught):
        line += f", the first anomaly a median of {caught['hours after start'].median():g} h after the start"
    missed = len(events) - len(seen)
    return line + (f"; {missed} more had no scored points" if missed else "")


def _per(found: Backtest) -> str:
    return (found.budget or AlertBudget(alerts=1)).per


def _local(moment: datetime | pd.Timestamp, found: Backtest) -> str:
    return f"{pd.Timestamp(moment).tz_convert(ZoneInfo(found.spec.timezone)):%Y-%m-%d %H:%M}"


def _table(frame: pd.DataFrame) -> str:
    head = f"| {' | '.join(map(str, frame.columns))} |\n|{' --- |' * frame.shape[1]}"
    return "\n".join([head, *(f"| {' | '.join(map(_cell, row))} |" for row in frame.itertuples(index=False))])


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "–"
    if value is None or value != value:
        return "–"
    return (f"{value:.4g}" if isinstance(value, float) else str(value)).replace("|", "¦")


def shown(frame: pd.DataFrame, columns: Sequence[str]) -> list[list[str]]:
    """Some columns of a table as text, for a terminal."""
    return [[_cell(value) for value in row] for row in frame[list(columns)].itertuples(index=False)]
