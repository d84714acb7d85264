"""What the routes of one process share, made at its start."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import dagster as dg
from fastapi import Depends, Request

from pynomaly_pipelines.operations.cache import Cache, CacheSettings
from pynomaly_pipelines.operations.health import Health
from pynomaly_pipelines.operations.resilience import dependencies
from pynomaly_pipelines.operations.telemetry.parts import Parts
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.resources.configurable import DataDocsResource, LakeResource, RegistryResource, resources
from pynomaly_pipelines.resources.docs import DataDocs
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.opening import open_database
from pynomaly_pipelines.service.auth.parts import Auth
from pynomaly_pipelines.service.incidents.pictures import Pictures
from pynomaly_pipelines.service.keeping import Kept
from pynomaly_pipelines.service.launching import Runs
from pynomaly_pipelines.service.scoring.champions import Champions
from pynomaly_pipelines.service.scoring.work import Workers
from pynomaly_pipelines.service.settings import ServiceSettings
from pynomaly_pipelines.service.specs import Specs


@dataclass(frozen=True)
class Service:
    """The pipelines' stores and the service's own parts, each made when it is first asked for.

    Hangs on `app.state.service`. A part that needs a start and a stop has an entry in `lifespan.PARTS` as well.
    """

    settings: ServiceSettings
    project: Project

    @cached_property
    def health(self) -> Health:
        """The checks and the phase of this process."""
        return Health()

    @cached_property
    def database(self) -> Database:
        """Accounts and what belongs to them, at the schema of this program."""
        return open_database(self.settings, self.project.settings.home)

    @cached_property
    def auth(self) -> Auth:
        """Logging in and recognising callers."""
        return Auth.of(self.settings, self.database, self.project.settings.home)

    @cached_property
    def lake(self) -> Lake:
        """The Delta tables."""
        found = resources(self.project.settings)["lake"]
        assert isinstance(found, LakeResource)
        return found.open()

    @cached_property
    def specs(self) -> Specs:
        """The pipelines."""
        return Specs(self.project.defs)

    @cached_property
    def registry(self) -> Registry:
        """The MLflow registry."""
        found = resources(self.project.settings)["registry"]
        assert isinstance(found, RegistryResource)
        return found.open()

    @cached_property
    def champions(self) -> Champions:
        """The models that score."""
        return Champions(
            self.specs,
            self.lake,
            self.registry,
            poll_seconds=self.settings.champion_poll_seconds,
            memory_mb=self.settings.model_memory_mb,
            most_rows=self.settings.score_rows,
        )

    @cached_property
    def cache(self) -> Cache:
        """Values that cost something, shared with other processes where there is a Redis."""
        return Cache(CacheSettings.from_environment(self.project.settings))

    @cached_property
    def kept(self) -> Kept:
        """What reading routes work out."""
        where = self.project.settings
        return Kept(
            self.cache,
            seconds=self.settings.kept_seconds,
            registry_seconds=self.settings.champion_poll_seconds,
            place=(str(where.lake), str(where.registry), str(where.artifacts)),
        )

    @cached_property
    def parts(self) -> Parts:
        """What it knows of the parts it depends on, as figures."""
        return Parts(dependencies, self.cache.figures)

    @cached_property
    def workers(self) -> Workers:
        """The threads that large requests for scores are done in."""
        return Workers(self.settings.score_threads, self.settings.score_queue, self.settings.score_inline_seconds)

    @cached_property
    def pictures(self) -> Pictures:
        """The pictures of incidents, and the thread they are drawn in."""
        return Pictures(self.lake, self.settings.plot_threads, self.settings.plot_queue)

    @cached_property
    def dagster(self) -> dg.DagsterInstance:
        """What Dagster has recorded, and is told."""
        return self.project.instance()

    @cached_property
    def data_docs(self) -> DataDocs:
        """The pages on validations."""
        found = resources(self.project.settings)["data_docs"]
        assert isinstance(found, DataDocsResource)
        return found.open()

    @cached_property
    def runs(self) -> Runs:
        """Dagster's runs: launching, reading, following."""
        return Runs.of(self)


def service_of(request: Request) -> Service:
    """The parts of the process that answers this request."""
    found: Service = request.app.state.service
    return found


TheService = Annotated[Service, Depends(service_of)]
"""Parameter type of a route that needs them."""
