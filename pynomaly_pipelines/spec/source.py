"""What a user may write under `source:`: files here or in object storage, a database, a Delta table; with all defaults.

Secrets are never written here, only the names of the environment variables that hold them.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, WithJsonSchema, model_validator

from pynomaly_pipelines.spec.strict import Strict

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable."""
Credential = Literal[
    "access_key_id", "secret_access_key", "session_token", "account_key", "sas_token", "service_account_file"
]
SCHEMES = ("s3", "gs", "az")
"""Kinds of object storage, as URLs begin: S3-compatible, Google Cloud Storage, Azure Blob Storage."""


def _known_scheme(path: str) -> str:
    scheme, there, rest = path.partition("://")
    if not there:
        return path
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ValueError(f"{scheme}:// is no storage this product knows; it knows {known} and paths of this machine")
    if not re.match(r"[^/@]+(/|$)", rest):
        raise ValueError(f"{scheme}://… begins with the name of a bucket, without credentials")
    return path


Location = Annotated[str, Field(min_length=1), AfterValidator(_known_scheme)]


class StorageOptions(Strict):
    """How object storage is reached, for paths such as `s3://bucket/orders/%Y-%m-%d.csv`."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://[^/@]+")
    """Address of an S3-compatible server, or of an emulator; by default the provider's own."""
    region: str | None = None
    """Region of the bucket (S3)."""
    account: str | None = None
    """Name of the storage account (Azure)."""
    anonymous: bool = False
    """Send no credentials, for public buckets."""
    credentials: dict[Credential, Variable] = Field(default_factory=dict)
    """Credential -> environment variable that holds it; by default the provider's own variables and machine roles."""
    timeout_seconds: PositiveInt = 30
    """Longest wait for an answer."""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """How often a call is tried again, with growing waits, when the server is busy or can't be reached."""


ISO = "iso"
EPOCHS = {"epoch_s": 1, "epoch_ms": 1_000}
"""Numbers that count from 1970 in UTC: how many of them are a second."""


def _known_time_format(form: str) -> str:
    if form == ISO or form in EPOCHS:
        return form
    moment = datetime(2024, 12, 31, 13, 45, 59)  # noqa: DTZ001 (only its digits matter)
    try:
        same_day = datetime.strptime(moment.strftime(form), form).date() == moment.date()  # noqa: DTZ007
    except ValueError:
        same_day = False
    if not same_day:
        known = ", ".join([ISO, *EPOCHS])
        raise ValueError(
            f"{form!r} does not name a day; write it with year, month and day such as '%d.%m.%Y %H:%M', or {known}"
        )
    return form


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
TimeFormats = Annotated[
    tuple[Annotated[str, AfterValidator(_known_time_format)], ...],
    BeforeValidator(_as_list),
    WithJsonSchema(_ONE_OR_MORE),
]


class AnySource(Strict):
    """What all kinds of source have in common."""

    memory_mb: Annotated[int, Field(ge=32)] = 256
    """About how much memory (MiB) reading may take, however much there is to read."""


class FileSource(AnySource):
    """Files at a path, glob or URL. `strftime` codes in the path name the partition a file belongs to."""

    path: Location
    """Path or glob, relative to the project folder, or a URL (`s3://`, `gs://`, `az://`). With codes such as `%Y-%m-%d`
    each partition has its own files. Files that end in `.gz` or `.zst` are unpacked."""
    storage: StorageOptions = StorageOptions()
    """How object storage is reached."""
    time_format: TimeFormats = ()
    """How times and dates are written, if not in ISO 8601: `"%d.%m.%Y %H:%M"`, `epoch_s`, `epoch_ms`, or a list of
    forms (`iso` among them), of which the first that fits is taken."""

    @property
    def dated(self) -> bool:
        """Whether the path names the partition, so that a partition's files are known without opening any."""
        return re.search(r"%[A-Za-z]", self.path) is not None

    @property
    def place(self) -> str:
        """Where the rows come from, as messages say it."""
        return self.path


class CsvSource(FileSource):
    """Comma-separated text with one header line."""

    type: Literal["csv"]
    """Says what kind of file it is."""
    delimiter: str = Field(",", min_length=1, max_length=1)
    """One character between cells."""
    encoding: str = "utf-8"
    """Any encoding Python knows."""
    null_values: tuple[str, ...] = ("", "NA", "NaN", "nan", "null", "NULL", "None", "N/A")
    """Texts that mean "no value"."""
    decimal: Literal[".", ","] = "."
    """Mark before the fraction of a number."""
    thousands: Literal[".", ",", " ", "'"] | None = None
    """Mark between groups of three digits, if there is one."""

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError(f"`thousands` and `decimal` are both {self.decimal!r}; a number has one mark for each")
        return self


class ParquetSource(FileSource):
    """Apache Parquet files."""

    type: Literal["parquet"]
    """Says what kind of file it is."""


class JsonLinesSource(FileSource):
    """One JSON object a line."""

    type: Literal["jsonl"]
    """Says what kind of file it is."""


class SqlSource(AnySource):
    """A table or query of a database that SQLAlchemy can reach."""

    type: Literal["sql"]
    """Says that rows come from a database."""
    url_env: Variable
    """Environment variable with the SQLAlchemy URL, such as `postgresql+psycopg://reader@host/database`."""
    table: str | None = Field(default=None, min_length=1)
    """Table or view with the rows."""
    query: str | None = Field(default=None, min_length=1)
    """A SELECT to take the rows from instead; it is used as a subquery, without a semicolon."""
    schema_name: str | None = Field(default=None, alias="schema", min_length=1)
    """Schema of the table; by default the connection's own."""
    where: str | None = Field(default=None, min_length=1)
    """SQL condition that rows must meet, such as `status <> 'test'`."""
    watermark: str | None = Field(default=None, min_length=1)
    """Column that grows with every change of a row (`updated_at`, a change number); by default the time column."""
    overlap_seconds: Annotated[int, Field(ge=0)] = 300
    """How far back before the last watermark each look begins (watermarks of time), for late commits."""
    timeout_seconds: PositiveInt = 30
    """Longest wait for a connection."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give `table` or `query`, one of the two")
        if self.query is not None and self.schema_name is not None:
            raise ValueError("`schema` belongs to `table`; write it into the query")
        return self

    @property
    def dated(self) -> bool:
        """Rows say their partitions by their times."""
        return False

    @property
    def place(self) -> str:
        """Where the rows come from, as messages say it."""
        name = f"{self.schema_name}.{self.table}" if self.schema_name else self.table
        return f"{name or 'the query'} of {self.url_env}"


class DeltaSource(AnySource):
    """A Delta table, on this machine or in object storage."""

    type: Literal["delta"]
    """Says that rows come from a Delta table."""
    path: Location
    """Folder of the table, relative to the project folder, or a URL (`s3://`, `gs://`, `az://`)."""
    storage: StorageOptions = StorageOptions()
    """How object storage is reached."""

    @property
    def dated(self) -> bool:
        """Rows say their partitions by their times."""
        return False

    @property
    def place(self) -> str:
        """Where the rows come from, as messages say it."""
        return self.path


Source = Annotated[CsvSource | ParquetSource | JsonLinesSource | SqlSource | DeltaSource, Field(discriminator="type")]
