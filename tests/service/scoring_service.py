"""A service over pipelines that were trained in tests, with a caller who may score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.settings import ServiceSettings
from tests.small_pipelines import Trained


def project_of(made: Trained, folder: Path) -> Project:
    """A project whose one pipeline is this one, with its tables and its registry."""
    defs = folder / "defs"
    place = defs / made.spec.name
    place.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = made.spec.model_dump(mode="json", exclude_defaults=True)
    document = {"type": "pynomaly_pipelines.components.DetectionPipeline", "attributes": told}
    (place / "defs.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return Project(settings_of(made, folder), "my_watch", defs)


def settings_of(made: Trained, folder: Path) -> Settings:
    """Where the trained pipeline's tables and models are."""
    return replace(
        Settings.from_environment(),
        project=folder,
        home=folder / "home",
        lake=str(made.folder / "lake"),
        registry=f"sqlite:///{made.folder / 'registry' / 'registry.db'}",
        artifacts=str(made.folder / "registry" / "artifacts"),
    )


def app_of(made: Trained, folder: Path, role: Role = Role.USER, **settings: Any) -> FastAPI:
    """The application, whose requests come from an account of that role."""
    app = create_app(ServiceSettings(trusted_hosts=("testserver",), **settings), project_of(made, folder))
    app.dependency_overrides[authenticate] = lambda: Caller(account="a", name="ann", role=role)
    return app


@contextmanager
def serving(made: Trained, folder: Path, **settings: Any) -> Iterator[TestClient]:
    """A client of the started application."""
    with TestClient(app_of(made, folder, **settings), raise_server_exceptions=False) as client:
        yield client
