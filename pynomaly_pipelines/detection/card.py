"""What was learnt, from what and how -> a model card in Markdown (Mitchell et al. 2019)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.columns import Encoder

NAN_HANDLING = (
    "A missing number is read as the training median, a missing category as the commonest one, an infinite number as "
    "one a billion training ranges away. A category that training did not hold, or held once, has the estimated "
    "probability of meeting a new one."
)
SCORE_SCALE = (
    "Score = L / (1 + L) with L = -log10 of the share of ordinary rows that reach the raw score: 0.5 is 1 in 10, 0.75 "
    "is 1 in 1000, 0.9 is 1 in a billion."
)


@dataclass(frozen=True)
class Evidence:
    """What is known of a model when it has been fitted; JSON values only."""

    detector: str
    method: str
    parameters: dict[str, Any]
    seed: int
    rows_given: int
    rows_fitted: int
    rows_excluded: int
    labelled_anomalies: int
    labelled_ordinary: int
    held_out: str
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_state(cls, values: dict[str, Any]) -> Evidence:
        lists = {name: tuple(values[name]) for name in ("notes", "limits")}
        return cls(**{**values, **lists})


def card(encoder: Encoder, calibration: Calibration, evidence: Evidence) -> str:
    """The card of one fitted model."""
    sections = [
        ("Data", _data(encoder, evidence)),
        ("Method", [evidence.method, *_settings(evidence)]),
        ("Missing, new and infinite values", _missing(encoder)),
        ("Calibration", _calibration(calibration, evidence)),
        ("Limits", [f"- {limit}" for limit in (*evidence.notes, *evidence.limits)]),
    ]
    parts = [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections if lines]
    return "\n\n".join([f"# Model card: {evidence.detector}", *parts]) + "\n"


def _data(encoder: Encoder, evidence: Evidence) -> list[str]:
    used = f"{evidence.rows_fitted:,} of {evidence.rows_given:,} rows"
    head = [
        f"Fitted on {used}; {evidence.rows_excluded:,} excluded by weight or label. {_labels(evidence)}",
        "",
        "| column | kind | usual | missing |",
        "| --- | --- | --- | --- |",
    ]
    rows = [f"| {e.name} | {e.kind} | {e.usual()} | {e.missing_share:.1%} |" for e in encoder.encodings]
    return head + rows


def _labels(evidence: Evidence) -> str:
    return f"Labels: {evidence.labelled_anomalies:,} anomalies, {evidence.labelled_ordinary:,} ordinary rows."


def _settings(evidence: Evidence) -> list[str]:
    lines = ["", "| setting | value |", "| --- | --- |"]
    return [
        *lines,
        *(f"| {key} | {value} |" for key, value in evidence.parameters.items()),
        f"| seed | {evidence.seed} |",
    ]


def _missing(encoder: Encoder) -> list[str]:
    gaps = [e.name for e in encoder.encodings if 0 < e.missing_share < 1]
    empty = [e.name for e in encoder.encodings if e.missing_share == 1]
    lines = [NAN_HANDLING]
    if gaps:
        lines.append(f"Whether a value is missing is a feature of its own in: {', '.join(gaps)}.")
    if empty:
        lines.append(f"Without any value at training, and therefore not read: {', '.join(empty)}.")
    return lines


def _calibration(calibration: Calibration, evidence: Evidence) -> list[str]:
    learnt = f"Learnt on {calibration.rows:,} raw scores of {evidence.held_out}"
    gross = f"{calibration.gross} gross outliers among them were left out"
    return [f"{SCORE_SCALE} {learnt}; {gross}. Below 1 in {calibration.rows:,} the tail is extrapolated."]
