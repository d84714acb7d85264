"""A deployment of real processes, a code server and a daemon, that a test can kill like a machine that loses power."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from pathlib import Path

import dagster as dg
import yaml

from pynomaly_pipelines.automation.heartbeats import BEAT_TAG
from pynomaly_pipelines.operations.errors import TableError
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.serving_locally import LOCATION, Service, script
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.evaluation import evaluate
from pynomaly_pipelines.stages.ingestion import ingest
from pynomaly_pipelines.stages.promotion.registration import register
from pynomaly_pipelines.stages.scoring import score
from pynomaly_pipelines.stages.training import train
from pynomaly_pipelines.stages.validation import validate
from tests.end_to_end.conftest import day_of_rows
from tests.servers import free_port

REPOSITORY = Path(__file__).parents[2]
PAST, ARRIVING = ("2025-03-01", "2025-03-02"), ("2025-03-03", "2025-03-04", "2025-03-05")
ROWS = 120
PIPELINE = """\
type: pynomaly_pipelines.components.DetectionPipeline
attributes:
  source: {type: csv, path: landing/%Y-%m-%d.csv}
  time: at
  partition: daily
  start: 2025-03-01
  end: 2025-03-06
  key: id
  training: {min_rows: 200, detectors: [HBOS]}
  threshold: {alert_rate: 0.01}
  automation:
    {arrivals_interval_seconds: 2, reruns_interval_seconds: 2, rerun_delay_seconds: 1, partitions_per_run: 1}
"""
Storage = Mapping[str, object]
SQLITE: Storage = {"sqlite": {"base_dir": ".pynomaly/dagster"}}
PATIENCE_SECONDS = 400.0
"""How long a test waits for something to happen on a machine that is busy."""


class Deployment:
    """One project's processes; `start` and `kill` may alternate."""

    def __init__(self, project: Path, environment: Mapping[str, str], storage: Storage) -> None:
        self.project = project
        (project / "watch" / "defs" / "orders" / "defs.yaml").write_text(PIPELINE)
        settings = project / "dagster.yaml"
        own = yaml.safe_load(settings.read_text())
        settings.write_text(yaml.safe_dump({**own, "storage": dict(storage)}))
        self._environment = {
            **environment,
            "PYTHONPATH": f"{project}{os.pathsep}{REPOSITORY}",
            "DAGSTER_HOME": str(project / ".pynomaly" / "dagster"),
            "PYNOMALY_LIVE": "1",
            # A run is given up after 18 s: soon enough to wait for, and long for one that works on a busy machine.
            "PYNOMALY_HEARTBEAT_SECONDS": "3",
            "OMP_NUM_THREADS": "1",
        }
        home = Path(self._environment["DAGSTER_HOME"])
        home.mkdir(parents=True)
        (home / "dagster.yaml").write_text(settings.read_text())
        self._workspace, self._port = home / "workspace.yaml", free_port()
        server = {"grpc_server": {"host": "127.0.0.1", "port": self._port, "location_name": LOCATION}}
        self._workspace.write_text(yaml.safe_dump({"load_from": [server]}))
        self.lake = Lake(str(project / ".pynomaly" / "lake"))
        self._services: list[Service] = []

    def teach(self, new_registry: Callable[[Path], Registry]) -> None:
        """A champion, learned from the days before: what arrives is scored in the run that ingests it."""
        spec = PipelineSpec.model_validate({"name": "orders", **yaml.safe_load(PIPELINE)["attributes"]})
        registry = new_registry(self.project / ".pynomaly")
        for day in PAST:
            self._file(day)
        with chdir(self.project):
            days = [Calendar(spec).partition(day) for day in PAST]
            ingest(spec, days, self.lake, self.project)
            validate(spec, days, self.lake)
            train(spec, self.lake, registry)
            evaluate(spec, self.lake, registry)
            register(spec, self.lake, registry)
            score(spec, days, self.lake, registry)
        with self.instance() as instance:
            for noun in ("model", "evaluation", "champion"):
                instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey(["orders", noun])))

    def drop(self, *days: str) -> None:
        """Files of more days; by default of all that come."""
        for day in days or ARRIVING:
            self._file(day)

    def _file(self, day: str) -> None:
        target = self.project / "landing" / f"{day}.csv"
        part = target.with_suffix(".part")
        day_of_rows(int(day[-2:]), ROWS).to_csv(part, index=False)
        part.rename(target)

    def start(self) -> None:
        """The code server, and the daemon once that listens."""
        port = str(self._port)
        code = [script("dagster"), "code-server", "start", "-h", "127.0.0.1", "-p", port, "-m", "watch.definitions"]
        self.run("code server", [*code, "--location-name", LOCATION], self._port)
        self.until(lambda: self._services[-1].listening, "the code server")
        self.start_daemon("daemon")

    def start_daemon(self, name: str) -> Service:
        """One more daemon."""
        return self.run(name, [script("pynomaly"), "daemon", "-w", str(self._workspace)])

    def run(self, name: str, command: list[str], port: int | None = None) -> Service:
        """One more process of this deployment."""
        service = Service(name, command, self.project / f"{name}.log", port)
        service.start(self.project, self._environment)
        self._services.append(service)
        return service

    def kill(self) -> None:
        """kill -9 to every process and every process that these started, at once."""
        found = [pid for service in self._services if service.process for pid in family(service.process.pid)]
        for pid in found:
            with suppress(ProcessLookupError, FileNotFoundError):
                os.kill(pid, signal.SIGKILL)
        for service in self._services:
            if service.process is not None:
                service.process.wait(30)
        self._services = []

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The instance of these processes, for this one."""
        # Its paths are relative to the project.
        with chdir(self.project), dg.DagsterInstance.from_config(self._environment["DAGSTER_HOME"]) as found:
            yield found

    def scored(self) -> dict[str, int]:
        """Partition -> rows that have a score."""
        try:
            return self.lake.counts("orders", "scores")
        except TableError:
            return {}

    def all_scored(self, *days: str) -> bool:
        """Whether every row of these days was scored, and none twice; by default of all that come."""
        rows = self.lake.read("orders", "scores", columns=["id"])["id"].to_pylist()
        expected = dict.fromkeys((*PAST, *(days or ARRIVING)), ROWS)
        return self.scored() == expected and len(set(rows)) == len(rows)

    def until(self, ready: Callable[[], object], what: str) -> None:
        """Wait for it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if time.monotonic() > deadline:
                logs = "\n".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in self.project.glob("*.log"))
                raise AssertionError(f"{what} did not happen within {PATIENCE_SECONDS:.0f} s\n{logs}")
            time.sleep(0.2)


def at_work(instance: dg.DagsterInstance, day: str) -> list[dg.DagsterRun]:
    """Started runs of a day that showed a sign of life."""
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    return [run for run in instance.get_runs(started) if BEAT_TAG in run.tags and day in run.tags.values()]


def open_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs without an end."""
    return [run for run in instance.get_runs() if not run.is_finished]


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(ProcessLookupError, FileNotFoundError):
            found += [one for child in task.read_text().split() for one in family(int(child))]
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
