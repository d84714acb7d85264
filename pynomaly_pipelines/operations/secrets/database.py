"""A secret URL -> a SQLAlchemy engine whose connections are made with the credentials of the moment.

When they rotate, work under way finishes on the connections it has; each connection handed out afterwards has been
made with the new ones. A connection that is refused is tried again with what the store says then, and with the
versions beside it: secret managers and databases do not change at the same instant.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from pynomaly_pipelines.operations.errors import SecretError, SettingsError
from pynomaly_pipelines.operations.redaction import redact
from pynomaly_pipelines.operations.secrets.secret import Secret, SecretName
from pynomaly_pipelines.operations.secrets.store import SecretStore

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.pool import QueuePool

_INFO_KEY = "pynomaly_secret"
_DENIED = ("password authentication failed", "access denied", "login failed", "authentication failed",
           "invalid authorization", "permission denied", "is not permitted to log in", "does not exist")  # fmt: skip
_EXTRAS = {"psycopg": "postgres"}
_T = TypeVar("_T")
_logger = logging.getLogger(__name__)


def engine_for(store: SecretStore, name: str | SecretName, **options: Any) -> sa.Engine:
    """An engine for the database at the URL that is kept under this name; options as of `sqlalchemy.create_engine`.

    Raises:
        SecretError: the secret can't be had.
        SettingsError: it is no URL of a database whose driver is installed.
    """
    import sqlalchemy as sa

    wanted = name if isinstance(name, SecretName) else SecretName.of(name)
    url = url_of(wanted, store.current(wanted))
    with_driver = _told(wanted, lambda: sa.create_engine(_without_user(url), **options))
    follow(with_driver, store, wanted)
    return with_driver


def follow(engine: sa.Engine, store: SecretStore, name: SecretName) -> Callable[[], None]:
    """Make an engine take user, password, host and database from the secret; returns what ends listening.

    An engine of SQLAlchemy's asyncio is followed by its `sync_engine`.
    """
    from sqlalchemy import event, exc
    from sqlalchemy.pool import QueuePool

    connections = _Connections(store, name)

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, _cargs: list[Any], cparams: dict[str, Any]) -> Any:
        return connections.made(dialect, record, cparams)

    @event.listens_for(engine, "checkout")
    def checkout(_connection: Any, record: Any, _proxy: Any) -> None:
        if not connections.current(record):
            # The pool drops this connection and makes one, here and now.
            raise exc.DisconnectionError(f"the credentials of {name.name} have rotated")

    def changed(_secret: Secret) -> None:
        # Idle connections would hold the old user until they are next handed out. Those of asyncio belong to a loop.
        if isinstance(engine.pool, QueuePool) and not engine.dialect.is_async:
            threading.Thread(target=_renew_idle, args=(engine, engine.pool), daemon=True).start()

    return store.on_change(name, changed)


def _renew_idle(engine: sa.Engine, pool: QueuePool) -> None:
    """Hand out each idle connection once, so that it is made anew. The watcher does not wait for that."""
    import sqlalchemy as sa

    for _ in range(pool.checkedin()):
        try:
            pool.connect().close()
        except (sa.exc.SQLAlchemyError, engine.dialect.loaded_dbapi.Error, SecretError) as error:
            # Whoever needs a connection next meets the same, and is told.
            _logger.warning("secrets: no connection with the new credentials: %s", redact(str(error)))
            break
    if engine.pool is not pool:
        # It was disposed of meanwhile: what came back to it later is nobody's.
        pool.dispose()


class _Connections:
    """Makes connections, and knows which version of the secret each was made with."""

    def __init__(self, store: SecretStore, name: SecretName) -> None:
        self._store = store
        self._name = name

    def made(self, dialect: Any, record: Any, parameters: dict[str, Any]) -> Any:
        """A connection by the first version that the database takes."""
        first: Exception | None = None
        for secret, good_for in self._candidates():
            arguments, changed = dialect.create_connect_args(self._checked(secret, dialect))
            try:
                connection = dialect.connect(*arguments, **{**parameters, **changed})
            except dialect.loaded_dbapi.Error as error:
                first = first or error
                if not _denied(error):
                    raise
            else:
                record.info[_INFO_KEY] = good_for
                return connection
        assert first is not None
        raise first

    def current(self, record: Any) -> bool:
        """Whether a pooled connection was made with today's version."""
        try:
            made_with: Secret | None = record.info.get(_INFO_KEY)
            return made_with is not None and made_with.same_value(self._store.current(self._name))
        except SecretError as error:
            # It works; whether it is the latest can't be said now.
            _logger.warning("secrets: %s can't be looked at: %s", self._name.name, error)
            return True

    def _candidates(self) -> Iterator[tuple[Secret, Secret]]:
        """The version held, one asked for anew, and those beside it; each with the one it stands for."""
        held = self._store.current(self._name)
        yield held, held
        newer = self._store.renewed(self._name, held)
        if not newer.same_value(held):
            yield newer, newer
        for other in self._store.others(self._name, newer):
            if not other.same_value(held):
                # Until the store says something new, when it is time to try that.
                yield other, newer

    def _checked(self, secret: Secret, dialect: Any) -> sa.URL:
        url = url_of(self._name, secret)
        if url.get_backend_name() != dialect.name:
            raise SettingsError(
                f"{self._name.name} has become a URL of {url.get_backend_name()}",
                rule=f"this process was started with one of {dialect.name}",
                fix="restart it to change the kind of database",
            )
        return url


def url_of(name: SecretName, secret: Secret) -> sa.URL:
    """The secret as a SQLAlchemy URL.

    Raises:
        SettingsError: it is none. The message does not show it.
    """
    import sqlalchemy as sa

    text = secret.reveal()
    authority = text.partition("://")[2].partition("?")[0]
    if authority.count("@") > 1:
        raise SettingsError(
            f"what {_shown(name)} holds has more than one @",
            rule="in a URL, special characters of user and password are percent-encoded",
            fix="write @ as %40, : as %3A and / as %2F in the password",
        )
    return _told(name, lambda: sa.make_url(text))


def _without_user(url: sa.URL) -> sa.URL:
    """What an engine may show of itself: `do_connect` adds the rest."""
    return url._replace(username=None, password=None)


def _told(name: SecretName, make: Callable[[], _T]) -> _T:
    import sqlalchemy as sa

    try:
        return make()
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(str(error.name))
        package = f"'pynomaly-pipelines[{extra}]'" if extra else "the package SQLAlchemy's page on this database names"
        raise SettingsError(
            f"the URL in {_shown(name)} needs the driver {error.name!r}, which is not installed",
            rule="each database has a driver of its own",
            fix=f"pip install {package}",
        ) from error
    except (sa.exc.ArgumentError, ValueError):
        # Their messages may hold the URL, and that a password: not even as a cause.
        raise SettingsError(
            f"what {_shown(name)} holds is no SQLAlchemy URL of a known database",
            rule="it looks like postgresql+psycopg://reader@host:5432/database or sqlite:////data/shop.db",
            fix=f"correct {_shown(name)}",
        ) from None


def _shown(name: SecretName) -> str:
    """A variable that YAML names by that name; a secret of the product by its own."""
    return name.name if name == SecretName.of(name.name) else name.variable


def _denied(error: Exception) -> bool:
    text = str(error).lower()
    return any(sign in text for sign in _DENIED)
