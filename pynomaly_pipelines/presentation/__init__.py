"""Reports of the stages -> what Dagster shows beside an asset: counts, schema, a preview, a picture, links, checks."""

from pynomaly_pipelines.presentation.data import (
    aggregated_check,
    contract_check,
    of_aggregation,
    of_ingestion,
    of_quarantine,
    of_release,
    of_validation,
    readable_check,
    validation_checks,
)
from pynomaly_pipelines.presentation.incidents import of_incidents
from pynomaly_pipelines.presentation.models import gate_check, of_champion, of_evaluation, of_models
from pynomaly_pipelines.presentation.scores import (
    drift_checks,
    drift_figures,
    of_drift,
    of_scores,
    threshold_check,
    threshold_rule,
)
from pynomaly_pipelines.presentation.tables import (
    COLUMN_MEANINGS,
    PREVIEW_ROWS,
    WIDEST_PREVIEW,
    Metadata,
    counted,
    sound_check,
)

__all__ = [
    "COLUMN_MEANINGS",
    "PREVIEW_ROWS",
    "WIDEST_PREVIEW",
    "Metadata",
    "aggregated_check",
    "contract_check",
    "counted",
    "drift_checks",
    "drift_figures",
    "gate_check",
    "of_aggregation",
    "of_champion",
    "of_drift",
    "of_evaluation",
    "of_incidents",
    "of_ingestion",
    "of_models",
    "of_quarantine",
    "of_release",
    "of_scores",
    "of_validation",
    "readable_check",
    "sound_check",
    "threshold_check",
    "threshold_rule",
    "validation_checks",
]
