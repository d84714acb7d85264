"""Files of this machine and objects of a real S3-compatible server, through one face."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import obstore
import pytest

from pynomaly_pipelines.operations.errors import (
    PynomalyError,
    SettingsError,
    SourceDenied,
    SourceMissing,
    SourceUnreachable,
)
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources import object_storage, storage
from pynomaly_pipelines.resources.storage import ObjectFiles, Replaced, files_at, fixed_folder
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.spec.source import StorageOptions
from pynomaly_pipelines.stages.ingestion import ingest
from pynomaly_pipelines.stages.sources import landing
from pynomaly_pipelines.stages.sources.paths import landed
from tests.servers import ObjectStorage


@pytest.fixture
def options(object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> StorageOptions:
    monkeypatch.setenv("OUR_KEY", object_storage.access_key)
    monkeypatch.setenv("OUR_SECRET", object_storage.secret_key)
    return StorageOptions.model_validate(
        {
            "endpoint": object_storage.endpoint,
            "credentials": {"access_key_id": "OUR_KEY", "secret_access_key": "OUR_SECRET"},
            "retries": 1,
            "timeout_seconds": 5,
        }
    )


def spec_of(path: str, options: StorageOptions, **more: Any) -> PipelineSpec:
    source = {"type": "csv", "path": path, "storage": options.model_dump()}
    return PipelineSpec.model_validate(
        {"name": "shop", "source": source, "time": "at", "partition": "daily", "start": "2025-01-01", **more}
    )


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("s3://b/in/*.csv", "s3://b/in"),
        ("s3://b/in/%Y/x.csv", "s3://b/in"),
        ("s3://b/*/a.csv", "s3://b"),
        ("a.csv", ""),
    ],
)
def test_what_has_to_be_listed(pattern: str, folder: str) -> None:
    assert fixed_folder(pattern) == folder


def test_objects_are_found_by_pattern(object_storage: ObjectStorage, options: StorageOptions, tmp_path: Path) -> None:
    bucket = object_storage.bucket("found")
    for name in ("in/2025-01-01.csv", "in/a b+c.csv", "in/deep/2025-01-02.csv", "in/2025-01-03.csv.tmp", "out/x.csv"):
        obstore.put(bucket, name, b"at,x\n2025-01-01,1\n")
    files = landed(spec_of("s3://found/in/*.csv", options), tmp_path)
    assert [file.path for file in files] == ["s3://found/in/2025-01-01.csv", "s3://found/in/a b+c.csv"]
    assert all(file.version and file.size == 18 for file in files)
    dated = spec_of("s3://found/in/**/%Y-%m-%d.csv", options)
    assert [file.path for file in landed(dated, tmp_path)] == [
        "s3://found/in/2025-01-01.csv",
        "s3://found/in/deep/2025-01-02.csv",
    ]


def test_only_the_folders_of_the_partitions_are_listed(
    object_storage: ObjectStorage, options: StorageOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = object_storage.bucket("dated")
    for day in range(1, 6):
        obstore.put(bucket, f"in/2025/01/{day:02d}/a.csv", f"at,x\n2025-01-0{day},{day}\n".encode())
    listed: list[str | None] = []
    original = obstore.list
    monkeypatch.setattr(obstore, "list", lambda store, prefix=None: listed.append(prefix) or original(store, prefix))
    spec, lake = spec_of("s3://dated/in/%Y/%m/%d/*.csv", options), Lake(str(tmp_path / "lake"))
    parts = [Calendar(spec).partition(f"2025-01-0{day}") for day in (2, 3)]
    assert len(landed(spec, tmp_path, parts)) == 2
    assert listed == ["in/2025/01/02", "in/2025/01/03"]
    assert ingest(spec, parts, lake, tmp_path).rows == 2


def test_an_object_replaced_after_it_was_listed_is_read_as_it_is_now(
    object_storage: ObjectStorage, options: StorageOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = object_storage.bucket("replaced")
    obstore.put(bucket, "2025-01-01.csv", b"at,x\n2025-01-01,1\n")
    spec, lake = spec_of("s3://replaced/%Y-%m-%d.csv", options), Lake(str(tmp_path / "lake"))
    place = files_at("s3://replaced/x", options, tmp_path)
    (file,) = landed(spec, tmp_path)
    obstore.put(bucket, "2025-01-01.csv", b"at,x\n2025-01-01,2\n")
    with pytest.raises(Replaced), place.opened(file):
        pass
    original = landing.landed
    monkeypatch.setattr(landing, "landed", lambda *_: [file])
    report = ingest(spec, [Calendar(spec).partition("2025-01-01")], lake, tmp_path)
    assert (report.files[0].status, report.files[0].attempts) == ("read", 2)
    assert lake.read("shop", "raw")["x"].to_pylist() == [2]
    monkeypatch.setattr(landing, "landed", original)
    # Written again with the same content: the storage's own mark says so.
    obstore.put(bucket, "2025-01-01.csv", b"at,x\n2025-01-01,2\n")
    monkeypatch.setattr(landing, "_SETTLED_SECONDS", -60)
    monkeypatch.setattr(ObjectFiles, "opened", None)
    assert landing.pending(spec, lake, tmp_path) == {}


@pytest.mark.parametrize(
    ("path", "change", "kind", "problem"),
    [
        ("s3://nobucket/*.csv", {}, SourceMissing, "there is no bucket 'nobucket'"),
        ("s3://found/*.csv", {"anonymous": True}, SourceDenied, "AccessDenied"),
        ("s3://found/*.csv", {"credentials": {"access_key_id": "OUR_KEY", "secret_access_key": "OUR_KEY"}},
         SourceDenied, "SignatureDoesNotMatch"),
        ("s3://found/*.csv", {"endpoint": "http://127.0.0.1:9"}, SourceUnreachable, "can't be read now"),
        ("s3://found/*.csv", {"credentials": {"access_key_id": "NO_KEY"}}, SettingsError, "NO_KEY is not set"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_apart(
    options: StorageOptions, path: str, change: dict[str, Any], kind: type[PynomalyError], problem: str, tmp_path: Path
) -> None:
    changed = StorageOptions.model_validate({**options.model_dump(), **change})
    with pytest.raises(kind) as caught:
        landed(spec_of(path, changed), tmp_path)
    assert problem in str(caught.value)
    assert caught.value.fix
    assert caught.value.retryable == (kind is SourceUnreachable)


def test_a_missing_extra_is_named(options: StorageOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(SettingsError, match=r"pip install 'pynomaly-pipelines\[remote\]'"):
        object_storage.client("s3://b/x", options)


def test_stores_of_other_providers_take_their_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE", "a2V5")
    options = StorageOptions.model_validate({"account": "shop", "credentials": {"account_key": "AZURE"}})
    assert object_storage.client("az://box/x", options).config["account_name"] == "shop"
    told = object_storage.delta_options("az://box/x", options)
    assert told["azure_storage_account_key"] == "a2V5"  # pragma: allowlist secret
    assert object_storage.client("gs://box/x", StorageOptions.model_validate({"anonymous": True})) is not None


def test_temporary_copies_go(object_storage: ObjectStorage, options: StorageOptions, tmp_path: Path) -> None:
    bucket = object_storage.bucket("copies")
    obstore.put(bucket, "a.csv", b"at\n2025-01-01\n")
    place = storage.files_at("s3://copies/a.csv", options, tmp_path)
    (file,) = landed(spec_of("s3://copies/a.csv", options), tmp_path)
    with place.opened(file) as opened:
        assert opened.path.read_bytes() == b"at\n2025-01-01\n"
    assert not opened.path.exists()
