"""Trained scorers -> MLflow runs, registered versions and aliases, and back.

One run per trained model, ids passed explicitly; a model is chosen by alias, never by "newest". The artifact is arrays
and JSON behind `loader_module`, so that loading it runs no code from the registry.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pynomaly_pipelines.operations.errors import (
    ArtifactsMissing,
    NoChampion,
    RegistryError,
    RegistryUnreachable,
    ScorerFileError,
)
from pynomaly_pipelines.operations.resilience import breaker, guarded, is_fault
from pynomaly_pipelines.operations.settings import quiet_libraries

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from pynomaly_pipelines.detection import Scorer

CANDIDATE_PREFIX = "candidate-"
CHALLENGER = "challenger"
CHAMPION = "champion"
PREVIOUS = "previous"
MODEL = "model"
SCORER_FOLDER = "scorer"
DIGEST = "scorer_sha256"
"""Tag of a version: what its scorer's files are known by."""
PAGE = 200
"""Versions asked for at once."""
LONGEST_TAG = 4_900
LOADER = "pynomaly_pipelines.resources.pyfunc"


@dataclass(frozen=True)
class Version:
    """One registered model of a pipeline, as the registry knows it."""

    pipeline: str
    number: int
    run_id: str
    source: str
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def detector(self) -> str:
        """The detector's name."""
        return self.tags.get("detector", "?")

    @property
    def threshold(self) -> float:
        """The score above which a row is an anomaly.

        Raises:
            RegistryError: the version carries none, so it was not registered by this product.
        """
        if "threshold" not in self.tags:
            raise RegistryError(
                f"version {self.number} of {self.pipeline!r} has no tag `threshold`",
                rule="a version that scores carries its threshold",
                fix="train and register it through the pipeline, or set the tag in the registry",
            )
        return float(self.tags["threshold"])


@dataclass(frozen=True)
class TrainedModel:
    """What is logged with one trained model."""

    scorer: Scorer
    example: pd.DataFrame
    parameters: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    plots: Mapping[str, bytes]
    notes: str = ""
    """What the model card says beside what the scorer says of itself."""

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return self.scorer.card() + self.notes


