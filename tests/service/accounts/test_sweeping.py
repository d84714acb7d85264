"""What is over goes, in batches; what still means something stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from pynomaly_pipelines.service.accounts.sweeping import over, sweep
from pynomaly_pipelines.service.accounts.tables import (
    ApiKey,
    LoginAttempt,
    OneTimeCode,
    RefreshFamily,
    RefreshToken,
    Revocation,
)
from pynomaly_pipelines.service.launching.idempotency import KEYS
from tests.service.installation import Installation

NAMES = ("over", "holds")
TABLES = (OneTimeCode, LoginAttempt, Revocation, RefreshToken, RefreshFamily, ApiKey, KEYS)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_is_over_goes_in_batches(kind: str, installed: Callable[..., Installation]) -> None:
    """Of each table seven rows are over and one is not, with batches of three."""
    service = installed(kind)
    auth, account = service.auth, service.add("ada").id
    at = auth.now()
    with auth.database.writing() as session:
        for number in range(8):
            name, long_ago = f"row{number}", timedelta(days=-200 if number else 1)
            until = at + long_ago
            attempt = LoginAttempt(subject=name, client="*", failures=1, last_failed_at=at if not number else until)
            family = RefreshFamily(
                id=name, account_id=account, kind="refresh", client="", scope="*", perm_version=0, expires_at=until
            )
            session.add_all([attempt, OneTimeCode(hash=name, account_id=None, expires_at=until), family])
            session.flush()
            session.add(RefreshToken(hash=name, family_id=name, expires_at=until))
            session.add(Revocation(jti=name, expires_at=until))
            session.add(ApiKey(id=name, account_id=account, name=name, hash="", expires_at=until))
            values = {"account": account, "key": name, "fingerprint": "", "launch": ""}
            session.execute(sa.insert(KEYS).values(**values, claimed_until=until, expires_at=until))
    assert sweep(auth.database, over(auth, at), batch=3) == 7 * 7
    with auth.database.reading() as session:
        assert [session.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in TABLES] == [1] * 7
    assert sweep(auth.database, over(auth, at), batch=3) == 0
