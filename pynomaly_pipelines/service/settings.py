"""`PYNOMALY_SERVICE_…` variables -> how the HTTP API is run; all its defaults live here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Each field is one variable: `port` is PYNOMALY_SERVICE_PORT. Lists are written as JSON."""

    model_config = SettingsConfigDict(env_prefix="PYNOMALY_SERVICE_", frozen=True, extra="forbid")

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    database_url: Annotated[
        str, Field(description="SQLAlchemy URL of the accounts' database; empty: an SQLite file in the home.")
    ] = ""
    dagster_url: Annotated[str, Field(description="Address of the Dagster webserver, to launch runs.")] = (
        "http://127.0.0.1:3000"
    )
