"""A provider of secrets -> values kept at hand: read at once, looked at again in the background, changes told.

Only the first use of a secret waits for the provider. After that a watcher keeps each secret fresh and renews leases.
So a rotation is seen while running, and a provider that hangs holds nobody up: the last known version stays in use
until it ends or is too old.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pynomaly_pipelines.operations.errors import SecretError, SecretMissing, SecretsUnreachable
from pynomaly_pipelines.operations.secrets.provider import Fetched, Provider
from pynomaly_pipelines.operations.secrets.secret import Secret, SecretName
from pynomaly_pipelines.operations.secrets.setting import Freshness

OnChange = Callable[[Secret], None]

_LEASES_AT = 2 / 3
"""Part of a lease's time after which it is renewed at the latest."""
_REFUSAL_COUNTS_SECONDS = 1.0
"""So long a failure answers for the provider, instead of one more wait."""
_SOONEST_SECONDS = 0.05
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SecretStatus:
    """What may be shown of a secret."""

    name: str
    place: str
    version: str = ""
    expires: datetime | None = None
    error: str = ""
    """Why it could not be had when it was asked for last."""
    missing: bool = False
    """Whether the store answered that there is none."""


@dataclass(eq=False)
class _Entry:
    name: SecretName
    held: Fetched | None = None
    ends: float = float("inf")
    fetched: float = 0.0
    tried: float = 0.0
    due: float = float("inf")
    replaced: float = float("-inf")
    failures: int = 0
    error: SecretError | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    listeners: list[OnChange] = field(default_factory=list)


