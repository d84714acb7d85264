"""What a validation found becomes a report, and the report text for a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pynomaly_pipelines.resources.tables import Commit
from pynomaly_pipelines.spec import Severity

EXAMPLES = 5
"""Most values shown of those that broke an expectation."""
_MOST = 20


@dataclass(frozen=True)
class PartitionCounts:
    """Rows of one partition after validation."""

    valid: int
    quarantined: int
    reasons: dict[str, int] = field(default_factory=dict)
    """Reason -> quarantined rows, most frequent first."""


@dataclass(frozen=True)
class Refusal:
    """Why a partition as a whole is not to be used."""

    partition: str
    rule: str
    value: str
    fix: str


@dataclass(frozen=True)
class Outcome:
    """How one expectation fared in one partition."""

    success: bool
    unexpected: int
    """Rows that broke it; 1 or 0 for an expectation about the table."""
    judged: int
    """Rows it was asked about; 1 for an expectation about the table."""
    examples: tuple[str, ...] = ()
    """Values that broke it, or what was observed of the table."""


@dataclass(frozen=True)
class ExpectationResult:
    """How one expectation fared over the whole range."""

    name: str
    column: str
    """The column or columns it is about; empty for the table."""
    severity: Severity
    rule: str
    """The expectation in one line, with its arguments."""
    about_table: bool
    """Whether it judges partitions instead of rows."""
    outcomes: Mapping[str, Outcome]
    """Partition -> how it fared there."""

    @property
    def success(self) -> bool:
        """Whether every partition meets it."""
        return all(outcome.success for outcome in self.outcomes.values())

    @property
    def unexpected(self) -> int:
        """Rows that broke it; for an expectation about tables, partitions."""
        return sum(outcome.unexpected for outcome in self.outcomes.values())

    @property
    def share(self) -> float:
        """The same as a share of the rows (partitions) that were judged."""
        return self.unexpected / max(1, sum(outcome.judged for outcome in self.outcomes.values()))

    @property
    def examples(self) -> tuple[str, ...]:
        """Some values that broke it, or what was observed of tables that did."""
        told = [(key, text) for key, o in self.outcomes.items() if o.unexpected for text in o.examples]
        found = dict.fromkeys(f"{key}: {text}" if self.about_table else text for key, text in told)
        return tuple(found)[:EXAMPLES]


@dataclass(frozen=True)
class ValidationReport:
    """What a validation did."""

    rows: int
    valid: int
    quarantined: int
    partitions: Mapping[str, PartitionCounts]
    refused: tuple[Refusal, ...]
    results: tuple[ExpectationResult, ...]
    reasons: Mapping[str, int]
    """Reason -> rows, most frequent first; the values that differ from row to row are left out."""
    validated: Commit
    quarantine: Commit

    @property
    def passed(self) -> bool:
        """Whether no partition was refused."""
        return not self.refused

    @property
    def valid_per_partition(self) -> dict[str, int]:
        """Valid rows by partition."""
        return {key: counts.valid for key, counts in self.partitions.items()}

    @property
    def quarantined_per_partition(self) -> dict[str, int]:
        """Quarantined rows by partition."""
        return {key: counts.quarantined for key, counts in self.partitions.items()}

    def markdown(self) -> str:
        """The report for a reader."""
        return _markdown(self)


def _markdown(report: ValidationReport) -> str:
    """What was found, what was refused and why, in tables."""
    share = report.quarantined / max(1, report.rows)
    lead = (
        f"**{report.valid:,}** of {report.rows:,} rows are valid; {report.quarantined:,} ({share:.2%}) are quarantined."
    )
    verdict = "All partitions are accepted." if not report.refused else f"**{_refused(report)} refused.**"
    parts = [f"{lead} {verdict}"]
    if report.refused:
        refused = [(r.partition, r.rule, r.value, r.fix) for r in report.refused]
        parts.append("### Refused\n\n" + _table(("partition", "rule", "seen", "fix"), refused))
    if report.results:
        parts.append("### Expectations\n\n" + _table(_HEAD, [_result_row(result) for result in report.results]))
    if report.reasons:
        reasons = [(reason, f"{count:,}") for reason, count in report.reasons.items()]
        parts.append("### Why rows were quarantined\n\n" + _table(("reason", "rows"), reasons))
    return "\n\n".join(parts) + "\n"


def _refused(report: ValidationReport) -> str:
    count = len({refusal.partition for refusal in report.refused})
    return "1 partition is" if count == 1 else f"{count} partitions are"


_HEAD = ("", "expectation", "column", "unexpected", "share", "for example")


def _result_row(result: ExpectationResult) -> tuple[str, ...]:
    mark = "✓" if result.success else ("✗" if result.severity == "error" else "!")
    return (
        mark,
        result.name,
        result.column,
        f"{result.unexpected:,}",
        f"{result.share:.2%}",
        ", ".join(result.examples),
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows[:_MOST]]
    text = "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)
    return text if len(rows) <= _MOST else f"{text}\n\n… and {len(rows) - _MOST} more."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
