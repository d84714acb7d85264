"""A person moves the alias in a running MLflow: noticed, checked, recorded, told, and scoring is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from mlflow.tracking import MlflowClient

from pynomaly_pipelines.automation.failures import ACCEPTED
from pynomaly_pipelines.automation.promotions import build_promotions
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.pipeline import standalone
from pynomaly_pipelines.resources.configurable import LakeResource, RegistryResource
from pynomaly_pipelines.resources.registry import CHAMPION
from pynomaly_pipelines.stages.promotion.champions import history
from pynomaly_pipelines.stages.scoring import score
from tests.servers import free_port
from tests.small_pipelines import DAYS, Trained

NOON = datetime(2025, 1, DAYS + 1, 12, tzinfo=UTC)
LATEST = {f"2025-01-{DAYS:02}", f"2025-01-{DAYS + 1:02}"}
"""The day that is over and the one that fills, at that noon."""


@pytest.fixture
def mlflow(shop_copy: Trained, tmp_path: Path) -> Iterator[str]:
    """Address of an MLflow server on the pipeline's own registry."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", shop_copy.registry.tracking_uri),
        *("--default-artifact-root", shop_copy.registry.artifacts),
    ]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = tmp_path / "mlflow.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        _until_healthy(address, process, log)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline or process.poll() is not None:
                pytest.fail(f"MLflow does not answer: {log.read_text()[-1000:]}")
            time.sleep(0.3)
        else:
            return


class Daemon:
    """What Dagster's daemon does with a pipeline: sensor and conditions, tick after tick, in one instance."""

    def __init__(self, pipeline: Trained, instance: dg.DagsterInstance) -> None:
        registry = pipeline.registry
        self._instance, self._pipeline = instance, pipeline
        self._resources = {
            "lake": LakeResource(root=pipeline.lake.root, project="."),
            "registry": RegistryResource(tracking_uri=registry.tracking_uri, artifacts=registry.artifacts),
        }
        self._sensor = build_promotions(pipeline.spec, live=True)
        self._defs = standalone(pipeline.spec, Settings.from_environment())
        self._seen: str | None = None
        self._conditions, self._now = None, NOON

    def sensor(self) -> str:
        """One tick of the sensor; what it tells Dagster goes into the event log, as the daemon puts it there."""
        context = dg.build_sensor_context(self._instance, cursor=self._seen, resources=self._resources)
        said = self._sensor(context)
        if isinstance(said, dg.SkipReason):
            self._seen = context.cursor
            return str(said.skip_message)
        assert isinstance(said, dg.SensorResult)
        self._seen = said.cursor
        for event in said.asset_events:
            self._instance.report_runless_asset_event(event)
        return "told"

    def wanted(self) -> set[str]:
        """One tick of the conditions: partitions whose scores are asked for."""
        self._now += timedelta(seconds=30)
        found = dg.evaluate_automation_conditions(
            self._defs, self._instance, cursor=self._conditions, evaluation_time=self._now
        )
        self._conditions = found.cursor
        return set(found.get_requested_partitions(dg.AssetKey(["shop", "scores"])))

    def all_happened(self, days: list[str]) -> None:
        """Earlier runs made everything, and validation accepted it."""
        made: list[tuple[str, str | None]] = [
            (noun, day) for noun in ("raw", "validated", "quarantine") for day in days
        ]
        made += [(noun, None) for noun in ("model", "evaluation", "champion")] + [("scores", day) for day in days]
        for noun, day in made:
            event = dg.AssetMaterialization(dg.AssetKey(["shop", noun]), partition=day)
            self._instance.report_runless_asset_event(event)
        accepted = dg.AssetCheckEvaluation(dg.AssetKey(["shop", "validated"]), ACCEPTED, passed=True, metadata={})
        self._instance.report_runless_asset_event(accepted)


def test_a_champion_chosen_in_mlflow_scores_what_comes_and_what_is_recent(shop_copy: Trained, mlflow: str) -> None:
    days = [f"2025-01-{day:02}" for day in range(1, DAYS + 2)]
    with dg.DagsterInstance.ephemeral() as instance:
        daemon = Daemon(shop_copy, instance)
        daemon.all_happened(days)
        daemon.wanted()
        assert daemon.wanted() == set()
        assert daemon.sensor() == "the champion is version 1, as recorded"

        MlflowClient(mlflow).set_registered_model_alias("shop", CHAMPION, "2")
        assert daemon.sensor() == "the champion is version 2, recorded is 1; it is looked at once more"
        assert daemon.wanted() == set()
        assert daemon.sensor() == "told"

        record = instance.get_latest_materialization_event(dg.AssetKey(["shop", "champion"]))
        assert record is not None
        assert record.asset_materialization is not None
        assert record.asset_materialization.metadata["version"].value == 2
        assert daemon.wanted() == LATEST
        assert daemon.wanted() == set()
        assert daemon.sensor() == "the champion is version 2, as at the last look"
    last = history(shop_copy.lake, "shop")[-1]
    assert (last.before, last.version, last.what) == (1, 2, "moved in the registry")
    # And who looks at the version in MLflow sees what was found.
    with urllib.request.urlopen(f"{mlflow}/api/2.0/mlflow/model-versions/get?name=shop&version=2", timeout=30) as page:
        tags = {tag["key"]: tag["value"] for tag in json.load(page)["model_version"]["tags"]}
    assert (tags["sound"], tags["promoted_over"]) == ("yes", "1")
    score(shop_copy.spec, shop_copy.partitions(f"2025-01-{DAYS:02}"), shop_copy.lake, shop_copy.registry)
    assert set(shop_copy.scores(f"2025-01-{DAYS:02}")["model_version"]) == {2}
