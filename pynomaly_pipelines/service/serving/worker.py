"""`python -m …serving.worker SOCKET PIPE`: one of several processes behind a socket the parent has opened."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time

from pynomaly_pipelines.service.serving.workers import ALIVE, READY

_BEAT_SECONDS = 1.0


def main() -> int:
    """Serve until told to stop, or until the parent is gone."""
    from pynomaly_pipelines.project import Project
    from pynomaly_pipelines.service.serving.running import serve_here
    from pynomaly_pipelines.service.settings import read_settings

    listening, pipe = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    return serve_here(read_settings(), Project.current(), listening, lambda: _live(pipe))


def _live(pipe: int) -> None:
    """Say that it is ready, then again and again that the loop turns."""
    import asyncio

    os.set_blocking(pipe, False)
    loop = asyncio.get_running_loop()
    turned = time.monotonic()

    def turn() -> None:
        nonlocal turned
        turned = time.monotonic()
        loop.call_later(_BEAT_SECONDS, turn)

    def beat() -> None:
        said = READY
        while True:
            try:
                # Only while the loop turns: a process that is alive and answers nobody is to be replaced.
                if said == READY or time.monotonic() - turned < 2 * _BEAT_SECONDS:
                    os.write(pipe, said)
            except BlockingIOError:
                pass
            except OSError:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            said = ALIVE
            time.sleep(_BEAT_SECONDS)

    turn()
    threading.Thread(target=beat, name="sign of life", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
