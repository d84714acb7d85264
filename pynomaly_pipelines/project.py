"""The folder a command runs in -> its pipelines and its Dagster instance."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pynomaly_pipelines import specfile
from pynomaly_pipelines.operations.errors import DetectorError, PynomalyError, SpecError
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    import dagster as dg

DEFINITIONS = "definitions"


@dataclass(frozen=True)
class Project:
    """A Dagster project with pipelines in it: this package itself, or a user's own."""

    settings: Settings
    module: str
    """Root module, from `[tool.dg.project]`."""
    defs: Path
    """The folder of the pipelines."""

    @classmethod
    def current(cls) -> Project:
        """The project of the current folder; without one, the pipelines that come with the package."""
        settings = Settings.from_environment()
        declared = _declared_module(settings.project)
        if declared is not None:
            for root in (settings.project / "src", settings.project):
                folder = root.joinpath(*declared.split("."))
                if folder.is_dir():
                    return cls(settings, declared, folder / "defs")
            raise SpecError(
                f"there is no folder of root_module {declared!r}",
                rule=f"`[tool.dg.project]` in {settings.project / 'pyproject.toml'} names the project's module",
                fix=f"make {declared.replace('.', '/')}/defs in {settings.project}, or correct `root_module`",
            )
        return cls(settings, "pynomaly_pipelines", Path(__file__).parent / "defs")

    @property
    def own(self) -> bool:
        """Whether the pipelines are the user's to write: of the project in this folder, not of an installed package."""
        return self.defs.is_relative_to(self.settings.project)

    def pipeline(self, name: str) -> PipelineSpec:
        """The pipeline of that name.

        Raises:
            SpecError: there is none, or its YAML breaks a rule.
        """
        return specfile.load(self.defs, name)

    def file_of(self, name: str) -> Path:
        """The file that describes the pipeline of that name, if it is the user's to write.

        Raises:
            SpecError: it is the installed package's, or there is none.
        """
        if not self.own:
            raise SpecError(
                f"{name!r} is a pipeline of the installed package",
                rule="files are written in a project of one's own",
                fix="`pynomaly init my_watch` makes one here",
            )
        found = [entry.path for entry in specfile.read_all(self.defs) if entry.spec and entry.spec.name == name]
        return found[0] if found else self.defs / name / "defs.yaml"

    def check(self) -> list[SpecError]:
        """Every broken rule of every pipeline, sorted by file and line."""
        problems: list[SpecError] = []
        for entry in specfile.read_all(self.defs):
            spec = entry.spec or entry.partly
            found = [*entry.problems, *(_deeper(replace(entry, spec=spec), self._columns(spec)) if spec else ())]
            found += self._aggregation_problems(replace(entry, spec=spec), spec) if spec and spec.aggregate else []
            problems += sorted(found, key=lambda problem: _line_of(problem.where))
        return problems

    def _aggregation_problems(self, entry: specfile.SpecFile, spec: PipelineSpec) -> list[SpecError]:
        """The SQL, tried against the columns of the events: as they are stored, or as the first files have them."""
        from pynomaly_pipelines.stages.aggregation import check_sql

        return [
            SpecError(p.problem, rule=p.rule, fix=p.fix, where=specfile.place(entry, *p.where.split(".")))
            for p in check_sql(spec, self._event_types(spec))
        ]

    def _event_types(self, spec: PipelineSpec) -> Mapping[str, Any] | None:
        """None where there is no data yet, or none that can be read: then only the syntax of SQL can be checked."""
        from pynomaly_pipelines.resources.tables import Lake
        from pynomaly_pipelines.stages.contract.columns import terms

        if "://" in self.settings.lake:
            return None
        try:
            return terms(spec.events, Lake(self.settings.lake), self.settings.project).types or None
        except PynomalyError:
            return None

    def _columns(self, spec: PipelineSpec) -> list[str] | None:
        """The columns that a pipeline's data has; None while nothing is ingested, or the tables are elsewhere."""
        from pynomaly_pipelines.resources.tables import Lake
        from pynomaly_pipelines.stages.contract.columns import OWN_COLUMNS

        lake = Lake(self.settings.lake)
        if "://" in self.settings.lake or not lake.exists(spec.name, spec.incoming[-1]):
            return None
        return [name for name in lake.schema(spec.name, spec.incoming[-1]).names if name not in OWN_COLUMNS]

    def load_health_checks(self) -> None:
        """Import the project's own health checks: the module `health` beside `defs`, where there is one."""
        if self.own and (self.defs.parent / "health.py").exists():
            root = str(self.defs.parents[len(self.module.split("."))])
            if root not in sys.path:
                sys.path.insert(0, root)
            importlib.import_module(f"{self.module}.health")

    def dagster_home(self) -> Path:
        """The folder Dagster keeps its state in: DAGSTER_HOME, or one in the home with the project's `dagster.yaml`."""
        if self.settings.dagster_home is not None:
            return self.settings.dagster_home
        folder = self.settings.home / "dagster"
        folder.mkdir(parents=True, exist_ok=True)
        own, used = self.settings.project / "dagster.yaml", folder / "dagster.yaml"
        if own.exists():
            shutil.copyfile(own, used)
        elif not used.exists():
            used.write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n", encoding="utf-8")
        return folder

    def instance(self) -> dg.DagsterInstance:
        """The instance that runs are recorded in, the same one the UI shows."""
        import dagster as dg

        # Paths in the project's dagster.yaml are relative to the project, for every process alike.
        os.chdir(self.settings.project)
        return dg.DagsterInstance.from_config(str(self.dagster_home()))


