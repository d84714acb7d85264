"""What stands in the audit log of the application behind a client."""

from __future__ import annotations

import json
from typing import Any

from fastapi.testclient import TestClient

from pynomaly_pipelines.service.audit.log import everything
from pynomaly_pipelines.service.context import Service


def entries(client: TestClient, *actions: str) -> list[dict[str, Any]]:
    """Entries of these actions, oldest first: who, what, on what, with their details."""
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    with service.database.reading() as session:
        found = [entry for entry, _ in everything(session) if entry.action in actions]
    return [{"by": e.name, "action": e.action, "subject": e.subject, **json.loads(e.details)} for e in found]
