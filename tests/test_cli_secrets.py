"""`pynomaly secrets check`, and a run that fails by a wrong password: no value anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import click.testing
import dagster as dg
import pytest

from pynomaly_pipelines.cli import main
from tests.servers import Postgres


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYNOMALY_HOME", raising=False)
    monkeypatch.delenv("SHOP_URL", raising=False)
    click.testing.CliRunner().invoke(main, ["init", "watch"], catch_exceptions=False)
    monkeypatch.chdir(tmp_path / "watch")
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path / "watch"))
    return tmp_path / "watch"


def invoke(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, list(arguments))


def test_what_is_there_and_what_not_but_no_value(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smtp-url").write_text("smtps://hushhush@mail")
    monkeypatch.setenv("PYNOMALY_SECRETS", f"files:{tmp_path}")
    shown = invoke("secrets", "check")
    assert "hushhush" not in shown.output
    assert f"secrets from files in {tmp_path}" in shown.output
    assert "not there (optional)" in shown.output
    one = json.loads(invoke("secrets", "check", "--json", "smtp-url").output)
    assert [(s["name"], s["place"], s["error"]) for s in one] == [("smtp-url", str(tmp_path / "smtp-url"), "")]
    failed = invoke("secrets", "check", "redis-url")
    assert failed.exit_code == 1
    assert "redis-url can't be had" in failed.output


def test_a_setting_that_breaks_a_rule(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_SECRETS", "keychain")
    found = invoke("secrets", "check")
    assert found.exit_code == 1
    assert "PYNOMALY_SECRETS is 'keychain'. it is one of environment" in found.output


@pytest.mark.slow
def test_a_run_with_a_wrong_password_shows_it_nowhere(
    project: Path, tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pynomaly_pipelines.operations.settings import Settings
    from pynomaly_pipelines.pipeline import standalone
    from pynomaly_pipelines.spec import PipelineSpec

    word = "wrong-and-secret"
    monkeypatch.setenv("SHOP_URL", postgres.url().replace(postgres.password, word))
    monkeypatch.setenv("PYNOMALY_REGISTRY", f"postgresql+psycopg://m:{word}@127.0.0.1:9/m")
    source = {"type": "sql", "url_env": "SHOP_URL", "table": "orders"}
    spec = PipelineSpec.model_validate(
        {"name": "shop", "source": source, "time": "at", "partition": "daily", "start": "2025-01-01",
         "automation": {"retries": 0}}
    )  # fmt: skip
    instance = dg.DagsterInstance.local_temp(str(tmp_path))
    job = standalone(spec, Settings.from_environment()).resolve_job_def("shop_ingest")
    result = job.execute_in_process(instance=instance, partition_key="2025-01-01", raise_on_error=False)
    assert not result.success
    events = [str(entry.to_json()) for entry in instance.all_logs(result.run_id)]
    assert any("password authentication failed" in event for event in events)
    assert not [event for event in events if word in event]
    run = instance.get_run_by_id(result.run_id)
    assert word not in dg.serialize_value(run)
    stored = [file for file in tmp_path.rglob("*") if file.is_file() and word.encode() in file.read_bytes()]
    assert stored == []
