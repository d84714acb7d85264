"""`pynomaly audit`, and the seals it trusts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from pynomaly_pipelines.cli import main
from pynomaly_pipelines.service import audit
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.migrating import migrate
from pynomaly_pipelines.service.audit.anchoring import FILE, seals_of
from pynomaly_pipelines.service.audit.anchors import anchor
from pynomaly_pipelines.service.audit.sealing import Seals
from pynomaly_pipelines.service.audit.tables import ANCHORS, ENTRIES
from pynomaly_pipelines.service.auth.key_encryption import KeyEncryption
from pynomaly_pipelines.service.settings import ServiceSettings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three entries, anchored."""
    found = tmp_path / "home"
    monkeypatch.setenv("PYNOMALY_HOME", str(found))
    database = Database.at("", found)
    migrate(database)
    for name in ("flights", "cytology", "flights"):
        with database.writing() as session:
            actor = audit.Actor("a1", "mia", "192.0.2.1", "r1")
            audit.record(session, actor=actor, action=audit.Action.MODEL_PROMOTED, subject=f"pipeline:{name}")
    with database.writing() as session:
        anchor(session, seals_of(ServiceSettings(), found), found / FILE)
    database.close()
    return found


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["audit", *arguments])
    return result.exit_code, result.output


def change(home: Path, *statements: sa.Executable) -> None:
    database = Database.at("", home)
    with database.writing() as session:
        for statement in statements:
            session.execute(statement)
    database.close()


def test_an_intact_log(home: Path) -> None:
    code, output = run("verify")
    assert code == 0
    assert output.startswith("Intact: 3 entries, anchored up to 3 (1 in ")


def test_the_first_bad_entry_is_named(home: Path) -> None:
    change(home, sa.update(ENTRIES).where(ENTRIES.c.sequence == 2).values(name="nobody"))
    assert run("verify") == (1, "BROKEN at entry 2: the entry is not what was written: its hash differs\n")


def test_a_database_set_back_as_a_whole_is_shown_by_the_file(home: Path) -> None:
    change(
        home, sa.delete(ENTRIES).where(ENTRIES.c.sequence == 3), sa.delete(ANCHORS),
        sa.text("UPDATE audit_head SET sequence = 2"),
    )  # fmt: skip
    code, output = run("verify")
    assert (code, output) == (1, "BROKEN at entry 3: the end is cut off: the log had reached entry 3\n")


def test_show_and_export(home: Path, tmp_path: Path) -> None:
    code, output = run("show", "--subject", "pipeline:flights")
    assert code == 0
    assert [line.split()[0] for line in output.splitlines()] == ["1", "3"]
    file = tmp_path / "audit.jsonl"
    assert run("export", "--output", str(file)) == (0, f"3 entries in {file}\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        digest = line.pop("hash")
        text = json.dumps(line, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == digest
    assert "audit.exported" in run("show")[1]
    assert "could have been cut off unseen" in run("verify")[1]


def test_a_seal_of_another_installation_is_none() -> None:
    ours, theirs = Seals(KeyEncryption(b"1" * 32)), Seals(KeyEncryption(b"2" * 32))
    kid, seal = ours.sign(b"content")
    assert ours.signed(kid, b"content", seal)
    assert not ours.signed(kid, b"other", seal)
    assert not theirs.signed(kid, b"content", seal)
    assert not ours.signed("another", b"content", seal)
    assert not ours.signed(kid, b"content", "not base64!")
    assert not ours.signed(kid, b"content", KeyEncryption(b"1" * 32).encrypt("x", "a-signing-key"))
