"""Outcomes of the rules -> one verdict that can be read, kept as JSON, and asked for again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pynomaly_pipelines.operations.errors import RegistryError

Outcome = Literal["passed", "refused", "held"]
WORDS = {"passed": "promoted", "refused": "refused", "held": "held for a person"}
MEASURED_ANEW = frozenset({"scoring cost"})
"""Rules whose figures are times: they differ a little whenever they are taken."""


@dataclass(frozen=True)
class Criterion:
    """One rule, what both models did, and what follows."""

    name: str
    rule: str
    outcome: Outcome
    sentence: str
    """What was seen, for people."""
    challenger: float | None = None
    champion: float | None = None
    low: float | None = None
    high: float | None = None
    """95 % interval: of the difference where a champion is compared with, else of the challenger's own figure."""
    decides: bool = False
    """Whether this is the rule by which one of two sound models is chosen."""

    @property
    def passed(self) -> bool:
        """Whether nothing stands against the challenger here."""
        return self.outcome == "passed"


def judged(
    name: str,
    rule: str,
    passed: bool,
    said: str,
    challenger: float | None = None,
    low: float | None = None,
    high: float | None = None,
    champion: float | None = None,
) -> Criterion:
    """A criterion that is either passed or a reason to refuse."""
    return Criterion(name, rule, "passed" if passed else "refused", said, challenger, champion, low, high)


@dataclass(frozen=True)
class Rows:
    """The rows a verdict rests on: enough to score the same ones again."""

    window: str
    """The training window whose held-out part they are, as `Window.to_json` writes it."""
    partitions: tuple[str, ...]
    """Their partitions; with `lasting draw`, those of which the held-out rows were taken."""
    table_version: int
    rows: int
    anomalies: int | None
    """Known ones among them; None without labels."""
    seen_by_champion: tuple[str, ...] = ()
    """Partitions the champion was fitted on."""

    def sentence(self) -> str:
        """One line for people."""
        span = self.partitions[0] if len(self.partitions) == 1 else f"{self.partitions[0]} … {self.partitions[-1]}"
        told = f"{self.rows:,} rows of {span} in version {self.table_version} of the validated table"
        known = "" if self.anomalies is None else f", {self.anomalies:,} known anomalies among them"
        if not self.seen_by_champion:
            return f"{told}{known}; neither model was fitted on them"
        return (
            f"{told}{known}; the champion was fitted on {len(self.seen_by_champion)} of these {len(self.partitions)} "
            "partitions, which speaks for it"
        )


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, and why."""

    challenger: int
    champion: int | None
    outcome: Outcome
    criteria: tuple[Criterion, ...]
    rows: Rows | None = None
    notes: tuple[str, ...] = ()
    """What is to be known beside the rules, such as why no champion was compared with."""
    thresholds: dict[int, float] = field(default_factory=dict)
    """Version -> the threshold it was judged with."""

    @property
    def promote(self) -> bool:
        """Whether the challenger becomes champion."""
        return self.outcome == "passed"

    @property
    def reasons(self) -> tuple[str, ...]:
        """What decided: the broken rules, or what speaks for the challenger."""
        against = tuple(c.sentence for c in self.criteria if not c.passed)
        return against or (*self.notes, *(c.sentence for c in self.criteria if c.decides))

    def __str__(self) -> str:
        return f"{WORDS[self.outcome]}: {'; '.join(self.reasons)}"

    def markdown(self) -> str:
        """The verdict as a page: the decision, the rows, and a table of the rules."""
        against = "no champion" if self.champion is None else f"champion {self.champion}"
        lines = [f"**Version {self.challenger} against {against}: {self}**", ""]
        lines += [f"{note}." for note in self.notes]
        if self.rows is not None:
            lines += [f"Judged on {self.rows.sentence()}.", ""]
        return "\n".join([*lines, table(self.criteria)])

    def to_json(self) -> str:
        """Everything, for the run's artifacts."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str, version: int) -> Verdict:
        """What `to_json` wrote.

        Raises:
            RegistryError: the text is no verdict.
        """
        try:
            return _read(cls, json.loads(text))
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise RegistryError(
                f"version {version} has no readable verdict of the gate",
                rule="the gate keeps it as `gate/verdict.json` in the version's run",
                fix="materialize the champion again while the version is challenger",
            ) from error

    def differences(self, other: Verdict) -> list[str]:
        """What two verdicts on the same rows disagree about; times, which are taken anew, left out."""
        mine, theirs = ({c.name: c for c in v.criteria if c.name not in MEASURED_ANEW} for v in (self, other))
        names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
        return [f"{name}: {_told(mine.get(name))}, then {_told(theirs.get(name))}" for name in names]


def table(criteria: Sequence[Criterion]) -> str:
    """The rules as a Markdown table."""
    head = "| rule | challenger | champion | 95 % interval | outcome | what was seen |\n|" + " --- |" * 6
    return "\n".join([head, *(_row(c) for c in criteria)])


def figure(value: float | None) -> str:
    """A figure for a table."""
    return "–" if value is None else f"{value:.4g}"


def _row(c: Criterion) -> str:
    interval = "–" if c.low is None else f"{figure(c.low)} … {figure(c.high)}"
    cells = (c.rule, figure(c.challenger), figure(c.champion), interval, c.outcome, c.sentence)
    return "| " + " | ".join(cell.replace("|", "¦") for cell in cells) + " |"


def _told(criterion: Criterion | None) -> str:
    return "not judged" if criterion is None else f"{criterion.outcome} ({criterion.sentence})"


def _read(kind: type[Verdict], told: dict[str, Any]) -> Verdict:
    rows = told["rows"]
    if rows is not None:
        rows = Rows(**{**rows, **{name: tuple(rows[name]) for name in ("partitions", "seen_by_champion")}})
    return kind(
        challenger=int(told["challenger"]),
        champion=told["champion"],
        outcome=told["outcome"],
        criteria=tuple(Criterion(**one) for one in told["criteria"]),
        rows=rows,
        notes=tuple(told["notes"]),
        thresholds={int(number): float(value) for number, value in told["thresholds"].items()},
    )
