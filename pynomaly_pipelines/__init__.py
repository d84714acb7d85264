"""Anomaly detection pipelines from one YAML file: Dagster assets around PyOD, Great Expectations and MLflow."""

__version__ = "0.1.0"
