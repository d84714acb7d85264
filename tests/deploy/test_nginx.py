"""deploy/nginx with a real nginx, in front of two real Dagster webservers; who is asking is told by a stand-in."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.servers import free_port

pytestmark = pytest.mark.slow
CONFIG = Path(__file__).parents[2] / "deploy" / "nginx"
ACCESS = {"viewer": "read", "user": "write", "admin": "write"}
DEFINITIONS = """
import dagster as dg

@dg.op
def nothing(): ...

@dg.job
def small(): nothing()

defs = dg.Definitions(jobs=[small])
"""
PLACES = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
LAUNCH = """mutation { launchRun(executionParams: {selector: {repositoryName: "%s",
 repositoryLocationName: "%s", jobName: "small"}, runConfigData: {}}) { __typename } }"""


class Standin(BaseHTTPRequestHandler):
    """The service's answers to nginx, and MLflow's page: both tell what they were asked."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str]]] = []  # noqa: RUF012 - of the test's one server

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.append((self.command, self.path, headers))
        who = headers.get("cookie", "").removeprefix("who=")
        if self.path == "/v1/auth/verify" and who not in ACCESS:
            self._send(401, b"")
        elif self.path == "/v1/auth/verify" and who == "viewer" and _changes_mlflow(headers):
            self._send(403, b"")
        elif self.path == "/v1/auth/verify":
            self._send(204, b"", {"X-Account": who, "X-Role": who, "X-Access": ACCESS[who]})
        else:
            self._send(200, json.dumps(headers).encode())

    do_GET = do_POST = _answer  # noqa: N815

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


def _changes_mlflow(headers: dict[str, str]) -> bool:
    return headers["x-original-uri"].startswith("/mlflow") and headers["x-original-method"] != "GET"


@dataclass(frozen=True)
class Front:
    port: int

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, {"content-type": "application/json", **sent})
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def graphql(self, query: str, **headers: str) -> tuple[int, dict[str, Any]]:
        status, _, body = self.ask("POST", "/dagster/graphql", {"query": query}, **headers)
        return status, json.loads(body)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no nginx: apt-get install nginx")
    folder = tmp_path_factory.mktemp("nginx")
    standin = ThreadingHTTPServer(("127.0.0.1", 0), Standin)
    threading.Thread(target=standin.serve_forever, daemon=True).start()
    front, write, read = free_port(), free_port(), free_port()
    _configure(folder, front, standin.server_port, write, read)
    nginx = [program, "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"]
    processes = [_webserver(folder, write)]
    try:
        # One after the other: both would make Dagster's tables in a home that has none yet, and one of them fails.
        _wait(write, processes[0])
        processes.append(_webserver(folder, read, "--read-only"))
        processes.append(subprocess.Popen(nginx))
        _wait(read, processes[1])
        _wait(front, processes[2])
        yield Front(front)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
        standin.shutdown()
        standin.server_close()


def _configure(folder: Path, front: int, service: int, write: int, read: int) -> None:
    shutil.copytree(CONFIG, folder, dirs_exist_ok=True)
    (folder / "temp").mkdir()
    (folder / "listen.conf").write_text(f"listen 127.0.0.1:{front};\n")
    shown = (CONFIG / "upstreams.conf").read_text()
    for known, port in (("8000", service), ("3000", write), ("3001", read), ("5000", service)):
        shown = shown.replace(f"127.0.0.1:{known}", f"127.0.0.1:{port}")
    (folder / "upstreams.conf").write_text(shown)
    (folder / "defs.py").write_text(DEFINITIONS)
    (folder / "dagster").mkdir()
    (folder / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")


def _webserver(folder: Path, port: int, *more: str) -> subprocess.Popen[bytes]:
    program = Path(sys.executable).parent / "dagster-webserver"
    command = [program, "-f", "defs.py", "-h", "127.0.0.1", "-p", str(port), "--path-prefix", "/dagster", *more]
    environment = {**os.environ, "DAGSTER_HOME": str(folder / "dagster")}
    with (folder / f"webserver{port}.log").open("wb") as log:
        return subprocess.Popen([str(c) for c in command], cwd=folder, env=environment, stdout=log, stderr=log)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"nobody listens on {port}")


