"""What a user may write in `defs.yaml`, as strict, frozen models; every default of the product lives here.

A spec is data: it opens no file and knows no Dagster. `specfile` reads YAML into it and turns each broken rule into an
error with file and line.
"""

from pynomaly_pipelines.spec.aggregation import Aggregation
from pynomaly_pipelines.spec.automation import Automation
from pynomaly_pipelines.spec.contract import Contract
from pynomaly_pipelines.spec.drift import Drift, DriftKind
from pynomaly_pipelines.spec.pipeline import RESERVED_PREFIX, SCORE_COLUMNS, Cadence, ColumnType, PipelineSpec
from pynomaly_pipelines.spec.source import (
    CsvSource,
    DeltaSource,
    FileSource,
    JsonLinesSource,
    ParquetSource,
    Source,
    SqlSource,
)
from pynomaly_pipelines.spec.strict import Broken, Strict
from pynomaly_pipelines.spec.threshold import Threshold
from pynomaly_pipelines.spec.training import DetectorChoice, Excluded, Labels, Promotion, Training
from pynomaly_pipelines.spec.types import NAME_PATTERN, ColumnNames, Cron, OpenShare, Share, Texts, Timezone
from pynomaly_pipelines.spec.validation import Expectation, Severity, Validation

__all__ = [
    "NAME_PATTERN",
    "RESERVED_PREFIX",
    "SCORE_COLUMNS",
    "Aggregation",
    "Automation",
    "Broken",
    "Cadence",
    "ColumnNames",
    "ColumnType",
    "Contract",
    "Cron",
    "CsvSource",
    "DeltaSource",
    "DetectorChoice",
    "Drift",
    "DriftKind",
    "Excluded",
    "Expectation",
    "FileSource",
    "JsonLinesSource",
    "Labels",
    "OpenShare",
    "ParquetSource",
    "PipelineSpec",
    "Promotion",
    "Severity",
    "Share",
    "Source",
    "SqlSource",
    "Strict",
    "Texts",
    "Threshold",
    "Timezone",
    "Training",
    "Validation",
]
