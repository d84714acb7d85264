"""A project whose pipelines are the small ones of the other tests, with their tables and models behind the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.settings import ServiceSettings
from tests.small_pipelines import Trained

Serving = Callable[..., TestClient]

SHOP = """
type: pynomaly_pipelines.components.DetectionPipeline
attributes:
  description: Orders
  source: {type: csv, path: "in/%Y-%m-%d.csv", storage: {credentials: {access_key_id: SHOP_KEY_NAME}}}
  time: at
  partition: daily
  start: 2025-01-01
  key: id
  labels: {column: fraud}
  expectations:
    - expect_column_values_to_be_between: {column: amount, min_value: 0}
  training: {detectors: [{IForest: {n_estimators: 25}}, HBOS]}
  threshold: {alert_rate: 0.02}
"""
METERS = """
type: pynomaly_pipelines.components.DetectionPipeline
attributes:
  kind: series
  source: {type: csv, path: "in/%Y-%m-%d.csv"}
  time: at
  partition: daily
  start: 2025-01-01
  series: meter
  values: load
  training: {detectors: [SeasonalResidual]}
  threshold: {alert_rate: 0.005}
"""


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """`serving(shop, Role.USER)`: a client of an account of that role, on the tables and models of `shop`.

    `shop` and `meters` are the project's pipelines; the one that was not given has nothing but its file.
    """
    project = tmp_path / "project"
    for name, text in {"shop": SHOP, "meters": METERS}.items():
        (project / "watch" / "defs" / name).mkdir(parents=True)
        (project / "watch" / "defs" / name / "defs.yaml").write_text(text)
    (project / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "watch"\n')
    monkeypatch.setenv("PYNOMALY_PROJECT", str(project))
    monkeypatch.setenv("PYNOMALY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(project)
    with ExitStack() as stack:

        def make(trained: Trained | None = None, role: Role = Role.ADMIN, **caller: object) -> TestClient:
            if trained is not None:
                monkeypatch.setenv("PYNOMALY_LAKE", str(trained.folder / "lake"))
                monkeypatch.setenv("PYNOMALY_REGISTRY", trained.registry.tracking_uri)
                monkeypatch.setenv("PYNOMALY_ARTIFACTS", trained.registry.artifacts)
            app = create_app(ServiceSettings(), Project.current())
            who = Caller(account=f"the-{role}", name=f"the-{role}", role=role, **caller)  # type: ignore[arg-type]
            app.dependency_overrides[authenticate] = lambda: who
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield make
