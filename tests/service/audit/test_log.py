"""The stored log, in SQLite and PostgreSQL: no gap under concurrency, no entry without its action, tampering found."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import AuditBroken
from pynomaly_pipelines.service import audit
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.migrating import migrate
from pynomaly_pipelines.service.audit.anchors import anchor, kept_elsewhere, verified
from pynomaly_pipelines.service.audit.log import Asked, everything, page
from pynomaly_pipelines.service.audit.tables import ANCHORS, ENTRIES, HEAD
from tests.service.databases import NewDatabase

MIA = audit.Actor("a1", "mia", "192.0.2.1", "r1")


class Keys:
    """Signs by saying so; a key of another name is not ours."""

    kid = "ours"

    def sign(self, content: bytes) -> tuple[str, str]:
        return self.kid, f"{self.kid}:{content.decode()}"

    def signed(self, kid: str, content: bytes, signature: str) -> bool:
        return signature == f"ours:{content.decode()}"


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    found = Database(NewDatabase(request, tmp_path).url(request.param), pool_size=8)
    migrate(found)
    # Every session of these tests may write.
    yield found.engine.execution_options(pynomaly_writes=True)
    found.close()


def write(engine: sa.Engine, *subjects: str) -> None:
    for subject in subjects:
        with Session(engine) as session, session.begin():
            audit.record(session, actor=MIA, action=audit.Action.MODEL_PROMOTED, subject=subject)


def test_entries_follow_each_other(engine: sa.Engine) -> None:
    write(engine, "pipeline:a", "pipeline:b", "pipeline:c")
    with Session(engine) as session:
        found = list(everything(session, batch=2))
        assert [(e.sequence, e.subject, e.name) for e, _ in found] == [
            (1, "pipeline:a", "mia"), (2, "pipeline:b", "mia"), (3, "pipeline:c", "mia"),
        ]  # fmt: skip
        assert [e.previous for e, _ in found] == ["0" * 64, found[0][1], found[1][1]]
        assert verified(session, Keys()).intact


def test_writers_at_the_same_time_leave_no_gap(engine: sa.Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: write(engine, f"run:{n}"), range(40)))
    with Session(engine) as session:
        found = [entry for entry, _ in everything(session)]
        assert [e.sequence for e in found] == list(range(1, 41))
        assert {e.subject for e in found} == {f"run:{n}" for n in range(40)}
        assert verified(session, Keys()).intact


def test_what_is_rolled_back_leaves_no_entry_and_no_gap(engine: sa.Engine) -> None:
    write(engine, "pipeline:a")
    with Session(engine) as session:
        audit.record(session, actor=MIA, action=audit.Action.RUN_LAUNCHED, subject="run:1")
        session.rollback()
    write(engine, "pipeline:b")
    with Session(engine) as session:
        assert [e.subject for e, _ in everything(session)] == ["pipeline:a", "pipeline:b"]
        assert verified(session, Keys()).intact


def test_whatever_is_typed_as_a_name_is_stored(engine: sa.Engine) -> None:
    odd = 'x\x00\ud800\r\n{"level":"error"}\x1b[31m' + "y" * 1000
    with Session(engine) as session, session.begin():
        audit.record(
            session, actor=audit.Actor("", odd, odd, odd), action=audit.Action.LOGIN_FAILED, subject=odd,
            details={"agent": odd, "password": "hunter2"},  # pragma: allowlist secret
        )  # fmt: skip
    with Session(engine) as session:
        ((entry, _),) = everything(session)
        assert entry.name.startswith('x\\x00\\ud800\\r\\n{"level":"error"}\\x1b[31myyy')
        assert len(entry.name) == 300
        assert "hunter2" not in entry.details
        assert verified(session, Keys()).intact


def test_pages_are_filtered_and_newest_first(engine: sa.Engine) -> None:
    write(engine, "pipeline:a", "pipeline:b", "pipeline:a", "pipeline:b", "pipeline:a")
    with Session(engine) as session, session.begin():
        audit.record(session, actor=audit.Actor("a2", "bo"), action=audit.Action.RUN_LAUNCHED, subject="pipeline:a")

    def sequences(**asked: object) -> list[int]:
        with Session(engine) as session:
            return [entry.sequence for entry, _ in page(session, Asked(**asked))]  # type: ignore[arg-type]

    assert sequences() == [6, 5, 4, 3, 2, 1]
    assert sequences(subject="pipeline:a", limit=2) == [6, 5]
    assert sequences(subject="pipeline:a", limit=2, before=5) == [3, 1]
    assert sequences(account="a2") == [6]
    assert sequences(action="model.promoted", limit=1) == [5]
    assert sequences(since="2000-01-01T00:00:00.000000Z", until="2000-01-02T00:00:00.000000Z") == []


@pytest.mark.parametrize(
    ("statement", "first", "problem"),
    [
        (sa.update(ENTRIES).where(ENTRIES.c.sequence == 2).values(name="bo"), 2, "its hash differs"),
        (sa.update(ENTRIES).where(ENTRIES.c.sequence == 2).values(details='{"x":1}'), 2, "its hash differs"),
        (sa.delete(ENTRIES).where(ENTRIES.c.sequence == 2), 2, "missing"),
        (sa.delete(ENTRIES).where(ENTRIES.c.sequence >= 4), 4, "had reached entry 4"),
        (sa.delete(ENTRIES), 1, "had reached entry 4"),
    ],
)
def test_tampering_in_the_database_is_found(
    engine: sa.Engine, statement: sa.Executable, first: int, problem: str
) -> None:
    write(engine, "pipeline:a", "pipeline:b", "pipeline:c", "pipeline:d")
    with Session(engine) as session, session.begin():
        session.execute(statement)
    with Session(engine) as session:
        broken = verified(session, Keys()).broken
    assert broken is not None
    assert broken.sequence == first
    assert problem in broken.problem


def cut_off(session: Session, sequence: int, with_anchors: bool) -> None:
    """An attacker who knows the tables: the end goes, and what tells of it."""
    last = session.execute(sa.select(ENTRIES.c.hash).where(ENTRIES.c.sequence == sequence)).scalar_one()
    session.execute(sa.delete(ENTRIES).where(ENTRIES.c.sequence > sequence))
    session.execute(sa.update(HEAD).values(sequence=sequence, hash=last))
    if with_anchors:
        session.execute(sa.delete(ANCHORS).where(ANCHORS.c.sequence > sequence))


def test_a_cleanly_cut_off_end_is_found_by_anchors_in_the_database_and_elsewhere(
    engine: sa.Engine, tmp_path: Path
) -> None:
    file = tmp_path / "elsewhere" / "anchors.jsonl"
    write(engine, "pipeline:a", "pipeline:b")
    with Session(engine) as session, session.begin():
        made = anchor(session, Keys(), file)
        assert made is not None
        assert made.sequence == 2
        assert anchor(session, Keys(), file) is None, "nothing came since"
    write(engine, "pipeline:c")
    with Session(engine) as session, session.begin():
        anchor(session, Keys(), file)
        cut_off(session, 2, with_anchors=False)
    with Session(engine) as session:
        broken = verified(session, Keys()).broken
        assert broken is not None
        assert (broken.sequence, broken.problem) == (3, "the end is cut off: the log had reached entry 3")
    with Session(engine) as session, session.begin():
        cut_off(session, 2, with_anchors=True)
    with Session(engine) as session:
        assert verified(session, Keys()).intact, "the database alone cannot know any more"
        broken = verified(session, Keys(), kept_elsewhere(file)).broken
        assert broken is not None
        assert broken.sequence == 3


def test_a_file_of_anchors_that_was_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    file.write_text("not json\n")
    with pytest.raises(AuditBroken, match="line 1"):
        kept_elsewhere(file)