class SecretStore:
    """Secrets by name, for all threads of a process. Close it at the end: leases are given back."""

    def __init__(self, provider: Provider, freshness: Freshness) -> None:
        self._provider = provider
        self._freshness = freshness
        self._entries: dict[SecretName, _Entry] = {}
        self._changed: deque[tuple[_Entry, Secret]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._watcher: threading.Thread | None = None
        self._upkeep_refused = 0.0

    @property
    def origin(self) -> str:
        """Where secrets come from, fit to be shown."""
        return self._provider.origin

    def get(self, name: str) -> Secret:
        """The current version of a secret of the product, such as `database-url`.

        Raises:
            SecretMissing: there is none.
            SecretDenied: the store refuses to show it.
            SecretsUnreachable: no answer in time, and nothing recent enough is known.
        """
        return self.current(SecretName.of(name))

    def current(self, name: SecretName) -> Secret:
        """The same for a name that also says its environment variable."""
        if not self._freshness.refresh_seconds:
            return self._provider.fetch(name).secret
        entry = self._entry(name)
        self._watch()
        held = entry.held
        if held is not None and self._usable(entry):
            return held.secret
        return self._now(entry)

    def renewed(self, name: SecretName, suspect: Secret) -> Secret:
        """The version that follows one that did not work; the same one if nothing newer is known.

        Raises:
            SecretError: as for `get`.
        """
        if not self._freshness.refresh_seconds:
            return self._provider.fetch(name).secret
        entry = self._entry(name)
        with self._single(entry):
            if entry.held is None or entry.held.secret.same_value(suspect):
                self._ask(entry)
            assert entry.held is not None
            if entry.held.secret.same_value(suspect) and entry.held.lease is not None:
                self._instead(entry)
            return entry.held.secret

    def others(self, name: SecretName, held: Secret) -> Sequence[Secret]:
        """Versions that may be in force just before or after this one, while a rotation is under way.

        Raises:
            SecretError: as for `get`.
        """
        return self._provider.others(name, held)

    def on_change(self, name: str | SecretName, callback: OnChange) -> Callable[[], None]:
        """Call back with each new version of a secret, from the watcher's thread; returns what ends that."""
        entry = self._entry(name if isinstance(name, SecretName) else SecretName.of(name))
        entry.listeners.append(callback)
        self._watch()
        return lambda: entry.listeners.remove(callback) if callback in entry.listeners else None

    def status(self, name: SecretName) -> SecretStatus:
        """What is known of a secret: version, end and the last failure, never the value. Asks for it if need be."""
        place = self._provider.place(name)
        try:
            found = self.current(name)
        except SecretError as error:
            return SecretStatus(name.name, place, error=str(error), missing=isinstance(error, SecretMissing))
        last = self._entry(name).error
        return SecretStatus(name.name, place, found.version, found.expires, "" if last is None else str(last))

    def problems(self) -> dict[str, SecretError]:
        """Secrets in use that could not be looked at again, and why; for health checks."""
        return {entry.name.name: entry.error for entry in list(self._entries.values()) if entry.error is not None}

    def close(self) -> None:
        """End the watcher and give back leases and logins."""
        self._closed = True
        self._wake.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(2 * self._freshness.timeout_seconds)
        try:
            self._provider.close()
        except SecretError as error:
            _logger.warning("secrets: leases end by themselves: %s", error)

    def __enter__(self) -> SecretStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ in front

    def _entry(self, name: SecretName) -> _Entry:
        found = self._entries.get(name)
        if found is None:
            with self._lock:
                found = self._entries.setdefault(name, _Entry(name))
        return found

    def _usable(self, entry: _Entry) -> bool:
        now = time.monotonic()
        age = now - entry.fetched
        return now < entry.ends and age <= self._freshness.refresh_seconds + self._freshness.stale_seconds

    def _now(self, entry: _Entry) -> Secret:
        """Ask while the caller waits; of many callers one asks."""
        with self._single(entry):
            if entry.held is None or not self._usable(entry):
                self._ask(entry)
            assert entry.held is not None
            return entry.held.secret

    def _single(self, entry: _Entry) -> _Single:
        return _Single(entry, 3 * self._freshness.timeout_seconds)

    def _ask(self, entry: _Entry) -> None:
        """One question to the provider; the entry's lock is held."""
        if entry.error is not None and time.monotonic() - entry.tried < _REFUSAL_COUNTS_SECONDS:
            raise copy.copy(entry.error)
        self._refresh(entry)

    def _instead(self, entry: _Entry) -> None:
        """Other credentials for some that are refused though their lease is alive; seldom, as each is a new user."""
        now = time.monotonic()
        if now - entry.replaced >= self._freshness.refresh_seconds:
            entry.replaced = now
            self._refresh(entry, anew=True)

    # ------------------------------------------------------------------------------------------- in background

    def _watch(self) -> None:
        if self._closed or not self._freshness.refresh_seconds:
            return
        if self._watcher is not None and self._watcher.is_alive():
            return
        with self._lock:
            # A fork has no threads of its parent's.
            if self._watcher is None or not self._watcher.is_alive():
                self._watcher = threading.Thread(target=self._run, name="secrets", daemon=True)
                self._watcher.start()

    def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            self._wake.wait(max(_SOONEST_SECONDS, self._tick()))

    def _tick(self) -> float:
        """Refresh what is due and tell of changes; returns the seconds until something is due."""
        upkeep_due = self._keep_up()
        for entry in list(self._entries.values()):
            if self._due(entry):
                with entry.lock:
                    self._quietly(entry)
        self._tell()
        return min([upkeep_due, *(entry.due for entry in list(self._entries.values()))]) - time.monotonic()

    def _keep_up(self) -> float:
        """Let the provider keep its login alive; returns when to come again."""
        now, longest = time.monotonic(), self._freshness.refresh_seconds
        if now < self._upkeep_refused:
            return self._upkeep_refused
        try:
            seconds = self._provider.upkeep()
        except SecretError as error:
            _logger.warning("secrets: the login may end: %s", error)
            self._upkeep_refused = now + longest
            return self._upkeep_refused
        return now + (longest if seconds is None else min(seconds, longest))

    def _due(self, entry: _Entry) -> bool:
        if entry.held is None or self._closed:
            return False
        return time.monotonic() >= entry.due or (self._provider.ends_early(entry.held) and entry.failures == 0)

    def _quietly(self, entry: _Entry) -> None:
        """Refresh it; a failure is kept and logged once, and the version held stays."""
        try:
            self._refresh(entry)
        except SecretError as error:
            if entry.failures == 1:
                _logger.warning("secrets: %s stays at its last known version: %s", entry.name.name, error)

    def _refresh(self, entry: _Entry, *, anew: bool = False) -> None:
        before = entry.held
        try:
            if before is None or anew:
                found = self._provider.fetch(entry.name)
            else:
                found = self._provider.renew(entry.name, before)
        except SecretError as error:
            entry.error, entry.tried = error, time.monotonic()
            entry.failures += 1
            entry.due = entry.tried + min(self._freshness.refresh_seconds, 0.25 * 2 ** min(entry.failures, 10))
            raise
        self._hold(entry, found)
        if before is not None and not before.secret.same_value(found.secret):
            self._changed.append((entry, found.secret))
        if threading.current_thread() is not self._watcher:
            self._wake.set()

    def _hold(self, entry: _Entry, found: Fetched) -> None:
        now, refresh = time.monotonic(), self._freshness.refresh_seconds
        expires = found.secret.expires
        left = float("inf") if expires is None else (expires - datetime.now(UTC)).total_seconds()
        entry.ends, entry.fetched, entry.tried = now + left, now, now
        entry.due = now + min(refresh, left * _LEASES_AT)
        entry.error, entry.failures = None, 0
        entry.held = found

    def _tell(self) -> None:
        while self._changed:
            entry, secret = self._changed.popleft()
            _logger.info("secrets: %s is now at version %s", secret.name, secret.version)
            for callback in list(entry.listeners):
                try:
                    callback(secret)
                except Exception:
                    # The others must hear of it, and the watcher go on.
                    _logger.exception("secrets: a listener of %s failed", secret.name)


class _Single:
    """An entry's lock, waited for no longer than some seconds."""

    def __init__(self, entry: _Entry, seconds: float) -> None:
        self._entry = entry
        self._seconds = seconds

    def __enter__(self) -> None:
        if not self._entry.lock.acquire(timeout=self._seconds):
            raise SecretsUnreachable(
                f"{self._entry.name.name} has not been read in {self._seconds:g} s",
                rule="another thread is asking for it",
                fix="look whether the store of secrets answers",
            )

    def __exit__(self, *_: object) -> None:
        self._entry.lock.release()
