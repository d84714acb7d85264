"""A validation report becomes text for a reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynomaly_pipelines.stages.validation import ExpectationResult, ValidationReport

_MOST = 20


def validation_markdown(report: ValidationReport) -> str:
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