def _declared_module(folder: Path) -> str | None:
    try:
        found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(
            f"{folder / 'pyproject.toml'} is not readable: {error}", rule="it names the project's module", fix="mend it"
        ) from error
    module = found.get("tool", {}).get("dg", {}).get("project", {}).get("root_module")
    return str(module) if module else None


def _line_of(where: str) -> int:
    tail = where.rsplit(":", 1)[-1]
    return int(tail) if tail.isdigit() else 0


def _deeper(entry: specfile.SpecFile, columns: Collection[str] | None) -> list[SpecError]:
    """What the schema can't know: names of expectations and detectors, files that ought to be there."""
    assert entry.spec is not None
    return [
        *_source_problems(entry),
        *_expectation_problems(entry, columns),
        *_detector_problems(entry),
        *_event_problems(entry),
    ]


def _source_problems(entry: specfile.SpecFile) -> list[SpecError]:
    """A database, a Delta table or object storage that can't be read from here."""
    from pynomaly_pipelines.stages.sources.reachability import unreachable

    assert entry.spec is not None
    problem = unreachable(entry.spec, Settings.from_environment().project)
    if problem is None:
        return []
    return [SpecError(problem.problem, rule=problem.rule, fix=problem.fix, where=specfile.place(entry, "source"))]


def _expectation_problems(entry: specfile.SpecFile, columns: Collection[str] | None) -> list[SpecError]:
    from pynomaly_pipelines.stages.expectations.arguments import check_expectations

    assert entry.spec is not None
    return [
        SpecError(
            p.problem, rule=p.rule, fix=p.fix, where=specfile.place(entry, *(p.where or "expectations").split("."))
        )
        for p in check_expectations(entry.spec, columns)
    ]


def _detector_problems(entry: specfile.SpecFile) -> list[SpecError]:
    from pynomaly_pipelines.detection import Detector, SeriesDetector

    assert entry.spec is not None
    kind = SeriesDetector if entry.spec.kind == "series" else Detector
    found = []
    for index, choice in enumerate(entry.spec.training.detectors):
        try:
            kind(choice.name, **choice.parameters)
        except DetectorError as error:
            where = specfile.place(entry, "training", "detectors", str(index))
            found.append(SpecError(error.problem, rule=error.rule, fix=error.fix, where=where))
    return found


def _event_problems(entry: specfile.SpecFile) -> list[SpecError]:
    from pynomaly_pipelines.operations.errors import SourceError
    from pynomaly_pipelines.stages.features import read_events

    if entry.spec is None or entry.spec.labels is None or entry.spec.labels.events is None:
        return []
    try:
        read_events(entry.spec)
    except SourceError as error:
        where = specfile.place(entry, "labels", "events")
        return [SpecError(error.problem, rule=error.rule, fix=error.fix, where=where)]
    return []
