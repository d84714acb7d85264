"""Several daemons of one Dagster instance -> one that works, and others that wait to take its place.

Dagster's daemon must be alone, and nothing in Dagster keeps it so. Here a daemon works only while it holds a lock that
lives and dies with it: a session's advisory lock where Dagster's storage is PostgreSQL (its manual, 13.3.5), else a
lock of the system on a file (flock) beside SQLite.
"""

from pynomaly_pipelines.automation.leadership.leader import Leader
from pynomaly_pipelines.automation.leadership.locks import Lock, Taking, lock_of

__all__ = ["Leader", "Lock", "Taking", "lock_of"]
