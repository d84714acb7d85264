"""Mounted files: as Kubernetes swaps them, as an operator forgets them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pynomaly_pipelines.operations.errors import SecretMissing, SecretsUnreachable
from pynomaly_pipelines.operations.secrets import SecretStore, secret_store
from tests.operations.secrets.waiting import until


def opened(folder: Path, refresh: float = 0.05) -> SecretStore:
    return secret_store(f"files:{folder}?refresh_seconds={refresh}")


def mounted(folder: Path, generation: str, **values: str) -> None:
    """What Kubernetes' kubelet does: a new folder, then `..data` is turned to it in one step."""
    new = folder / f"..{generation}"
    new.mkdir(parents=True)
    for name, value in values.items():
        (new / name.replace("_", "-")).write_text(value)
        link = folder / name.replace("_", "-")
        if not link.is_symlink():
            link.symlink_to(Path("..data") / link.name)
    (folder / "..data_tmp").symlink_to(new.name)
    (folder / "..data_tmp").replace(folder / "..data")


def test_all_secrets_of_a_mount_turn_at_once(tmp_path: Path) -> None:
    mounted(tmp_path, "2026_01", smtp_url="one\n", api_key="a-one")  # pragma: allowlist secret
    with opened(tmp_path) as store:
        told: list[str] = []
        first = store.get("smtp-url")
        assert first.reveal() == "one"
        store.on_change("smtp-url", lambda secret: told.append(secret.reveal()))
        mounted(tmp_path, "2026_02", smtp_url="two\n", api_key="a-two")  # pragma: allowlist secret
        until(lambda: told == ["two"])
        assert store.get("smtp-url").version != first.version
        assert store.get("api-key").reveal() == "a-two"


def test_a_file_emptied_or_removed_keeps_the_last_version(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("kept-value")
    with opened(tmp_path) as store:
        assert store.get("api-key").reveal() == "kept-value"
        (tmp_path / "api-key").write_text("")
        until(lambda: isinstance(store.problems().get("api-key"), SecretMissing))
        assert store.get("api-key").reveal() == "kept-value"
        (tmp_path / "api-key").write_text("next-value")
        until(lambda: store.get("api-key").reveal() == "next-value")
        assert store.problems() == {}


@pytest.mark.parametrize(
    ("content", "kind", "problem"),
    [
        (None, SecretMissing, "is no file"),
        (b"", SecretMissing, "is empty"),
        (b"\xff\xfe", SecretsUnreachable, "UnicodeDecodeError"),
        (b"x" * ((1 << 20) + 1), SecretsUnreachable, "larger than 1 MiB"),
    ],
)
def test_what_is_no_secret(content: bytes | None, kind: type, problem: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "api-key").write_bytes(content)
    with opened(tmp_path) as store, pytest.raises(kind, match=problem) as caught:
        store.get("api-key")
    assert str(tmp_path / "api-key") in str(caught.value)


def test_of_many_threads_one_reads(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("shared-value")
    with opened(tmp_path, refresh=60) as store:
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.append(store.get("api-key"))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 16
    assert len({id(secret) for secret in found}) == 1


def test_closing_ends_the_watcher(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("some-value")
    with opened(tmp_path) as store:
        store.get("api-key")
        watcher = store._watcher
        assert watcher is not None
        assert watcher.is_alive()
    assert not watcher.is_alive()
