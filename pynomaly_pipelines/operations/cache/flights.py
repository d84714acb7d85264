"""Several callers who want the same value at the same time -> one of them computes it, the others get what it got."""

from __future__ import annotations

import threading
from concurrent.futures import Future


class Abandoned(Exception):
    """The one who computed was cancelled: somebody else has to."""


class Flights:
    """Computations under way in this process, of threads and tasks alike."""

    def __init__(self) -> None:
        self._flights: dict[str, Future[bytes]] = {}
        self._lock = threading.Lock()

    def board(self, name: str) -> tuple[Future[bytes], bool]:
        """The flight of that name, and whether the caller is its pilot: who computes, and then lands it."""
        with self._lock:
            found = self._flights.get(name)
            if found is not None:
                return found, False
            flight = self._flights[name] = Future()
            # Once running it can't be cancelled by a waiting task that goes away.
            flight.set_running_or_notify_cancel()
            return flight, True

    def land(self, name: str, value: bytes) -> None:
        """The value is there."""
        self._end(name).set_result(value)

    def crash(self, name: str, error: BaseException) -> None:
        """The computation failed: everybody waiting is told so. Cancelled is not failed."""
        ours = error if isinstance(error, Exception) else Abandoned()
        self._end(name).set_exception(ours)

    def _end(self, name: str) -> Future[bytes]:
        # Out of the list first: who comes now begins a new one.
        with self._lock:
            return self._flights.pop(name)