class Registry:
    """The MLflow tracking store and model registry of a deployment."""

    def __init__(
        self,
        tracking_uri: str,
        artifacts: str,
        ui: str = "",
        cache: Path | None = None,
        before_write: Callable[[], None] = lambda: None,
    ) -> None:
        """`before_write` is called before a version is registered or an alias moved, and stops it by raising."""
        self.tracking_uri = tracking_uri
        self.artifacts = artifacts
        self.ui = ui.rstrip("/")
        self._cache = cache
        self._before_write = before_write

    # ------------------------------------------------------------------------------------------------ writing

    def register(self, pipeline: str, model: TrainedModel) -> Version:
        """Log one trained model as one run, and register it as the pipeline's next version."""
        client = self._client()
        self._before_write()
        run_id = self._start_run(client, pipeline, model)
        try:
            self._log_run(client, run_id, model)
            number = self._log_and_register(client, pipeline, run_id, model)
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id)
        return self.version(pipeline, number)

    def log_metrics(self, version: Version, metrics: Mapping[str, float]) -> None:
        """Add metrics to the run behind a version."""
        client = self._client()
        for key, value in metrics.items():
            client.log_metric(version.run_id, key, value)

    def log_files(self, version: Version, folder: str, files: Mapping[str, bytes]) -> None:
        """Add artifacts (name -> content) under `folder` of the run behind a version."""
        self._log_bytes(self._client(), version.run_id, folder, files)

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags on a version. They are for people: MLflow takes 5,000 characters, longer texts are cut visibly.

        What a program reads again goes into an artifact (`log_files`, `file`).
        """
        client = self._client()
        for key, value in tags.items():
            text = value if len(value) <= LONGEST_TAG else f"{value[:LONGEST_TAG]} … (cut)"
            client.set_model_version_tag(pipeline_model(version.pipeline), str(version.number), key, text)

    def tag_pipeline(self, pipeline: str, tags: Mapping[str, str]) -> None:
        """Set tags on a pipeline's registered model, which stand beside all of its versions."""
        client = self._client()
        for key, value in tags.items():
            client.set_registered_model_tag(pipeline_model(pipeline), key, value)

    def untag(self, version: Version, *keys: str) -> None:
        """Take tags off a version; no error where there is none of that name."""
        client = self._client()
        for key in set(keys) & set(version.tags):
            client.delete_model_version_tag(pipeline_model(version.pipeline), str(version.number), key)

    def describe(self, version: Version, text: str) -> None:
        """The text the MLflow UI shows on the version's page, Markdown; the detector's name stands above it."""
        name = pipeline_model(version.pipeline)
        headed = f"# {version.detector}\n\n{text}"
        self._client().update_model_version(name, str(version.number), description=headed[:LONGEST_TAG])

    def point(self, alias: str, version: Version) -> None:
        """Make an alias name this version."""
        self._before_write()
        self._client().set_registered_model_alias(pipeline_model(version.pipeline), alias, str(version.number))

    def unpoint(self, alias: str, pipeline: str) -> None:
        """Take an alias away; no error where there is none."""
        self._client().delete_registered_model_alias(pipeline_model(pipeline), alias)

    # ------------------------------------------------------------------------------------------------ reading

    def version(self, pipeline: str, number: int) -> Version:
        """One version by its number.

        Raises:
            RegistryError: there is none.
        """
        from mlflow.exceptions import MlflowException

        try:
            found = self._client().get_model_version(pipeline_model(pipeline), str(number))
        except MlflowException as error:
            raise RegistryError(
                f"pipeline {pipeline!r} has no model version {number}",
                rule="versions are numbered from 1 by the registry",
                fix=f"`pynomaly models {pipeline}` lists them",
            ) from error
        return _version(pipeline, found)

    def aliased(self, pipeline: str, alias: str) -> Version | None:
        """The version an alias names, or None."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client().get_model_version_by_alias(pipeline_model(pipeline), alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return self.version(pipeline, int(found.version))

    def champion(self, pipeline: str) -> Version:
        """The version that scores.

        Raises:
            NoChampion: none was promoted yet.
        """
        found = self.aliased(pipeline, CHAMPION)
        if found is None:
            raise NoChampion(
                f"pipeline {pipeline!r} has no champion",
                rule="scoring needs a model that passed the gate",
                fix=f"train one: `pynomaly run {pipeline}`, and read the gate's reason if it was refused",
            )
        return found

    def pipeline_tags(self, pipeline: str) -> dict[str, str]:
        """Tags of a pipeline's registered model; none where nothing was trained yet."""
        from mlflow.exceptions import MlflowException

        try:
            return dict(self._client().get_registered_model(pipeline_model(pipeline)).tags)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise

    def versions(self, pipeline: str) -> list[Version]:
        """All versions of a pipeline, newest first."""
        client, name = self._client(), pipeline_model(pipeline)
        found: list[ModelVersion] = []
        page = client.search_model_versions(f"name='{name}'", max_results=PAGE)
        found += page
        while page.token:
            page = client.search_model_versions(f"name='{name}'", max_results=PAGE, page_token=page.token)
            found += page
        # A search tells no aliases; the model tells them all at once.
        aliases = client.get_registered_model(name).aliases if found else {}
        versions = [_version(pipeline, one, aliases) for one in found]
        return sorted(versions, key=lambda version: -version.number)

    def candidates(self, pipeline: str) -> list[Version]:
        """The versions the last training made, by their `candidate-…` aliases."""
        return [v for v in self.versions(pipeline) if any(a.startswith(CANDIDATE_PREFIX) for a in v.aliases)]

    def load(self, version: Version) -> Scorer:
        """The scorer of a version, from the local cache where it lies there already.

        Raises:
            RegistryError: it can't be fetched, or the version does not say what its files are.
            ScorerFileError: its files are not those that were registered.
        """
        from pynomaly_pipelines.detection import Scorer

        if self._cache is None:
            with tempfile.TemporaryDirectory() as folder:
                return Scorer.load(_as_registered(version, self._download(version, Path(folder))))
        kept = self._cache / version.pipeline / f"{version.number}-{version.run_id}"
        if kept.exists():
            try:
                return Scorer.load(_as_registered(version, kept))
            except ScorerFileError:
                # A broken copy heals; if what lies in the artifact store is broken too, that is told.
                shutil.rmtree(kept, ignore_errors=True)
        self._fill_cache(version, kept)
        return Scorer.load(_as_registered(version, kept))

    def picture(self, version: Version, name: str) -> bytes:
        """A plot of the run behind a version, `plots/<name>`; empty where it has none."""
        return self.file(version, f"plots/{name}")

    def file(self, version: Version, path: str) -> bytes:
        """A file among the artifacts of the run behind a version; empty where there is none."""
        import mlflow.artifacts
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory() as place, _quiet():
            try:
                got = mlflow.artifacts.download_artifacts(
                    run_id=version.run_id,
                    artifact_path=path,
                    dst_path=place,
                    tracking_uri=self.tracking_uri,
                )
            except (MlflowException, OSError) as error:
                if is_fault(error):
                    raise _unreachable(error) from error
                return b""
            return Path(got).read_bytes()

    def metrics(self, version: Version) -> dict[str, float]:
        """The figures of the run behind a version, the latest of each."""
        return {name: float(value) for name, value in self._client().get_run(version.run_id).data.metrics.items()}

    def plots(self, version: Version) -> list[str]:
        """Names of the plots of the run behind a version."""
        found = self._client().list_artifacts(version.run_id, "plots")
        return sorted(Path(one.path).name for one in found if not one.is_dir)

    def rows_fitted(self, version: Version) -> int:
        """Rows the version was trained on, as its run says."""
        return int(self._client().get_run(version.run_id).data.metrics.get("rows_fitted", 0))

    def run_url(self, version: Version) -> str:
        """Address of the run in the MLflow UI."""
        return f"{self.ui}/#/experiments/{self._experiment(self._client(), version.pipeline)}/runs/{version.run_id}"

    def version_url(self, version: Version) -> str:
        """Address of the version in the MLflow UI."""
        return f"{self.ui}/#/models/{pipeline_model(version.pipeline)}/versions/{version.number}"

    # ------------------------------------------------------------------------------------------------ helpers

    def _client(self) -> MlflowClient:
        return _client(self.tracking_uri)

    def _experiment(self, client: MlflowClient, pipeline: str) -> str:
        from mlflow.exceptions import MlflowException

        name = pipeline_model(pipeline)
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(client.create_experiment(name, artifact_location=self._artifact_location(pipeline)))
        except MlflowException:
            # Another process made it between the two calls.
            return str(client.get_experiment_by_name(name).experiment_id)

    def _artifact_location(self, pipeline: str) -> str:
        if "://" in self.artifacts:
            return f"{self.artifacts.rstrip('/')}/{pipeline}"
        return (Path(self.artifacts) / pipeline).absolute().as_uri()

    def _start_run(self, client: MlflowClient, pipeline: str, model: TrainedModel) -> str:
        run = client.create_run(
            self._experiment(client, pipeline),
            tags={**model.tags, "pipeline": pipeline},
            run_name=f"{pipeline} {model.scorer.detector}",
        )
        return str(run.info.run_id)

    def _log_run(self, client: MlflowClient, run_id: str, model: TrainedModel) -> None:
        for key, value in model.parameters.items():
            client.log_param(run_id, key, value)
        for key, metric in model.metrics.items():
            client.log_metric(run_id, key, metric)
        self._log_bytes(client, run_id, "plots", model.plots)
        client.log_text(run_id, model.card, "model_card.md")

    def _log_and_register(self, client: MlflowClient, pipeline: str, run_id: str, model: TrainedModel) -> int:
        from mlflow.exceptions import MlflowException

        # Left to itself, Model.log files the model under the default experiment.
        logged = client.create_logged_model(self._experiment(client, pipeline), name=MODEL, source_run_id=run_id)
        uri, digest = _log_pyfunc(run_id, str(logged.model_id), model)
        name = pipeline_model(pipeline)
        with contextlib.suppress(MlflowException):
            client.create_registered_model(name, description=f"Detectors of the pipeline {pipeline}.")
        tags = {**model.tags, DIGEST: digest}
        created = client.create_model_version(name, uri, run_id, tags=tags, description=model.card[:4900])
        return int(created.version)

    def _log_bytes(self, client: MlflowClient, run_id: str, folder: str, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as place:
            for name, content in files.items():
                (Path(place) / name).write_bytes(content)
            if files:
                client.log_artifacts(run_id, place, folder)

    def _download(self, version: Version, folder: Path) -> Path:
        import mlflow.artifacts
        from mlflow.exceptions import MlflowException

        # `models:/m-…` is looked up in the process-wide store, whatever `tracking_uri` says.
        self._client()
        try:
            with _quiet():
                got = mlflow.artifacts.download_artifacts(
                    artifact_uri=version.source, dst_path=str(folder), tracking_uri=self.tracking_uri
                )
        except (MlflowException, OSError) as error:
            if is_fault(error):
                raise _unreachable(error) from error
            raise ArtifactsMissing(
                f"the artifacts of version {version.number} of {version.pipeline!r} could not be fetched: {error}",
                rule=f"they lie at {version.source}",
                fix="check the artifact store, or roll back to a version whose artifacts exist",
            ) from error
        scorer = Path(got) / "data" / SCORER_FOLDER
        if not scorer.is_dir():
            # Also where the folder is gone: MLflow then downloads nothing, and says nothing.
            raise ArtifactsMissing(
                f"the artifacts of version {version.number} of {version.pipeline!r} hold no data/{SCORER_FOLDER}",
                rule="a pipeline's model is a saved scorer",
                fix="train and register it through the pipeline, or roll back to a version that was",
            )
        return scorer

    def _fill_cache(self, version: Version, kept: Path) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as place:
            folder = self._download(version, Path(place))
            try:
                folder.rename(kept)
            except OSError:
                # Another process filled it first; theirs is as good.
                shutil.rmtree(folder, ignore_errors=True)


def pipeline_model(pipeline: str) -> str:
    """Name of a pipeline's registered model and of its experiment."""
    return pipeline


def _version(pipeline: str, found: ModelVersion, aliases: Mapping[str, str] | None = None) -> Version:
    """The version as found; `aliases` (alias -> number) where the answer itself tells none."""
    own = (
        found.aliases if aliases is None else [a for a, number in aliases.items() if int(number) == int(found.version)]
    )
    return Version(
        pipeline=pipeline,
        number=int(found.version),
        run_id=str(found.run_id),
        source=str(found.source),
        tags=dict(found.tags),
        aliases=tuple(sorted(own)),
    )


def _client(tracking_uri: str) -> MlflowClient:
    quiet_libraries()
    import mlflow

    if tracking_uri.startswith("sqlite:///"):
        Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    for chatty in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Model.log has no argument for the store, so the process-wide setting must agree with the client.
    if mlflow.get_tracking_uri() != tracking_uri:
        mlflow.set_tracking_uri(tracking_uri)
    return guarded(mlflow.MlflowClient(tracking_uri), "registry", _unreachable)


def _unreachable(error: Exception) -> RegistryUnreachable:
    """What a library says of a registry that is away -> the error of ours."""
    return RegistryUnreachable(
        f"the registry gives no answer: {type(error).__name__}: {str(error).splitlines()[0][:200]}",
        rule="models are looked up in MLflow, at the address that PYNOMALY_REGISTRY names",
        fix="see whether MLflow, its database and its artifact store are up; then ask again",
        dependency="registry",
        retry_after=breaker("registry").rules.open_seconds,
    )


def _as_registered(version: Version, folder: Path) -> Path:
    """The folder, whose files are those that the version was registered with."""
    from pynomaly_pipelines.detection import storage

    expected, found = version.tags.get(DIGEST), storage.digest(folder)
    if expected is None:
        raise RegistryError(
            f"version {version.number} of {version.pipeline!r} has no tag `{DIGEST}`",
            rule="a version says by its SHA-256 which files were registered",
            fix="train and register it through the pipeline, or roll back to a version that was",
        )
    if found != expected:
        raise ScorerFileError(
            f"version {version.number} of {version.pipeline!r}: the SHA-256 of its scorer is {found[:12]}…, "
            f"registered was {expected[:12]}…",
            rule="a scorer's files are those that were registered, to the last byte",
            fix="find out who changed them, and roll back or train again",
        )
    return folder


def _log_pyfunc(run_id: str, model_id: str, model: TrainedModel) -> tuple[str, str]:
    """Address of the logged model, and the digest of its scorer."""
    import mlflow.pyfunc
    from mlflow.models import Model

    from pynomaly_pipelines import __version__
    from pynomaly_pipelines.detection import storage
    from pynomaly_pipelines.resources.pyfunc import signature, without_zones

    with tempfile.TemporaryDirectory() as place, _quiet():
        folder = Path(place) / SCORER_FOLDER
        model.scorer.save(folder)
        digest = storage.digest(folder)
        # pip_requirements is always given: inferring it starts a process of 15 seconds.
        logged = Model.log(
            None,
            mlflow.pyfunc,
            run_id=run_id,
            model_id=model_id,
            name=MODEL,
            loader_module=LOADER,
            data_path=str(folder),
            signature=signature(model.example),
            input_example=without_zones(model.example),
            pip_requirements=[f"pynomaly-pipelines=={__version__}"],
        )
    return str(logged.model_uri), digest


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's advice to interactive users out of run logs."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
