"""A secret shows its value to who reveals it, and in no other way."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.secrets import Secret, SecretName
from pynomaly_pipelines.operations.secrets.composition import composed, from_parts, with_user

HUSH = "hush-7f2"


def test_only_reveal_shows_it() -> None:
    secret = Secret("smtp-url", HUSH, "3")
    assert secret.reveal() == HUSH
    shown = f"{secret} {secret!r} {secret!s} {[secret]} {vars if not hasattr(secret, '__dict__') else vars(secret)}"
    assert HUSH not in shown
    assert "Secret('smtp-url', version='3')" in shown
    with pytest.raises(TypeError, match="does not leave its process"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(secret)
    with pytest.raises(TypeError):
        "x" + secret  # type: ignore[operator]


def test_names() -> None:
    assert SecretName.of("database-url").variable == "PYNOMALY_SECRET_DATABASE_URL"
    assert SecretName.of_variable("WAREHOUSE_URL") == SecretName("warehouse-url", "WAREHOUSE_URL")
    for wrong in ("Database-url", "database_url", "../etc", "", "a--b", "-a"):
        with pytest.raises(SettingsError, match="is no name of a secret"):
            SecretName.of(wrong)


def test_a_url_from_the_parts_aws_writes() -> None:
    place = {"engine": "postgres", "host": "db", "port": 5432, "dbname": "x"}
    parts = {**place, "username": "a b", "password": "p@s/s:%"}  # pragma: allowlist secret
    made = "postgresql+psycopg://a%20b:p%40s%2Fs%3A%25@db:5432/x"  # pragma: allowlist secret
    assert composed("database-url", json.dumps(parts)) == made
    assert composed("signing-keys", json.dumps(parts)) == json.dumps(parts)
    assert composed("database-url", "sqlite:///x") == "sqlite:///x"


def test_a_user_replaces_the_one_there_was() -> None:
    new = {"username": "v-1", "password": "w"}
    assert with_user("postgresql://old:pw@db:5432/x?sslmode=require", new) == (  # pragma: allowlist secret
        "postgresql://v-1:w@db:5432/x?sslmode=require"  # pragma: allowlist secret
    )
    assert with_user("postgresql://db/x", new) == "postgresql://v-1:w@db/x"  # pragma: allowlist secret
    assert from_parts("redis-url", {"url": "rediss://r:6379/0", **new}) == "rediss://v-1:w@r:6379/0"
