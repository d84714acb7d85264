"""A term and arguments -> Dagster's daemon, which ends with its leader and works only in its term. Run as a child.

`python -m pynomaly_pipelines.automation.leadership.daemon TERM run -w workspace.yaml`
"""

from __future__ import annotations

import os
import sys
import threading
from importlib.metadata import entry_points

ENDED, SUPERSEDED = 70, 75
"""Exit codes: the leader is gone; another leads."""


def main() -> None:
    """Dagster's command line, watched."""
    term, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with_leader, name="leader", daemon=True).start()
    if term != "-":
        _fence(term)
    (command,) = entry_points(group="console_scripts", name="dagster-daemon")
    sys.argv = ["dagster-daemon", *arguments]
    command.load()()


def _fence(term: str) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    from pynomaly_pipelines.automation.leadership.advisory import guard

    first = guard(term, _superseded)

    def on_connect(connection: object, record: object) -> None:
        # Dagster's storage is the only PostgreSQL that a daemon speaks with.
        if type(connection).__module__.startswith("psycopg2"):
            first(connection, record)

    event.listen(Engine, "connect", on_connect)


def _end_with_leader() -> None:
    # The leader writes nothing; the pipe ends when it does.
    while os.read(0, 1):
        pass
    os._exit(ENDED)


def _superseded() -> None:
    sys.stderr.write("another daemon leads: this one stops\n")
    sys.stderr.flush()
    # Not an exception: Dagster's loops would catch it and go on.
    os._exit(SUPERSEDED)


if __name__ == "__main__":
    main()
