"""What happened, by whom, on what: a log that shows when it was tampered with.

`audit.record(session, actor=…, action=audit.Action.MODEL_PROMOTED, subject="pipeline:flights", details={…})`.
"""

from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.audit.entries import Actor
from pynomaly_pipelines.service.audit.log import record
from pynomaly_pipelines.service.audit.noting import note
from pynomaly_pipelines.service.audit.origin import actor_of

__all__ = ["Action", "Actor", "actor_of", "note", "record"]
