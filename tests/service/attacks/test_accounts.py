"""Attacks on accounts, by the number of their case; what is expected is exact."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.accounts import management
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.auth import codes, redeeming
from tests.service.installation import PASSWORD, Installation, bearer

WRONG = "not the password at all"  # pragma: allowlist secret


def test_case_16_wrong_passwords_lead_to_a_wait(installation: Installation) -> None:
    installation.add("ada")
    assert [installation.try_login("ada", WRONG).status_code for _ in range(5)] == [401] * 5
    locked = installation.try_login("ada", WRONG)
    assert locked.status_code == 429
    assert locked.headers["retry-after"] == "30"
    right = installation.try_login("ada")
    assert right.status_code == 429
    same = {k: v for k, v in locked.json().items() if k != "trace_id"}
    assert {k: v for k, v in right.json().items() if k != "trace_id"} == same
    installation.clock.at += 30
    assert installation.try_login("ada").status_code == 200
    assert installation.audited(Action.LOGIN_FAILED) == 5
    assert installation.audited(Action.ACCOUNT_LOCKED) == 1


def test_case_16_waits_grow_to_a_longest(installed: Callable[..., Installation]) -> None:
    service = installed(lockout_longest_seconds=100)
    service.add("ada")
    waits = []
    for _ in range(9):
        answer = service.try_login("ada", WRONG)
        if answer.status_code == 429:
            waits.append(int(answer.headers["retry-after"]))
            service.clock.at += waits[-1]
            service.try_login("ada", WRONG)
    assert waits == [30, 60, 100, 100]


def test_case_16_guesses_at_the_same_time_are_counted(installation: Installation) -> None:
    installation.add("ada")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: installation.try_login("ada", WRONG).status_code, range(50)))
    assert sorted(answers) == [401] * 5 + [429] * 45
    assert installation.audited(Action.LOGIN_FAILED) == 5


def test_case_17_an_attacker_cannot_lock_the_owner_out(installation: Installation) -> None:
    installation.add("root", Role.ADMIN)
    account = installation.add("ada")
    attacker = installation.client_of(installation.app, "203.0.113.7")
    for _ in range(8):
        installation.try_login("ada", WRONG, attacker)
    assert installation.try_login("ada", client=attacker).status_code == 429
    assert installation.try_login("ada").status_code == 200
    admin = bearer(installation.login("root")["access_token"])
    assert installation.client.post(f"/v1/users/{account.id}/unlock", headers=admin).status_code == 204
    assert installation.try_login("ada", client=attacker).status_code == 200


def test_case_17_many_addresses_have_one_try_each(installed: Callable[..., Installation]) -> None:
    service = installed(lockout_account_failures=10)
    service.add("ada")
    for attacker in range(3):
        client = service.client_of(service.app, f"203.0.113.{attacker}")
        for _ in range(5):
            service.try_login("ada", WRONG, client)
    fresh = service.client_of(service.app, "198.51.100.1")
    assert [service.try_login("ada", WRONG, fresh).status_code for _ in range(2)] == [401, 429]
    owner = service.client_of(service.app, "198.51.100.2")
    assert service.try_login("ada", client=owner).status_code == 200


def test_case_18_known_and_unknown_names_are_answered_alike(installed: Callable[..., Installation]) -> None:
    service = installed(lockout_failures=1000, lockout_account_failures=1000)
    service.add("ada")
    service.add("off")
    with service.auth.database.writing() as session:
        account = management.by_name(session, "off")
        assert account is not None
        account.enabled = False
    verified: list[str | None] = []
    verify = service.auth.passwords.verify
    bodies = set()
    object.__setattr__(
        service.auth.passwords, "verify", lambda stored, given: verified.append(stored) or verify(stored, given)
    )
    for _ in range(20):
        for name in ("ada", "eve", "off"):
            answer = service.try_login(name, PASSWORD if name == "off" else WRONG)
            bodies.add((answer.status_code, *[v for k, v in sorted(answer.json().items()) if k != "trace_id"]))
    assert len(bodies) == 1
    # One hash each, also for a name that nobody has.
    assert len(verified) == 60
    assert verified.count(None) == 20


@pytest.mark.parametrize(
    ("password", "accepted"),
    [
        ("fourteen chars", False),
        ("seven green otters juggle", True),
        ("password", False),
        ("passwordpassword", False),
        ("123456789012345", False),
        ("ada.lovelace1843", False),
        ("pynomaly-pipelines-2026", False),
        ("aaaaaaaaaaaaaaaaaaaaaaa", False),
        ("violet harbor sings " * 10, True),
        ("x" * 1025, False),
        ("correct mule with nul \0 byte", False),
    ],
    ids=lambda v: repr(v)[:24],
)
def test_case_19_passwords(installed: Callable[..., Installation], password: str, accepted: bool) -> None:
    service = installed()
    account = service.add("ada.lovelace")
    with service.auth.database.writing() as session:
        code, _ = codes.make(session, account.id, service.auth.now())
    answer = service.client.post("/v1/auth/redeem", json={"code": code, "password": password})
    assert answer.status_code == (204 if accepted else 422), answer.text
    # Used once; a refused password does not cost the code.
    again = service.client.post("/v1/auth/redeem", json={"code": code, "password": PASSWORD})
    assert again.status_code == (401 if accepted else 204)
    if accepted:
        assert service.try_login("ada.lovelace", password).status_code == 200


def test_case_19_composed_and_decomposed_are_one_and_nothing_is_cut(installed: Callable[..., Installation]) -> None:
    service = installed()
    service.add("ada", password="caf\u00e9 otters juggle limes")  # pragma: allowlist secret
    assert service.try_login("ada", "cafe\u0301 otters juggle limes").status_code == 200
    assert service.try_login("ada", "cafe otters juggle limes").status_code == 401
    long = "violet harbor sings " * 10
    service.add("eve", password=long)
    assert service.try_login("eve", long).status_code == 200
    assert service.try_login("eve", long[:-1]).status_code == 401
    assert service.try_login("eve", long[:72]).status_code == 401


def test_case_20_a_hundred_logins_at_once_hash_few_at_a_time(
    installed: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = installed(password_workers=2, lockout_failures=1000)
    service.add("ada")
    token = service.login("ada")["access_token"]
    at_once, most, verify = 0, 0, service.auth.passwords.verify

    def counted(stored: str | None, password: str) -> bool:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.005)
        found = verify(stored, password)
        at_once -= 1
        return found

    monkeypatch.setattr(service.auth.passwords, "verify", counted)
    with ThreadPoolExecutor(100) as pool:
        logins = [pool.submit(service.try_login, f"nobody-{i}", WRONG) for i in range(100)]
        assert service.me(token).status_code == 200
        assert {login.result().status_code for login in logins} == {401}
    assert most == 2


def test_case_20_the_queue_has_an_end(installed: Callable[..., Installation]) -> None:
    service = installed(password_workers=1, password_queue=3)
    with ThreadPoolExecutor(40) as pool:
        found = [a.status_code for a in pool.map(lambda i: service.try_login(f"nobody-{i}", WRONG), range(40))]
    assert set(found) == {401, 429}


def test_case_21_there_is_no_default_admin(installation: Installation) -> None:
    for name in ("admin", "root", "pynomaly"):
        for password in ("admin", "password", "pynomaly", "changeme"):
            assert installation.try_login(name, password).status_code == 401
    with pytest.raises(SettingsError, match="pynomaly accounts bootstrap"):
        redeeming.require_somebody(installation.auth)


def test_case_21_one_code_makes_one_admin(installation: Installation) -> None:
    with installation.auth.database.writing() as session:
        code, _ = codes.make(session, None, installation.auth.now())
    redeeming.require_somebody(installation.auth)
    body, bootstrap = {"code": code, "name": "Root", "password": PASSWORD}, "/v1/auth/bootstrap"
    assert installation.client.post(bootstrap, json=body | {"code": code + "x"}).status_code == 401
    short = body | {"password": "short"}  # pragma: allowlist secret
    assert installation.client.post(bootstrap, json=short).status_code == 422
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: installation.client.post(bootstrap, json=body | {"name": f"r{i}"}), range(8)))
    assert sorted(a.status_code for a in made) == [204] + [401] * 7
    with installation.auth.database.writing() as session:
        late, _ = codes.make(session, None, installation.auth.now())
    assert installation.client.post(bootstrap, json=body | {"code": late}).status_code == 409
