"""What Dagster's webserver answers to launches, without a Dagster: for what the routes send it, and when it is away.

With a real one: `launching/test_with_dagster.py`.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from fastapi.testclient import TestClient

from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.launching.client import DagsterClient
from pynomaly_pipelines.service.launching.idempotency import IdempotencyKeys
from pynomaly_pipelines.service.launching.launcher import Launcher
from pynomaly_pipelines.service.launching.parts import Runs


@dataclass
class Launches:
    """The runs it was told to launch: job and tags, in order."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False

    @property
    def jobs(self) -> list[tuple[str, dict[str, str]]]:
        return [(run["jobName"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in self.runs]

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused", request=request)
        asked = json.loads(request.content)
        if "launchRun" in asked["query"]:
            run = _run(asked["variables"]["params"])
            self.runs.append(run)
            return httpx.Response(200, json={"data": {"launchRun": {"__typename": "LaunchRunSuccess", "run": run}}})
        found = {"__typename": "Runs", "count": 0, "results": self.runs}
        return httpx.Response(200, json={"data": {"runsOrError": found}})

    def behind(self, client: TestClient) -> None:
        """Let the application of this client speak to it."""
        service: Service = client.app.state.service  # type: ignore[attr-defined]
        dagster = DagsterClient("http://dagster.test", "here", transport=httpx.MockTransport(self.answer))
        keys = IdempotencyKeys(lambda: service.database, timedelta(hours=1))
        launcher = Launcher(dagster, service.settings, service.specs.of, keys)
        vars(service)["runs"] = dataclasses.replace(Runs.of(service), client=dagster, launcher=launcher)


def _run(params: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "jobName": params["selector"]["jobName"],
        "status": "QUEUED",
        "tags": params["executionMetadata"]["tags"],
        "creationTime": 1.7e9,
        "startTime": None,
        "endTime": None,
        "assetSelection": None,
        "repositoryOrigin": None,
    }
