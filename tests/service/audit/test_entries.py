"""The canonical form and what may stand in an entry."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from pynomaly_pipelines.service.audit.entries import GENESIS, Entry, details_text, moment, plain

ENTRY = Entry(
    sequence=1,
    at="2026-11-23T20:00:00.000000Z",
    account="a1",
    name="ånn",
    action="login.succeeded",
    subject="account:a1",
    address="192.0.2.1",
    request_id="r1",
    details="{}",
    previous=GENESIS,
)


def test_the_hash_is_of_the_form_the_docs_describe() -> None:
    written_out = (
        '{"account":"a1","action":"login.succeeded","address":"192.0.2.1","at":"2026-11-23T20:00:00.000000Z",'
        '"details":"{}","name":"\\u00e5nn","previous":"' + "0" * 64 + '","request_id":"r1","sequence":1,'
        '"subject":"account:a1"}'
    )
    assert ENTRY.canonical.decode() == written_out
    assert ENTRY.hash == hashlib.sha256(written_out.encode()).hexdigest()


def test_times_are_utc_and_sort_as_text() -> None:
    east = datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert moment(east) == "2025-12-31T23:00:00.000000Z"
    assert moment(datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)) == "2026-01-01T00:00:00.000005Z"
    with pytest.raises(ValueError, match="no time zone"):
        moment(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("outside", "kept"),
    [
        ("mia", "mia"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("nul\x00", "nul\\x00"),
        ("half \ud800", "half \\ud800"),
        ("\u202etxt", "\\u202etxt"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_text_from_outside_cannot_forge_a_line(outside: str, kept: str) -> None:
    assert plain(outside) == kept


def test_details_hold_no_secrets() -> None:
    text = details_text(
        {
            "new_password": "correct horse",  # pragma: allowlist secret
            "refresh_token": "abc",
            "Authorization": "Bearer x",
            "client_secret": "s",
            "role": "user",
            "count": 3,
            "rate": float("nan"),
            "permissions": ["score", "a\nb"],
        }
    )
    assert json.loads(text) == {
        **dict.fromkeys(("Authorization", "client_secret", "new_password", "refresh_token"), "[removed]"),
        "count": 3,
        "permissions": ["score", "a\\nb"],
        "rate": "nan",
        "role": "user",
    }
    assert text.startswith('{"Authorization":"[removed]","client_secret":')
