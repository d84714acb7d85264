"""`PYNOMALY_SERVICE_…` variables -> how the HTTP API is run; all its defaults live here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError

from pynomaly_pipelines.operations.errors import SettingsError

Seconds = Annotated[float, Field(gt=0)]
Network = str
RATE = r"^[1-9][0-9]{0,8}/[1-9][0-9]{0,5}$"


class ServiceSettings(BaseSettings):
    """Each field is one variable: `port` is PYNOMALY_SERVICE_PORT. Lists are written as JSON."""

    model_config = SettingsConfigDict(env_prefix="PYNOMALY_SERVICE_", frozen=True, extra="forbid")

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    workers: Annotated[int, Field(ge=1, le=64, description="Processes that answer requests.")] = 1
    tls_certificate: Annotated[
        str, Field(description="PEM file of the certificate chain; empty: no TLS, a proxy in front does it.")
    ] = ""
    tls_key: Annotated[str, Field(description="PEM file of the certificate's private key.")] = ""

    database_url: Annotated[
        SecretStr,
        Field(
            description="SQLAlchemy URL of the accounts' database, or `secret:<name>`; empty: the secret "
            "`database-url` if there is one, else an SQLite file in the home."
        ),
    ] = SecretStr("")
    database_pool: Annotated[int, Field(ge=1, le=100, description="Open connections to it of a worker.")] = 5
    database_connect_seconds: Annotated[Seconds, Field(description="Until a connection to it stands.")] = 5.0
    database_statement_seconds: Annotated[
        Seconds, Field(description="How long one statement may take, or wait for a lock.")
    ] = 10.0
    migrate: Annotated[
        bool, Field(description="Whether its schema is brought up to date at the start, or an old one is refused.")
    ] = True
    # Tokens and the keys that sign them.
    token_issuer: Annotated[str, Field(min_length=1, description="`iss` of the tokens.")] = "pynomaly"
    token_audience: Annotated[str, Field(min_length=1, description="`aud` of the tokens.")] = "pynomaly-api"
    token_leeway_seconds: Annotated[
        int, Field(ge=0, le=300, description="How far clocks may differ when times in tokens are judged.")
    ] = 5
    access_token_seconds: Annotated[int, Field(ge=30, le=86_400, description="How long an access token holds.")] = 900
    refresh_token_seconds: Annotated[
        int, Field(ge=60, description="How long one login can be renewed, from the login on.")
    ] = 1_209_600
    session_seconds: Annotated[int, Field(ge=60, description="How long a browser stays logged in.")] = 43_200
    cookie_secure: Annotated[
        bool, Field(description="Whether the browser's cookie goes over TLS only; off only for tests without TLS.")
    ] = True
    token_cache: Annotated[
        int, Field(ge=0, description="Verified credentials kept by a worker, each until a permission changes.")
    ] = 10_000
    signing_algorithm: Annotated[
        Literal["RS256", "ES256", "Ed25519"],
        Field(description="What new signing keys sign with. RS256 is the cheapest to verify."),
    ] = "RS256"
    key_rotation_days: Annotated[float, Field(gt=0, description="How long a signing key signs.")] = 30.0
    key_encryption_key: Annotated[
        SecretStr,
        Field(
            description="32 bytes in base64 under which private signing keys lie in the database, or `secret:<name>`; "
            "empty: a file in the home. Processes on several machines need the same."
        ),
    ] = SecretStr("")
    api_key_days: Annotated[int, Field(ge=1, description="Longest life of an API key.")] = 365

    # Passwords (NIST SP 800-63B-4) and what guessing them costs.
    password_length: Annotated[int, Field(ge=8, le=64, description="Fewest characters of a password.")] = 15
    password_strength: Annotated[
        int, Field(ge=0, le=4, description="Least strength as zxcvbn estimates it: 3 is about 10^8 guesses.")
    ] = 3
    argon2_memory_kib: Annotated[int, Field(ge=1024, description="Memory of one argon2id hash.")] = 19_456
    argon2_passes: Annotated[int, Field(ge=1, description="Passes of argon2id over it.")] = 2
    argon2_lanes: Annotated[int, Field(ge=1, description="Lanes of argon2id.")] = 1
    password_workers: Annotated[int, Field(ge=1, description="Passwords a worker hashes at the same time.")] = 2
    password_queue: Annotated[int, Field(ge=1, description="Logins that may wait for that; more are refused.")] = 200
    lockout_failures: Annotated[
        int, Field(ge=1, description="Wrong passwords in a row, for one account from one address, before a wait.")
    ] = 5
    lockout_seconds: Annotated[int, Field(ge=1, description="The first wait; it doubles with each failure.")] = 30
    lockout_longest_seconds: Annotated[int, Field(ge=1, description="The longest wait.")] = 3600
    lockout_forgotten_seconds: Annotated[int, Field(ge=1, description="When failures no longer count.")] = 86_400
    lockout_account_failures: Annotated[
        int,
        Field(ge=1, description="Failures for one account from all addresses, after which each address has one try."),
    ] = 100

    dagster_url: Annotated[str, Field(description="Address of the Dagster webserver, to launch runs.")] = (
        "http://127.0.0.1:3000"
    )

    # Who may reach it, and through what.
    trusted_hosts: Annotated[
        tuple[str, ...],
        Field(description="Names a request may give as its host, without port; `*.example.org` takes subdomains."),
    ] = ("localhost", "127.0.0.1", "[::1]")
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Field(description="Networks (CIDR) whose X-Forwarded-For and X-Forwarded-Proto are believed."),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...], Field(description="Origins whose pages may call the API from a browser; none by default.")
    ] = ()
    docs: Annotated[bool, Field(description="Whether /docs, /openapi.json and /problems are shown to everybody.")] = (
        True
    )
    metrics_access: Annotated[
        Literal["permission", "open", "off"],
        Field(description="/metrics asks for the permission `metrics:read`, answers everybody, or is not there."),
    ] = "permission"

    # Bounds of one request.
    header_limit: Annotated[int, Field(ge=8, description="Headers of a request.")] = 100
    header_limit_bytes: Annotated[int, Field(ge=1024, description="All headers of a request together.")] = 32_768
    body_limit_bytes: Annotated[int, Field(ge=1024, description="Body of a request.")] = 10_485_760
    header_timeout_seconds: Annotated[Seconds, Field(description="Until the head of a request has arrived.")] = 10.0
    body_timeout_seconds: Annotated[Seconds, Field(description="Until the body of a request has arrived.")] = 20.0
    request_timeout_seconds: Annotated[
        Seconds, Field(description="Until the answer to a request begins; streams may take longer to end.")
    ] = 60.0
    write_timeout_seconds: Annotated[
        Seconds, Field(description="How long a client may read nothing of its answer.")
    ] = 30.0
    keep_alive_seconds: Annotated[Seconds, Field(description="How long an idle connection is kept open.")] = 15.0
    connection_limit: Annotated[
        int, Field(ge=16, description="Open connections of a worker; beyond it those that wait longest are closed.")
    ] = 4096

    worker_silence_seconds: Annotated[
        Seconds, Field(description="After how long a worker whose loop does not turn is killed and replaced.")
    ] = 60.0
    # Scoring.
    score_rows: Annotated[int, Field(ge=1, description="Rows of a request for scores.")] = 10_000
    score_threads: Annotated[int, Field(ge=1, le=256, description="Large requests for scores at work at once.")] = 2
    score_queue: Annotated[int, Field(ge=0, description="Large requests that may wait for one of these threads.")] = 32
    score_inline_seconds: Annotated[
        float, Field(ge=0, description="Work up to this length is done at once instead of in a thread.")
    ] = 0.001
    plot_threads: Annotated[int, Field(ge=1, le=64, description="Pictures of incidents drawn at once.")] = 1
    plot_queue: Annotated[int, Field(ge=0, description="Pictures that may wait to be drawn; beyond it 429.")] = 16
    model_memory_mb: Annotated[int, Field(ge=1, description="MiB that all loaded models take together.")] = 512
    champion_poll_seconds: Annotated[
        Seconds, Field(description="How often the registry is asked whether a champion moved.")
    ] = 5.0
    warm_seconds: Annotated[
        Seconds,
        Field(description="The start waits so long for champions to be loaded; then it listens, not ready until then."),
    ] = 10.0

    kept_seconds: Annotated[
        float,
        Field(
            ge=0,
            description="How long the cache keeps what reading routes work out, while tables and models are the same; "
            "0: it keeps nothing.",
        ),
    ] = 600.0

    # How it ends.
    pre_stop_seconds: Annotated[
        float, Field(ge=0, description="How long it serves on after SIGTERM, not ready, until balancers have noticed.")
    ] = 0.0
    drain_seconds: Annotated[
        Seconds, Field(description="How long requests at work may take to end; what is left is cut off.")
    ] = 25.0
    stop_seconds: Annotated[Seconds, Field(description="How long closing pools and flushing may take after that.")] = (
        5.0
    )

    # What it says of itself.
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least important events that are logged.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "text"], Field(description="One JSON object a line, or lines to be read in a terminal.")
    ] = "json"
    trace_ratio: Annotated[float, Field(ge=0, le=1, description="Share of requests that are traced.")] = 0.01
    otlp_url: Annotated[
        str, Field(description="Address traces are sent to by OTLP over HTTP (`…/v1/traces`); empty: nowhere.")
    ] = ""

    # How often a client and an account may ask.
    rate_login: Annotated[
        str, Field(pattern=RATE, description="Logins a client address may try, as `requests/seconds`.")
    ] = "20/60"
    rate_score: Annotated[
        str, Field(pattern=RATE, description="Scoring requests of a client address, and of an account.")
    ] = "60000/60"
    rate_read: Annotated[str, Field(pattern=RATE, description="Other reading requests, likewise.")] = "1200/60"
    rate_write: Annotated[str, Field(pattern=RATE, description="Other changing requests, likewise.")] = "240/60"
    rate_pages: Annotated[
        str, Field(pattern=RATE, description="Requests for Dagster's and MLflow's pages that nginx asks about.")
    ] = "12000/60"
    rate_most_clients: Annotated[
        int,
        Field(ge=100, description="Clients and accounts whose rates are kept; the one seen longest ago goes first."),
    ] = 50_000
    rate_login_without_redis: Annotated[
        Literal["refuse", "count here"],
        Field(description="What becomes of logins while that Redis does not answer."),
    ] = "refuse"

    # Runs.
    dagster_location: Annotated[str, Field(description="Dagster's code location that has the pipelines.")] = (
        "pynomaly_pipelines"
    )
    runs_per_request: Annotated[int, Field(ge=1, le=10_000, description="Most runs that one request may launch.")] = 100
    partitions_per_request: Annotated[
        int, Field(ge=1, le=1_000_000, description="Most partitions that one launch may name.")
    ] = 10_000
    queued_runs_per_account: Annotated[
        int, Field(ge=1, le=1_000_000, description="Most runs of one account that may wait in the queue.")
    ] = 500
    priority_for_all: Annotated[
        int, Field(ge=-100, le=100, description="Highest priority of a run without the permission runs:prioritize.")
    ] = 0
    idempotency_hours: Annotated[
        float, Field(gt=0, le=24 * 365, description="How long the answer to an Idempotency-Key is kept.")
    ] = 24.0
    idempotency_wait_seconds: Annotated[
        float, Field(ge=0, le=60, description="How long a repeated request waits for the answer to the first.")
    ] = 10.0
    streams: Annotated[int, Field(ge=1, le=100_000, description="Most open event streams of this process.")] = 500
    streams_per_account: Annotated[
        int, Field(ge=1, le=10_000, description="Most open event streams of one account.")
    ] = 10
    stream_poll_seconds: Annotated[
        float, Field(gt=0, le=60, description="How often Dagster is asked for news of a run that somebody follows.")
    ] = 1.0
    stream_heartbeat_seconds: Annotated[
        float, Field(gt=0, le=300, description="An event stream says so often that it is still there.")
    ] = 15.0

    # Access and audit.
    access_request_days: Annotated[
        int, Field(ge=1, le=90, description="How long an access request stays open undecided.")
    ] = 14
    audit_anchor_seconds: Annotated[
        Seconds, Field(description="How often the end of the audit log is signed; what is newer can be cut off unseen.")
    ] = 60.0
    audit_anchor_file: Annotated[
        str, Field(description="File the signatures are added to as well; empty: `audit-anchors.jsonl` in the home.")
    ] = ""


def read_settings(**given: Any) -> ServiceSettings:
    """The environment's settings, and those given.

    Raises:
        SettingsError: one breaks a rule; the value is not repeated, as it may be a secret.
    """
    try:
        return ServiceSettings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(str(part) for part in first["loc"][:1])
        raise SettingsError(
            f"PYNOMALY_SERVICE_{name.upper()}: {first['msg']}",
            rule="see docs/reference/settings.md",
            fix="correct the variable",
        ) from None
    except PydanticSettingsError as error:
        raise SettingsError(str(error), rule="lists are written as JSON", fix="correct the variable") from None
