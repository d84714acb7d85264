"""Scoring over HTTP against `mlflow models serve`: requests a second, CPU of a request.

    python -m benchmarks.serving [--detector IForest] [--workers 1] [--rounds 3] [--seconds 4]

mlflow serves the same detector with the same settings, fitted on the same rows, twice: as PyOD's own model, kept with
mlflow.sklearn as its users do, and as the version that this product registered. All serve with the same number of
workers on this machine, in rounds that take turns, shuffled. CPU is user and system time of the server's whole process
tree over a window, divided by its requests: it holds on a machine that does other work too. Ratios are of the same
round. On our side everything a deployment has is on: a checked token, limits, metrics, a JSON access log, traces of
1 %. TLS is not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.in_process import OTLP

ARROW = "application/vnd.apache.arrow.stream"
COLUMNS = 10
PIPELINE = "bench"
BASELINES = ("mlflow, PyOD", "mlflow, frozen")
"""`mlflow models serve` on PyOD's own model, and on the version registered here."""
SPEC = {
    "source": {"type": "csv", "path": "in.csv"},
    "threshold": {"alert_rate": 0.01},
}


@dataclass(frozen=True)
class Server:
    """A started server."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """What is asked, and how."""

    name: str
    path: str
    media: str
    body: bytes
    clients: int = 1


@dataclass(frozen=True)
class Window:
    """What one window gave."""

    requests: int
    seconds: float
    cpu_seconds: float
    failed: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time of a request, µs."""
        return self.cpu_seconds / max(self.requests, 1) * 1e6


# ------------------------------------------------------------------------------------------------ the project


def training_rows(rows: int = 10_000) -> pd.DataFrame:
    """Ordinary rows of ten columns."""
    values = np.random.default_rng(7).normal(size=(rows, COLUMNS))
    return pd.DataFrame(values, columns=[f"c{j}" for j in range(COLUMNS)])


def settings_of(detector: str) -> dict[str, int]:
    """PyOD settings that are not its defaults."""
    return {"n_estimators": 100} if detector == "IForest" else {}


def save_stock(folder: Path, detector: str, rows: int = 10_000) -> Path:
    """The detector as somebody with PyOD and mlflow alone has it: fitted, then kept with mlflow.sklearn."""
    import mlflow.sklearn
    from mlflow.models import infer_signature

    from pynomaly_pipelines.detection.offered import offer, pyod_class

    frame = training_rows(rows)
    fitted = pyod_class(offer(detector))(**settings_of(detector)).fit(frame)
    mlflow.sklearn.save_model(
        fitted,
        folder,
        # Not the default: skops refuses PyOD's types.
        serialization_format="cloudpickle",
        signature=infer_signature(frame, fitted.predict(frame[:10])),
        pip_requirements=["pyod"],
    )
    return folder


def make_project(folder: Path, detector: str, rows: int = 10_000) -> dict[str, str]:
    """Train, register and promote one model in a project of its own; returns the environment that names it."""
    os.environ.pop("PYNOMALY_HOME", None)
    from pynomaly_pipelines.operations.settings import Settings
    from pynomaly_pipelines.resources.configurable import LakeResource, RegistryResource, resources

    defs = folder / "my_watch" / "defs" / PIPELINE
    defs.mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "my_watch"\n')
    choice = {detector: settings_of(detector)} if settings_of(detector) else detector
    attributes = SPEC | {"training": {"detectors": [choice]}}
    told = {"type": "pynomaly_pipelines.components.DetectionPipeline", "attributes": attributes}
    (defs / "defs.yaml").write_text(yaml.safe_dump(told))
    os.environ["PYNOMALY_PROJECT"] = str(folder)
    made = resources(Settings.from_environment())
    lake, registry = made["lake"], made["registry"]
    assert isinstance(lake, LakeResource)
    assert isinstance(registry, RegistryResource)
    _train(lake.open(), registry.open(), training_rows(rows))
    return {"PYNOMALY_PROJECT": str(folder), "MLFLOW_TRACKING_URI": registry.tracking_uri}


def _train(lake: object, registry: object, rows: pd.DataFrame) -> None:
    import pyarrow as pa

    from pynomaly_pipelines.project import Project
    from pynomaly_pipelines.resources.registry import CHAMPION, Registry
    from pynomaly_pipelines.resources.tables import Lake
    from pynomaly_pipelines.stages.training import train

    assert isinstance(lake, Lake)
    assert isinstance(registry, Registry)
    spec = Project.current().pipeline(PIPELINE)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    own = {
        "_partition": pa.array(["all"] * len(rows)),
        "_source": pa.array(["in.csv"] * len(rows)),
        "_row": pa.array(np.arange(len(rows))),
    }
    for name, column in own.items():
        table = table.append_column(name, column)
    lake.replace(PIPELINE, "validated", ["all"], table)
    (version,) = train(spec, lake, registry)
    registry.point(CHAMPION, version)


