"""`PYNOMALY_CACHE_…` variables and `PYNOMALY_REDIS_URL` -> how much is cached, where and for how long."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pynomaly_pipelines.operations.errors import SecretDenied, SecretMissing, SettingsError
from pynomaly_pipelines.operations.secrets import process_store, resolved
from pynomaly_pipelines.operations.settings import Settings, variables

log = logging.getLogger(__name__)
PREFIX = "PYNOMALY_CACHE_"
REDIS_URL = "PYNOMALY_REDIS_URL"
# Where the service keeps its accounts; every process of a deployment reaches it.
SERVICE_DATABASE = "PYNOMALY_SERVICE_DATABASE_URL"
FILE = "generations.db"


class CacheSettings(BaseModel):
    """Each field is one variable: `memory_bytes` is PYNOMALY_CACHE_MEMORY_BYTES."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: Annotated[
        str,
        Field(
            repr=False,
            description="Redis that processes share (PYNOMALY_REDIS_URL); empty: each process keeps its own.",
        ),
    ] = ""
    generations_url: Annotated[
        str,
        Field(
            repr=False,
            description="SQLAlchemy URL of the database that knows what was invalidated; all processes use the same. "
            "Default: the service's database, and without one an SQLite file in the home.",
        ),
    ]
    name: Annotated[
        str, Field(pattern=r"^[a-z0-9_-]{1,40}$", description="Begins each key; one for each deployment on a Redis.")
    ] = "pynomaly"
    memory_bytes: Annotated[int, Field(ge=0, description="Most bytes kept in a process; the least used go first.")] = (
        64 * 1024 * 1024
    )
    value_bytes: Annotated[int, Field(ge=1, description="A larger value is not cached.")] = 8 * 1024 * 1024
    poll_seconds: Annotated[
        float, Field(gt=0, le=60, description="How often a process looks for invalidations that no notice told it of.")
    ] = 1.0
    unknown_after_seconds: Annotated[
        float,
        Field(gt=0, le=3600, description="Without having been able to look for so long, nothing cached is believed."),
    ] = 10.0
    lock_seconds: Annotated[
        float, Field(gt=0, le=600, description="The longest that others wait for the one who computes a value.")
    ] = 10.0

    @classmethod
    def from_environment(cls, settings: Settings) -> CacheSettings:
        """Read the variables; nothing is created.

        Raises:
            SettingsError: a variable is unknown or outside its bounds.
            SecretError: the store of secrets can't be asked for the Redis.
        """
        shared = resolved(variables(SERVICE_DATABASE).get(SERVICE_DATABASE, ""))
        given: dict[str, Any] = {"generations_url": shared or f"sqlite:///{settings.home / FILE}"}
        given["redis_url"] = _redis_url()
        given |= {name.removeprefix(PREFIX).lower(): value for name, value in variables(PREFIX).items()}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingsError(
                f"the environment variable {PREFIX}{str(first['loc'][0]).upper()} is {first['input']!r}",
                rule=str(first["msg"]),
                fix="correct it, or remove it to have the default",
            ) from error


def _redis_url() -> str:
    """The variable, or else what the store holds under `redis-url`; empty where there is neither."""
    given = variables(REDIS_URL).get(REDIS_URL, "")
    if given:
        return resolved(given)
    try:
        return process_store().get("redis-url").reveal()
    except SecretMissing:
        return ""
    except SecretDenied as error:
        # A store that shows a process only what it was granted: no Redis was meant for this one.
        log.info("no Redis for the cache: %s", error)
        return ""
