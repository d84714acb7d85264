"""Real receivers of notifications on free ports: a mail server, a web server, and some that are dead."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers import free_port


class Mailbox:
    """What an SMTP server took."""

    def __init__(self) -> None:
        self.port = free_port()
        self.mails: list[EmailMessage] = []
        self.full = False

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}/?from=pynomaly@example.org&to=ops@example.org"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd calls it so)
        if self.full:
            return "452 mailbox full"
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        return "250 taken"


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import SMTP

    mailbox = Mailbox()
    sessions: list[SMTP] = []

    class Answering(Controller):
        def factory(self) -> SMTP:
            sessions.append(SMTP(mailbox, **self.SMTP_kwargs))
            return sessions[-1]

    async def hang_up() -> None:
        # The controller stops its loop and leaves the connections open, which warn when they are collected.
        for session in sessions:
            if session.transport is not None:
                session.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=30)

    controller = Answering(mailbox, hostname="127.0.0.1", port=mailbox.port)
    controller.start()
    try:
        yield mailbox
    finally:
        asyncio.run_coroutine_threadsafe(hang_up(), controller.loop).result(timeout=60)
        controller.stop()


class Webhook:
    """What a web server took, and how it answers."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self.url = ""


@contextmanager
def webhook() -> Iterator[Webhook]:
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if hook.status == 200:
                hook.bodies.append(body)
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"json://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def never_answers() -> Iterator[str]:
    """URL of a receiver that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"json://127.0.0.1:{listening.getsockname()[1]}/"
