"""Idempotency keys: one claim, the same answer, taken over when it ran out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from pynomaly_pipelines.operations.errors import BadRequest, Conflict
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.migrating import migrate
from pynomaly_pipelines.service.launching.idempotency import (
    Answer,
    Busy,
    Claim,
    IdempotencyKeys,
    fingerprint,
    parse_key,
)
from tests.service.databases import NewDatabase

DAY = timedelta(days=1)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    found = Database(NewDatabase(request, tmp_path).url(request.param))
    migrate(found)
    yield found
    found.close()


def claimed(found: Claim | Answer | Busy) -> Claim:
    assert isinstance(found, Claim)
    return found


def test_of_many_at_once_one_gets_it_and_all_get_the_answer(database: Database) -> None:
    keys = IdempotencyKeys(lambda: database, DAY)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keys.claim("ann", "k", "f"), range(8)))
    claims = [f for f in found if isinstance(f, Claim)]
    assert len(claims) == 1
    assert sum(isinstance(f, Busy) for f in found) == 7
    keys.answer(claims[0], Answer(202, {"launch": "x"}, "/v1/runs/1"))
    again = keys.claim("ann", "k", "f")
    assert again == Answer(202, {"launch": "x"}, "/v1/runs/1", replayed=True)
    with pytest.raises(Conflict, match="used for another request"):
        keys.claim("ann", "k", "other")
    assert not claimed(keys.claim("bob", "k", "other")).resumed


def test_a_claim_that_ran_out_goes_to_one_with_the_same_launch(database: Database) -> None:
    keys = IdempotencyKeys(lambda: database, DAY)
    first = claimed(keys.claim("ann", "k", "f"))
    keys.renew(first, 0.0)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keys.claim("ann", "k", "f"), range(8)))
    claims = [f for f in found if isinstance(f, Claim)]
    assert [(c.launch, c.resumed) for c in claims] == [(first.launch, True)]


def test_keys_expire_and_are_forgotten(database: Database) -> None:
    short = IdempotencyKeys(lambda: database, timedelta(0))
    first = claimed(short.claim("ann", "k", "f"))
    assert claimed(short.claim("ann", "k", "other")).launch != first.launch
    keys = IdempotencyKeys(lambda: database, DAY)
    second = claimed(keys.claim("ann", "j", "f"))
    keys.forget(second)
    assert claimed(keys.claim("ann", "j", "other")).launch != second.launch


def test_the_order_of_names_does_not_matter() -> None:
    assert fingerprint("POST", "/a", {"x": 1, "y": 2}) == fingerprint("POST", "/a", {"y": 2, "x": 1})
    assert fingerprint("POST", "/a", {"x": 1}) != fingerprint("POST", "/b", {"x": 1})


def test_keys_as_they_are_written() -> None:
    assert parse_key(None) is None
    assert parse_key('"abc"') == parse_key(" abc ") == "abc"
    for bad in ("", '""', "x" * 256, "ä", "a\x00b"):
        with pytest.raises(BadRequest):
            parse_key(bad)
