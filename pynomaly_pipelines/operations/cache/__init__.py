"""Values kept in Redis and in the process: by key, for a time, until a tag is invalidated."""

from pynomaly_pipelines.operations.cache import tags
from pynomaly_pipelines.operations.cache.announcing import announce, own_cache
from pynomaly_pipelines.operations.cache.cache import Cache
from pynomaly_pipelines.operations.cache.figures import CacheFigures
from pynomaly_pipelines.operations.cache.generations import Generations, SqlGenerations
from pynomaly_pipelines.operations.cache.redis_values import connect, connect_async
from pynomaly_pipelines.operations.cache.settings import CacheSettings

__all__ = [
    "Cache",
    "CacheFigures",
    "CacheSettings",
    "Generations",
    "SqlGenerations",
    "announce",
    "connect",
    "connect_async",
    "own_cache",
    "tags",
]