# ------------------------------------------------------------------------------------------------- the servers


def serve_ours() -> None:
    """The child: the service as `pynomaly serve` starts it, with one account that may score."""
    from benchmarks.in_process import make_account
    from pynomaly_pipelines.project import Project
    from pynomaly_pipelines.service.app import create_app
    from pynomaly_pipelines.service.serving import running
    from pynomaly_pipelines.service.settings import ServiceSettings

    auth = create_app(ServiceSettings(), Project.current()).state.service.auth
    make_account(auth)
    auth.close()
    sys.exit(running.run(Project.current(), {}, lambda _: None))


def log_in(port: int) -> dict[str, str]:
    """The headers of the account, with a token that holds a quarter of an hour."""
    from benchmarks.in_process import NAME, PASSWORD

    form = urllib.parse.urlencode({"grant_type": "password", "username": NAME, "password": PASSWORD}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/auth/token", form, timeout=30) as answer:
        return {"Authorization": f"Bearer {json.load(answer)['access_token']}"}


@contextmanager
def started(name: str, command: list[str], port: int, ready: str, environment: dict[str, str]) -> Iterator[Server]:
    """A server, until it answers and then until the end."""
    log = Path(tempfile.gettempdir()) / f"pynomaly-benchmark-{name.replace(', ', '-')}.log"
    # mlflow starts `uvicorn` by that name.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, env=os.environ | environment | {"PATH": path}, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=2).close()
                break
            except urllib.error.HTTPError as error:
                error.close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start:\n{log.read_text()[-2000:]}") from None
                time.sleep(0.3)
        yield Server(name, port, process)
    finally:
        # The one that was started may be gone, and what it started not.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def free_port() -> int:
    """A port nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ----------------------------------------------------------------------------------------------- measuring


def tree_seconds(root: int) -> float:
    """User and system time of a process and all below it, from /proc."""
    ticks = os.sysconf("SC_CLK_TCK")
    parents, spent = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat[1])
            spent[int(entry.name)] = (int(stat[11]) + int(stat[12])) / ticks
    chosen = {root}
    for _ in range(4):
        chosen |= {pid for pid, parent in parents.items() if parent in chosen}
    return sum(spent.get(pid, 0.0) for pid in chosen)


def measure(server: Server, load: Load, seconds: float) -> Window:
    """One window of load."""
    before, began = tree_seconds(server.process.pid), time.monotonic()
    requests, failed = (_wrk if shutil.which("wrk") else _clients)(server, load, seconds)
    return Window(requests, time.monotonic() - began, tree_seconds(server.process.pid) - before, failed)


def _wrk(server: Server, load: Load, seconds: float) -> tuple[int, int]:
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder) / "body", Path(folder) / "post.lua"
        body.write_bytes(load.body)
        script.write_text(
            f'local f = io.open("{body}", "rb")\nwrk.method = "POST"\nwrk.body = f:read("*a")\n'
            f'wrk.headers["Content-Type"] = "{load.media}"\n'
            + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in server.headers.items())
            + "done = function(s, l, r) local e = s.errors\n"
            'print("COUNT " .. s.requests .. " " .. (e.status + e.connect + e.read + e.timeout)) end\n'
        )
        url = f"http://127.0.0.1:{server.port}{load.path}"
        threads, clients = str(min(load.clients, 2)), str(load.clients)
        command = ["wrk", "-t", threads, "-c", clients, "-d", f"{seconds:.0f}s", "-s", str(script), url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in said.splitlines() if line.startswith("COUNT"))
    return int(line.split()[1]), int(line.split()[2])


def _clients(server: Server, load: Load, seconds: float) -> tuple[int, int]:
    """Without wrk: threads with a connection each; their own CPU is not the server's."""
    counts = [[0, 0] for _ in range(load.clients)]
    until = time.monotonic() + seconds

    def ask(count: list[int]) -> None:
        connection = HTTPConnection("127.0.0.1", server.port)
        while time.monotonic() < until:
            connection.request("POST", load.path, load.body, {"content-type": load.media, **server.headers})
            answer = connection.getresponse()
            answer.read()
            count[0] += 1
            count[1] += answer.status != 200
        connection.close()

    threads = [threading.Thread(target=ask, args=(count,)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(count[0] for count in counts), sum(count[1] for count in counts)


def loads(rows: int, clients: int) -> dict[str, list[Load]]:
    """Server -> the same rows as it takes them; ours as JSON and, if they are many, as Arrow."""
    frame = training_rows(rows)
    records = frame.to_dict("records")
    name, path = f"{rows} × {clients} clients", f"/v1/pipelines/{PIPELINE}/score"
    ours = [Load(f"{name}, JSON", path, "application/json", json.dumps({"rows": records}).encode(), clients)]
    if rows > 1:
        ours.append(Load(f"{name}, Arrow", path, ARROW, _arrow(frame), clients))
    split = json.dumps({"dataframe_split": frame.to_dict("split", index=False)}).encode()
    theirs = [Load(name, "/invocations", "application/json", split, clients)]
    return {"ours": ours, **dict.fromkeys(BASELINES, theirs)}


def _arrow(frame: pd.DataFrame) -> bytes:
    import pyarrow as pa

    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def compare(servers: dict[str, Server], rounds: int, seconds: float) -> dict[str, dict[str, list[Window]]]:
    """Load -> server -> a window a round."""
    found: dict[str, dict[str, list[Window]]] = {}
    for rows, clients in ((1, 1), (1, 16), (1000, 1)):
        asked = loads(rows, clients)
        work = [(server, load) for name, server in servers.items() for load in asked[name]]
        for server, load in work:
            measure(server, load, 1)
        for _ in range(rounds):
            random.shuffle(work)
            for server, load in work:
                found.setdefault(load.name, {}).setdefault(server.name, []).append(measure(server, load, seconds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="IForest")
    parser.add_argument("--workers", type=int, default=1, help="processes of each server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--in-process", action="store_true", help="only our CPU of a request, without a server")
    chosen = parser.parse_args()
    if chosen.serve:
        serve_ours()
    if chosen.in_process:
        measure_in_process(chosen.detector)
        return
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = start_all(Path(folder), chosen.detector, chosen.workers, stack)
        found = compare(servers, chosen.rounds, chosen.seconds)
    report(chosen.detector, chosen.workers, found)


def start_all(folder: Path, detector: str, workers: int, stack: ExitStack) -> dict[str, Server]:
    """Our server and both of mlflow's, which `stack` stops."""
    environment = make_project(folder, detector)
    stock = save_stock(folder / "stock", detector)
    port = free_port()
    ours = environment | {
        "PYNOMALY_SERVICE_PORT": str(port),
        "PYNOMALY_SERVICE_WORKERS": str(workers),
        # One address asks for everything here.
        "PYNOMALY_SERVICE_RATE_SCORE": "100000000/60",
        "PYNOMALY_SERVICE_OTLP_URL": OTLP,
    }
    command = [sys.executable, "-m", "benchmarks.serving", "--serve"]
    one = stack.enter_context(started("ours", command, port, "/health/live", ours))
    servers = {"ours": replace(one, headers=log_in(port))}
    for name, model in zip(BASELINES, (str(stock), f"models:/{PIPELINE}@champion"), strict=True):
        port = free_port()
        told = ["-m", model, "-p", str(port), "-w", str(workers), "--env-manager", "local"]
        command = [str(Path(sys.executable).parent / "mlflow"), "models", "serve", *told]
        servers[name] = stack.enter_context(started(name, command, port, "/ping", environment))
    return servers


def measure_in_process(detector: str) -> None:
    """Our CPU of a request, from its ASGI scope to the end of its answer."""
    from benchmarks import in_process

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= make_project(Path(folder), detector)
        in_process.report([*loads(1, 1)["ours"], *loads(1000, 1)["ours"]])


def report(detector: str, workers: int, found: dict[str, dict[str, list[Window]]]) -> None:
    """Print medians, and ratios of each of our loads to those that ask the same of mlflow."""
    client = shutil.which("wrk") or "threads"
    print(f"{detector}, 10,000 × {COLUMNS} training rows; {workers} worker(s) each; client: {client}")
    print("| load | server | CPU a request | at best | requests/s | failed |\n| --- | --- | --- | --- | --- | --- |")
    for load, by_server in found.items():
        for server, windows in by_server.items():
            cpu, rate = (statistics.median(getattr(w, what) for w in windows) for what in ("cpu_us", "rate"))
            best, failed = min(w.cpu_us for w in windows), sum(w.failed for w in windows)
            print(f"| {load} | {server} | {cpu:,.0f} µs | {best:,.0f} µs | {rate:,.0f} | {failed} |")
    for load, by_server in found.items():
        for name in BASELINES:
            theirs = found.get(load.split(", ")[0], {}).get(name, [])
            if "ours" in by_server and theirs:
                rates, cpu = ratios(by_server["ours"], theirs)
                print(f"{load}: {rates:.1f}× the requests/s of {name}, {cpu:.1f}× less CPU a request")


def ratios(ours: list[Window], theirs: list[Window]) -> tuple[float, float]:
    """Medians over the rounds of our requests a second over theirs, and their CPU of a request over ours.

    A round in which a starved server answered nothing counts for nothing.
    """
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=True) if one.requests and other.requests]
    if not pairs:
        return float("nan"), float("nan")
    rates = statistics.median(one.rate / other.rate for one, other in pairs)
    return rates, statistics.median(other.cpu_us / one.cpu_us for one, other in pairs)


if __name__ == "__main__":
    main()
