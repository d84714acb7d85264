"""A round of incidents -> what Dagster shows beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from pynomaly_pipelines.presentation.tables import Metadata, location, markdown
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pynomaly_pipelines.stages.incidents.following import IncidentsReport
    from pynomaly_pipelines.stages.incidents.incident import Incident

MOST_SHOWN = 20


def of_incidents(spec: PipelineSpec, lake: Lake, report: IncidentsReport) -> Metadata:
    """What `incidents` shows."""
    told = [incident for incident in report.found if not incident.quiet]
    worst = sorted(report.found, key=lambda incident: incident.score, reverse=True)[:MOST_SHOWN]
    return {
        **location(spec, lake, "incidents", report.commit),
        "new": len(report.new),
        "changed": len(report.changed),
        "gone": len(report.gone),
        "told": len(told),
        "quiet": len(report.found) - len(told),
        "most_anomalous": dg.MetadataValue.md(markdown(_table(worst))),
    }


def _table(incidents: Sequence[Incident]) -> pd.DataFrame:
    rows = [
        {
            "id": incident.id,
            "start": f"{incident.start:%Y-%m-%d %H:%M}",
            "end": f"{incident.end:%Y-%m-%d %H:%M}",
            "entity": incident.entity,
            "anomalies": incident.anomalies,
            "score": incident.score,
            "reasons": "; ".join(str(reason) for reason in incident.reasons[:3]),
            "quiet": incident.quiet,
        }
        for incident in incidents
    ]
    return pd.DataFrame(rows, columns=["id", "start", "end", "entity", "anomalies", "score", "reasons", "quiet"])
