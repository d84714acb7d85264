"""The Dagster component through which `defs/<name>/defs.yaml` becomes a pipeline."""

from pynomaly_pipelines.components.detection_pipeline import DetectionPipeline

__all__ = ["DetectionPipeline"]
