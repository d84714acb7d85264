"""Secrets by one setting, `PYNOMALY_SECRETS`: from the environment, files, OpenBao or Vault, or AWS Secrets Manager."""

from pynomaly_pipelines.operations.redaction import redact
from pynomaly_pipelines.operations.secrets.process import process_store, resolved, secret_store, variable
from pynomaly_pipelines.operations.secrets.secret import Secret, SecretName
from pynomaly_pipelines.operations.secrets.store import SecretStatus, SecretStore

__all__ = [
    "Secret",
    "SecretName",
    "SecretStatus",
    "SecretStore",
    "process_store",
    "redact",
    "resolved",
    "secret_store",
    "variable",
]
