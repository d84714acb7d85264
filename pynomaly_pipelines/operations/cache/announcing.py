"""A stage has promoted a model or scored a partition -> whoever caches what depends on it is told."""

from __future__ import annotations

from pathlib import Path

from pynomaly_pipelines.operations.cache.cache import Cache
from pynomaly_pipelines.operations.cache.settings import CacheSettings
from pynomaly_pipelines.operations.settings import Settings

_SQLITE = "sqlite:///"
_own: list[Cache] = []


def own_cache(cache: Cache | None) -> None:
    """Name the cache that this process reads, so that it learns of its own announcements at once; None: it has none."""
    _own[:] = [] if cache is None else [cache]


def announce(*tags: str) -> None:
    """Invalidate tags for every process of the deployment; nothing is done where no service has ever cached anything.

    Raises:
        DependencyUnavailable, sqlalchemy.exc.OperationalError: the database of generations can't be written. The step
            fails then, and its repetition invalidates: readers must not be left with what is no longer true.
    """
    settings = CacheSettings.from_environment(Settings.from_environment())
    for own in _own:
        if own.settings.generations_url == settings.generations_url:
            own.invalidate(*tags)
            return
    file = settings.generations_url.removeprefix(_SQLITE)
    if file != settings.generations_url and not Path(file).exists():
        # The service makes it at its start, before it caches.
        return
    cache = Cache(settings)
    try:
        cache.invalidate(*tags)
    finally:
        cache.close()