def test_nobody_is_led_to_the_login_page_and_a_script_is_told(front: Front) -> None:
    status, headers, _ = front.ask("GET", "/dagster/runs?x=1", accept="text/html,*/*")
    assert status == 302
    assert headers["location"].endswith("/login?next=/dagster/runs?x=1")
    assert front.ask("GET", "/mlflow/", accept="text/html")[0] == 302
    status, headers, body = front.ask("POST", "/dagster/graphql", {"query": "{ version }"})
    assert (status, headers["content-type"]) == (401, "application/problem+json")
    assert json.loads(body)["code"] == "request-not-authenticated"
    assert front.ask("GET", "/_verify", cookie="who=admin")[0] == 404


@pytest.mark.parametrize("who", list(ACCESS))
def test_each_role_sees_dagster(front: Front, who: str) -> None:
    status, _, body = front.ask("GET", "/dagster/runs", accept="text/html", cookie=f"who={who}")
    assert status == 200
    assert b'"/dagster"' in body
    assert "version" in front.graphql("{ version }", cookie=f"who={who}")[1]["data"]


@pytest.mark.parametrize(
    ("who", "answer"), [("viewer", "UnauthorizedError"), ("user", "LaunchRunSuccess"), ("admin", "LaunchRunSuccess")]
)
def test_a_viewer_cannot_launch_and_the_others_can(front: Front, who: str, answer: str) -> None:
    def runs() -> int:
        _, found = front.graphql("{ runsOrError { ... on Runs { count } } }", cookie="who=admin")
        return int(found["data"]["runsOrError"]["count"])

    before = runs()
    _, places = front.graphql(PLACES, cookie="who=admin")
    (place,) = places["data"]["repositoriesOrError"]["nodes"]
    launch = LAUNCH % (place["name"], place["location"]["name"])
    status, found = front.graphql(launch, cookie=f"who={who}", x_access="write", x_account="root", x_role="admin")
    assert status == 200
    assert found["data"]["launchRun"]["__typename"] == answer
    assert runs() == before + (who != "viewer")


@pytest.mark.parametrize("who", ["viewer", ""])
def test_a_websocket_is_let_in_like_everything_else(front: Front, who: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    upgrade = {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "graphql-ws",
        "Cookie": f"who={who}",
    }  # fmt: skip
    connection.request("GET", "/dagster/graphql", headers=upgrade)
    assert connection.getresponse().status == (101 if who else 401)
    connection.close()
    asked = [headers for _, path, headers in Standin.seen if path == "/v1/auth/verify"][-1]
    assert asked["upgrade"] == "websocket"


def test_what_clients_say_of_themselves_is_dropped_and_secrets_go_no_further(front: Front) -> None:
    status, _, body = front.ask(
        "GET", "/mlflow/", cookie="who=user", x_account="root", x_role="admin", x_access="write",
        authorization="Bearer x", x_api_key="y", x_forwarded_for="198.51.100.1",
    )  # fmt: skip
    assert status == 200
    told = json.loads(body)
    assert told["x-account"] == "user"
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert not {"x-role", "x-access", "cookie", "authorization", "x-api-key"} & set(told)


def test_a_refusal_of_the_service_is_one(front: Front) -> None:
    assert front.ask("POST", "/mlflow/ajax-api/2.0/mlflow/runs/delete", {}, cookie="who=viewer")[0] == 403
    assert front.ask("POST", "/mlflow/ajax-api/2.0/mlflow/runs/delete", {}, cookie="who=admin")[0] == 200
    _, _, asked = [s for s in Standin.seen if s[1] == "/v1/auth/verify"][-1]
    assert (asked["x-original-method"], asked["x-forwarded-for"]) == ("POST", "127.0.0.1")
    assert "content-length" not in asked
