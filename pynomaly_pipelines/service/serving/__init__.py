"""The application -> answers on a socket: one process or several, bounded against slow clients, ended without loss."""

from pynomaly_pipelines.service.serving.running import run

__all__ = ["run"]
