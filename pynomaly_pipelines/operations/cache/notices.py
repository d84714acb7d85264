"""Redis' publish and subscribe -> other processes hear of an invalidation at once, and not at their next look.

A convenience: a notice may be lost with the connection, and the database of generations is looked at all the same.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pynomaly_pipelines.operations.cache.redis_values import connect

log = logging.getLogger(__name__)
MOST_TAGS = 1000


class Notices:
    """Listens in a thread of its own."""

    def __init__(
        self,
        url: str,
        channel: str,
        *,
        on_notice: Callable[[Mapping[str, int]], None],
        on_connected: Callable[[], None],
        pause_seconds: float,
    ) -> None:
        """`on_connected` is called when it begins to listen, also again: what was said before was missed."""
        self._url = url
        self._channel = channel
        self._on_notice = on_notice
        self._on_connected = on_connected
        self._pause = pause_seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.listening = threading.Event()

    def start(self) -> None:
        """Begin to listen; no error if Redis is away."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_listening, name="cache-notices", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._pause + 2)

    def _keep_listening(self) -> None:
        from redis.exceptions import RedisError

        client = connect(self._url)
        while not self._stop.is_set():
            try:
                with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(self._channel)
                    self._listen(channel)
            except (RedisError, OSError) as error:
                # Others' breaker is left alone: this one waits in a thread where nobody waits for it.
                log.info("no notices from Redis: %s", error)
            finally:
                self.listening.clear()
            self._stop.wait(self._pause)
        client.close()

    def _listen(self, channel: Any) -> None:
        # The answer to "subscribe" first: only what is published after it is heard.
        channel.get_message(ignore_subscribe_messages=False, timeout=self._pause)
        self._on_connected()
        self.listening.set()
        while not self._stop.is_set():
            message = channel.get_message(timeout=self._pause)
            if message is not None:
                self._on_notice(read_notice(message["data"]))


def write_notice(news: Mapping[str, int]) -> bytes:
    """Tag -> generation, as it is published."""
    return json.dumps(dict(news)).encode()


def read_notice(data: object) -> dict[str, int]:
    """Back again; nothing for what is no notice."""
    try:
        found = json.loads(data) if isinstance(data, bytes) else {}
        return {str(tag): int(generation) for tag, generation in list(found.items())[:MOST_TAGS]}
    except (ValueError, TypeError, AttributeError):
        return {}
