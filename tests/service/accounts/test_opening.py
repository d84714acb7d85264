"""Where the accounts' database is: the setting, the secret it names, the secret `database-url`, the home."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from pynomaly_pipelines.operations.errors import SecretMissing, SettingsError
from pynomaly_pipelines.operations.redaction import redact
from pynomaly_pipelines.operations.telemetry.logs import access_line
from pynomaly_pipelines.service.accounts.opening import connect
from pynomaly_pipelines.service.settings import ServiceSettings

HIDDEN_PART = "quiet-green-heron"


def _file(setting: str, home: Path) -> Path:
    database = connect(ServiceSettings(database_url=SecretStr(setting)), home)
    try:
        return database.file
    finally:
        database.close()


def test_a_setting_a_secret_or_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _file("", tmp_path) == tmp_path / "accounts.db"
    monkeypatch.setenv("PYNOMALY_SECRET_DATABASE_URL", f"sqlite:///{tmp_path}/of-the-store.db")
    monkeypatch.setenv("PYNOMALY_SECRET_OTHER_URL", f"sqlite:///{tmp_path}/other.db")
    assert _file("", tmp_path) == tmp_path / "of-the-store.db"
    assert _file("secret:other-url", tmp_path) == tmp_path / "other.db"
    assert _file(f"sqlite:///{tmp_path}/given.db", tmp_path) == tmp_path / "given.db"


def test_a_secret_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match="PYNOMALY_SECRET_NOWHERE_URL"):
        _file("secret:nowhere-url", tmp_path)


def test_a_secret_names_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_SECRET_OTHER_URL", "postgresql://127.0.0.1:1/accounts")
    with pytest.raises(SettingsError, match=r"postgresql\+psycopg"):
        _file("secret:other-url", tmp_path)


def test_its_password_is_in_no_log_line(tmp_path: Path) -> None:
    """Also alone, where nothing says that it is one."""
    url = f"postgresql+psycopg://ada:{HIDDEN_PART}@127.0.0.1:1/accounts"
    connect(ServiceSettings(database_url=SecretStr(url)), tmp_path).close()
    assert redact(f"refused {HIDDEN_PART}") == "refused ***"
    assert HIDDEN_PART.encode() not in access_line({"event": f"refused {HIDDEN_PART}"})
