"""A URL and its options -> a client of S3-compatible storage, Google Cloud Storage or Azure, and errors in our words.

The client is `obstore`, an extra; `deltalake` brings its own, which takes the same options under other names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from pynomaly_pipelines.operations.errors import (
    PynomalyError,
    SettingsError,
    SourceDenied,
    SourceMissing,
    SourceUnreachable,
)
from pynomaly_pipelines.operations.secrets import variable
from pynomaly_pipelines.spec.source import StorageOptions

_CONNECT_SECONDS = 10
_DELTA_PREFIX = {"s3": "aws_", "gs": "google_", "az": "azure_storage_"}
_DELTA_KEYS = {
    "s3": ("endpoint", "region", "skip_signature", "access_key_id", "secret_access_key", "session_token"),
    "gs": ("endpoint", "service_account"),
    "az": ("endpoint", "account_name", "account_key", "sas_key", "skip_signature"),
}
_DELTA_OTHERWISE = {("gs", "endpoint"): "google_base_url", ("az", "skip_signature"): "azure_skip_signature"}
_CREDENTIAL_NAMES = {"sas_token": "sas_key", "service_account_file": "service_account"}  # nosec B105


def split(url: str) -> tuple[str, str, str]:
    """`s3://bucket/in/a.csv` -> `s3`, `bucket`, `in/a.csv`."""
    scheme, _, rest = url.partition("://")
    bucket, _, path = rest.partition("/")
    return scheme, bucket, path


def client(url: str, options: StorageOptions) -> Any:
    """An obstore store of the URL's bucket.

    Raises:
        SettingsError: obstore is not installed, or a named environment variable is not set.
    """
    try:
        from obstore import store
    except ImportError as error:
        raise SettingsError(
            f"{url} is in object storage, and obstore is not installed",
            rule="reading object storage is an extra of the package",
            fix="pip install 'pynomaly-pipelines[remote]'",
        ) from error
    scheme, bucket, _ = split(url)
    kinds: dict[str, Any] = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
    settings = _settings(scheme, options)
    return kinds[scheme](
        bucket,
        **settings,
        client_options={
            "timeout": f"{options.timeout_seconds}s",
            "connect_timeout": f"{min(_CONNECT_SECONDS, options.timeout_seconds)}s",
            # The endpoint says whether it is http; it may also come from the environment.
            "allow_http": True,
        },
        retry_config={
            "max_retries": options.retries,
            "retry_timeout": timedelta(seconds=options.timeout_seconds * (options.retries + 1)),
        },
    )


def delta_options(url: str, options: StorageOptions) -> dict[str, str]:
    """The same options as `deltalake` names them; none for a path of this machine."""
    scheme, there, _ = url.partition("://")
    if not there:
        return {}
    settings = _settings(scheme, options)
    named = {_delta_name(scheme, key): _text(value) for key, value in settings.items() if key in _DELTA_KEYS[scheme]}
    return named | {
        "timeout": f"{options.timeout_seconds}s",
        "connect_timeout": f"{min(_CONNECT_SECONDS, options.timeout_seconds)}s",
        "max_retries": str(options.retries),
        "allow_http": "true",
    }


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _settings(scheme: str, options: StorageOptions) -> dict[str, Any]:
    """What was set, with secrets from the store of secrets; all else is the client's own default."""
    found: dict[str, Any] = {}
    if options.endpoint is not None and scheme != "gs":
        found["endpoint"] = options.endpoint
    if options.region is not None and scheme == "s3":
        found["region"] = options.region
    if options.account is not None and scheme == "az":
        found["account_name"] = options.account
    if options.anonymous:
        return found | {"skip_signature": True}
    for credential, name in options.credentials.items():
        value = variable(name, purpose=f"the {credential.replace('_', ' ')} of the source's storage")
        found[_CREDENTIAL_NAMES.get(credential, credential)] = value
    return found


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn the client's errors into the product's.

    Raises:
        SourceMissing: there is no such bucket or object.
        SourceDenied: the credentials are missing, wrong, or do not suffice.
        SourceUnreachable: all else: no answer, or none that helps.
    """
    import obstore.exceptions

    try:
        yield
    except obstore.exceptions.PreconditionError:
        raise
    except (obstore.exceptions.BaseError, OSError) as error:
        raise as_source_error(url, str(error)) from error


def as_source_error(url: str, message: str) -> PynomalyError:
    """What the storage's client says, in the product's words."""
    scheme, bucket, _ = split(url)
    plain = re.sub(r"\x1b\[[0-9;]*m|↳", "", message.split("Debug source:")[0])
    short = " ".join(plain.split())
    code = _between(message, "<Code>", "</Code>")
    if "NoSuchBucket" in message or "ContainerNotFound" in message or "bucket does not exist" in message:
        return SourceMissing(
            f"there is no bucket {bucket!r} at {scheme}://",
            rule=f"the pipeline reads {url}",
            fix="correct the bucket's name, or `storage: {endpoint: …}` if it is elsewhere",
        )
    if any(sign in message for sign in ("403 Forbidden", "401 Unauthorized", "169.254.169.254", "PermissionDenied")):
        why = f"the storage answers {code}" if code else "no credentials were found, or they are not accepted"
        return SourceDenied(
            f"access to {scheme}://{bucket} is denied: {why}",
            rule="credentials come from the variables that `storage: {credentials: …}` names, else from the provider's "
            "own variables (such as AWS_ACCESS_KEY_ID) or the machine's role",
            fix="set them for every process that runs pipelines, or `anonymous: true` for a public bucket",
        )
    if "404 Not Found" in message or "not found" in message:
        return SourceMissing(
            f"{url} is not there (any more)", rule="the pipeline reads it", fix="deliver it again, or correct the path"
        )
    return SourceUnreachable(
        f"{url} can't be read now: {short[:300]}",
        rule="the storage gave no answer that helps, however often it was asked",
        fix="look whether it is up and reachable from here; the run is tried again",
    )


def _between(text: str, before: str, after: str) -> str:
    _, there, rest = text.partition(before)
    return rest.partition(after)[0] if there else ""


def _delta_name(scheme: str, key: str) -> str:
    """What Delta Lake's own storage calls an option."""
    return _DELTA_OTHERWISE.get((scheme, key), _DELTA_PREFIX[scheme] + key)
