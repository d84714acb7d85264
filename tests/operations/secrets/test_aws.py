"""AWS Secrets Manager, as moto imitates it: versions, rotation's stages, refusals, an endpoint that is not there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from pynomaly_pipelines.operations.errors import SecretMissing, SecretsUnreachable
from pynomaly_pipelines.operations.secrets import SecretName, SecretStore, secret_store
from tests.operations.secrets.waiting import until
from tests.servers import AwsEndpoint

pytestmark = pytest.mark.slow


@pytest.fixture
def client(aws: AwsEndpoint, monkeypatch: pytest.MonkeyPatch) -> Any:
    import boto3

    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return boto3.client("secretsmanager", region_name="eu-central-1")


@pytest.fixture
def prefix() -> str:
    return f"p{uuid.uuid4().hex[:8]}"


@pytest.fixture
def store(client: Any, prefix: str) -> Iterator[SecretStore]:
    with secret_store(f"aws:eu-central-1/{prefix}?refresh_seconds=0.1&timeout_seconds=10") as made:
        yield made


def test_a_rotation_is_seen_while_running(client: Any, store: SecretStore, prefix: str) -> None:
    client.create_secret(Name=f"{prefix}/api-key", SecretString="first-value")  # pragma: allowlist secret
    first = store.get("api-key")
    assert first.reveal() == "first-value"
    client.put_secret_value(SecretId=f"{prefix}/api-key", SecretString="second-value")  # pragma: allowlist secret
    until(lambda: store.get("api-key").reveal() == "second-value")
    assert store.get("api-key").version != first.version
    previous = store.others(SecretName.of("api-key"), store.get("api-key"))
    assert [(one.reveal(), one.version) for one in previous] == [("first-value", first.version)]


def test_the_version_pending_is_tried_as_well(client: Any, store: SecretStore, prefix: str) -> None:
    client.create_secret(Name=f"{prefix}/api-key", SecretString="current-value")  # pragma: allowlist secret
    client.put_secret_value(
        SecretId=f"{prefix}/api-key", VersionStages=["AWSPENDING"],
        SecretString="pending-value",  # pragma: allowlist secret
        ClientRequestToken=str(uuid.uuid4()),
    )  # fmt: skip
    held = store.get("api-key")
    assert held.reveal() == "current-value"
    assert [one.reveal() for one in store.others(SecretName.of("api-key"), held)] == ["pending-value"]


def test_credentials_as_aws_writes_them(client: Any, store: SecretStore, prefix: str) -> None:
    parts = {"engine": "postgres", "host": "db", "port": 5432, "dbname": "x", "username": "app"}
    client.create_secret(Name=f"{prefix}/database-url", SecretString=json.dumps({**parts, "password": "a/b"}))
    expected = "postgresql+psycopg://app:a%2Fb@db:5432/x"  # pragma: allowlist secret
    assert store.get("database-url").reveal() == expected


def test_missing_and_deleted(client: Any, store: SecretStore, prefix: str) -> None:
    with pytest.raises(SecretMissing, match=f"there is no secret {prefix}/api-key in eu-central-1"):
        store.get("api-key")
    client.create_secret(Name=f"{prefix}/smtp-url", SecretString="kept")  # pragma: allowlist secret
    client.delete_secret(SecretId=f"{prefix}/smtp-url")
    with pytest.raises(SecretMissing):
        store.get("smtp-url")


def test_an_endpoint_that_is_not_there(client: Any, prefix: str) -> None:
    with (
        secret_store(f"aws:eu-central-1/{prefix}?endpoint=http://127.0.0.1:9&timeout_seconds=0.5") as store,
        pytest.raises(SecretsUnreachable, match="EndpointConnectionError"),
    ):
        store.get("api-key")
