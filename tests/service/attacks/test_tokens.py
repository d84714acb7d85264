"""Attacks on tokens, by the number of their case; what is expected is exact.

Each also asserts: no 5xx, a problem (RFC 9457) without a traceback, and an honest request still served after it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc import jws
from joserfc.jwk import OKPKey, RSAKey

from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.audit.actions import Action
from pynomaly_pipelines.service.auth.signing_keys import Signer
from tests.service.databases import NewDatabase
from tests.service.installation import START, Installation, bearer


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """With an honest user."""
    folder = tmp_path_factory.mktemp("attacked")
    found = Installation(folder, NewDatabase(request, folder).migrated("sqlite"), {"signing_algorithm": "RS256"})
    found.add("ada")
    yield found
    found.close()


@pytest.fixture
def service(running: Installation) -> Iterator[Installation]:
    """The same service for each attack: the honest user is still served after it."""
    running.clock.at = START
    yield running
    running.clock.at = START
    assert running.me(running.login("ada")["access_token"]).status_code == 200


@pytest.fixture
def signer(service: Installation) -> Signer:
    """The service's own key: what is signed with it is refused for what it says alone."""
    return service.auth.keys.signer(service.auth.now())


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _payload(service: Installation) -> dict[str, Any]:
    token = service.login("ada")["access_token"]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


def _signed(signer: Signer, payload: str | dict[str, Any], **header: Any) -> str:
    """Signed rightly, whatever it says."""
    named = {"alg": signer.algorithm, "typ": "at+jwt", "kid": signer.kid} | header
    text = payload if isinstance(payload, str) else json.dumps(payload)
    segments = f"{_b64(json.dumps(named).encode())}.{_b64(text.encode())}"
    private = signer.key.private_key
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    signature = private.sign(segments.encode(), padding.PKCS1v15(), SHA256())
    return f"{segments}.{_b64(signature)}"


def _refused(service: Installation, token: str) -> None:
    answer = service.me(token)
    assert answer.status_code == 401, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "request-not-authenticated"
    assert "Traceback" not in answer.text


def test_the_helper_signs_what_is_accepted(service: Installation, signer: Signer) -> None:
    assert service.me(_signed(signer, _payload(service))).status_code == 200


@pytest.mark.parametrize("algorithm", ["none", "nOnE", "NONE", ""])
def test_case_1_no_algorithm(service: Installation, signer: Signer, algorithm: str) -> None:
    head = _b64(json.dumps({"alg": algorithm, "typ": "at+jwt", "kid": signer.kid}).encode())
    body = _b64(json.dumps(_payload(service)).encode())
    for signature in ("", _b64(b"x")):
        _refused(service, f"{head}.{body}.{signature}")


def test_case_2_signed_with_the_public_key_as_a_secret(service: Installation, signer: Signer) -> None:
    public = signer.key.public_key
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    jwk = json.dumps(signer.key.as_dict(private=False)).encode()
    variants = [pem, pem.strip(), pem.replace(b"\n", b"\r\n"), pem + b"\n", b" " + pem, der, jwk]
    head = _b64(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": signer.kid}).encode())
    body = _b64(json.dumps(_payload(service)).encode())
    for secret in variants:
        signature = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
        _refused(service, f"{head}.{body}.{_b64(signature)}")


def test_case_3_empty_secret(service: Installation, signer: Signer) -> None:
    for algorithm, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        head = _b64(json.dumps({"alg": algorithm, "typ": "at+jwt", "kid": signer.kid}).encode())
        body = _b64(json.dumps(_payload(service)).encode())
        signature = hmac.new(b"", f"{head}.{body}".encode(), digest).digest()
        _refused(service, f"{head}.{body}.{_b64(signature)}")


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR '1'='1", "https://evil.example/jwks.json", "", None, 7, ["a"]])
def test_case_4_key_named_by_the_token(service: Installation, signer: Signer, kid: Any) -> None:
    _refused(service, _signed(signer, _payload(service), kid=kid))


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_case_4_key_brought_by_the_token(
    service: Installation, signer: Signer, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = RSAKey.generate_key(2048)
    brought = {
        "jwk": own.as_dict(private=False),
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem",
        "x5c": ["MIIB"],
    }[member]
    token = _signed(Signer(signer.kid, "RS256", own), _payload(service), **{member: brought})
    asked: list[object] = []
    # Only here: the package's own check after each attack connects to the real service.
    with monkeypatch.context() as patched:
        patched.setattr("socket.getaddrinfo", lambda *a, **_: asked.append(a))
        _refused(service, token)
        _refused(service, _signed(signer, _payload(service), **{member: brought}))
    assert asked == []


@pytest.mark.parametrize("crit", [["unknown"], ["exp"], [], "b64"])
def test_case_5_unknown_critical_header(service: Installation, signer: Signer, crit: Any) -> None:
    _refused(service, _signed(signer, _payload(service), crit=crit))
    _refused(service, _signed(signer, _payload(service), crit=["b64"], b64=False))


@pytest.mark.parametrize("claim", ["aud", "iss"])
def test_case_6_audience_and_issuer(service: Installation, signer: Signer, claim: str) -> None:
    right = _payload(service)
    for value in ("other", "", [right[claim]], [right[claim], "other"], None, 1, right[claim] + " "):
        _refused(service, _signed(signer, right | {claim: value}))
    _refused(service, _signed(signer, {k: v for k, v in right.items() if k != claim}))


def test_case_7_times_with_a_leeway_of_five_seconds(service: Installation, signer: Signer) -> None:
    right, now = _payload(service), int(START)
    for claim, value in (
        ("exp", now - 5),
        ("exp", now - 6),
        ("nbf", now + 6),
        ("iat", now + 6),
        ("exp", 0),
        ("exp", -1),
    ):
        _refused(service, _signed(signer, right | {claim: value}))
    for claim, value in (("exp", now - 4), ("nbf", now + 5), ("iat", now + 5)):
        assert service.me(_signed(signer, right | {claim: value})).status_code == 200


def test_case_7_a_remembered_token_expires_too(service: Installation) -> None:
    token = service.login("ada")["access_token"]
    assert service.me(token).status_code == 200
    service.clock.at = START + 900 + 4.9
    assert service.me(token).status_code == 200
    service.clock.at = START + 900 + 5
    _refused(service, token)


@pytest.mark.parametrize("claim", ["exp", "jti", "sub", "iat", "nbf", "sid", "scope", "perm_version"])
def test_case_8_missing_claim(service: Installation, signer: Signer, claim: str) -> None:
    _refused(service, _signed(signer, {k: v for k, v in _payload(service).items() if k != claim}))


@pytest.mark.parametrize("value", ['"1900000000"', "NaN", "Infinity", "1e400", "true", "9" * 5000, "null", "[]"])
def test_case_8_times_of_other_types(service: Installation, signer: Signer, value: str) -> None:
    right = _payload(service)
    for claim in ("exp", "iat", "nbf"):
        text = json.dumps({k: v for k, v in right.items() if k != claim})[:-1] + f', "{claim}": {value}}}'
        _refused(service, _signed(signer, text))


def test_case_9_refresh_as_access_and_access_as_refresh(service: Installation, signer: Signer) -> None:
    found = service.login("ada")
    _refused(service, found["refresh_token"])
    assert service.refresh(found["access_token"]).status_code == 401
    _refused(service, _signed(signer, _payload(service), typ="JWT"))
    _refused(service, _signed(signer, _payload(service), typ="rt+jwt"))


def test_case_10_revoked_also_when_written_otherwise(service: Installation) -> None:
    token = service.login("ada")["access_token"]
    assert service.me(token).status_code == 200
    assert service.client.post("/v1/auth/revoke", data={"token": token}).status_code == 204
    for written in (token, f"{token}==", f"{token}!!", f"{token}=", f" {token}", token.replace(".", "=.")):
        _refused(service, written)


def test_case_11_reuse_ends_the_family(installation: Installation) -> None:
    installation.add("ada")
    first = installation.login("ada")
    second = installation.refresh(first["refresh_token"])
    assert second.status_code == 200
    access = second.json()["access_token"]
    assert installation.me(access).status_code == 200
    assert installation.refresh(first["refresh_token"]).status_code == 401
    assert installation.refresh(second.json()["refresh_token"]).status_code == 401
    assert installation.me(access).status_code == 401
    assert installation.audited(Action.REFRESH_REUSED) >= 1
    assert installation.me(installation.login("ada")["access_token"]).status_code == 200


def test_case_11_fifty_refreshes_at_once(installation: Installation) -> None:
    installation.add("ada")
    token = installation.login("ada")["refresh_token"]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: installation.refresh(token), range(50)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 49
    (winner,) = [a.json() for a in answers if a.status_code == 200]
    assert installation.me(winner["access_token"]).status_code == 401
    assert installation.refresh(winner["refresh_token"]).status_code == 401


def _log_out_everywhere(service: Installation, token: str, account: str) -> None:
    assert service.client.post("/v1/auth/logout-all", headers=bearer(token)).status_code == 204


def _log_out(service: Installation, token: str, account: str) -> None:
    assert service.client.post("/v1/auth/logout", headers=bearer(token)).status_code == 204


def _change_password(service: Installation, token: str, account: str) -> None:
    body = {"current": "seven green otters juggle", "new": "nine purple badgers whistle"}
    assert service.client.post("/v1/users/me/password", json=body, headers=bearer(token)).status_code == 204


def _by_admin(**change: Any) -> Callable[[Installation, str, str], None]:
    def make(service: Installation, token: str, account: str) -> None:
        admin = bearer(service.login("root")["access_token"])
        assert service.client.patch(f"/v1/users/{account}", json=change, headers=admin).status_code == 200

    return make


def _by_hand(service: Installation, token: str, account: str) -> None:
    """Not through the service at all: a person at the database."""
    import sqlalchemy as sa

    with service.auth.database.writing() as session:
        session.execute(sa.text("UPDATE accounts SET enabled = :no WHERE id = :id"), {"no": False, "id": account})


@pytest.mark.parametrize(
    "change",
    [_log_out, _log_out_everywhere, _change_password, _by_admin(enabled=False), _by_admin(role="viewer"), _by_hand],
    ids=["logout", "logout-all", "password", "disabled", "role", "by-hand"],
)
def test_case_12_bites_on_the_next_request_in_every_process(
    installation: Installation, change: Callable[[Installation, str, str], None]
) -> None:
    installation.add("root", Role.ADMIN)
    account = installation.add("ada", Role.ADMIN)
    other = installation.client_of(installation.another())
    token = installation.login("ada")["access_token"]
    assert installation.me(token).status_code == 200
    assert installation.me(token, other).status_code == 200
    change(installation, token, account.id)
    assert installation.me(token, other).status_code == 401
    assert installation.me(token).status_code == 401


def test_case_12_a_role_taken_away_is_gone_after_renewing(installation: Installation) -> None:
    installation.add("root", Role.ADMIN)
    account = installation.add("ada", Role.ADMIN)
    tokens = installation.login("ada")
    _by_admin(role="viewer")(installation, "", account.id)
    renewed = installation.refresh(tokens["refresh_token"]).json()["access_token"]
    assert installation.me(renewed).json()["role"] == "viewer"
    assert installation.client.get("/v1/users", headers=bearer(renewed)).status_code == 403


def test_case_13_rotated_keys_overlap_then_retire(installation: Installation) -> None:
    installation.add("ada")
    keys = installation.auth.keys
    old = keys.signer(installation.auth.now())
    token = installation.login("ada")["access_token"]
    keys.rotate(installation.auth.now())
    assert keys.signer(installation.auth.now()).kid != old.kid
    assert installation.me(token).status_code == 200
    published = installation.client.get("/.well-known/jwks.json").json()["keys"]
    assert len(published) == 3
    assert old.kid in {key["kid"] for key in published}
    assert all("d" not in key for key in published)
    installation.clock.at = START + 906
    assert old.kid not in {k["kid"] for k in installation.client.get("/.well-known/jwks.json").json()["keys"]}
    # Signed anew with the retired key, unexpired by its claims.
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==")) | {"exp": int(START) + 9999}
    header = {"alg": old.algorithm, "typ": "at+jwt", "kid": old.kid}
    forged = jws.serialize_compact(header, json.dumps(claims), old.key, algorithms=[old.algorithm])
    assert installation.me(forged).status_code == 401


def test_case_13_a_compromised_key_verifies_nothing(installation: Installation) -> None:
    installation.add("ada")
    token = installation.login("ada")["access_token"]
    assert installation.me(token).status_code == 200
    installation.auth.keys.rotate(installation.auth.now(), compromised=True)
    assert installation.me(token).status_code == 401
    assert installation.me(installation.login("ada")["access_token"]).status_code == 200


def test_case_13_of_processes_that_find_a_key_due_one_rotates(installation: Installation) -> None:
    keys = installation.auth.keys
    before = keys.signer(installation.auth.now()).kid
    installation.clock.at = START + 30 * 86_400
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: keys.signer(installation.auth.now()).kid, range(8)))
    assert len(found) == 1
    assert found != {before}
    assert len(keys.published(installation.auth.now())) == 3


def test_case_14_a_header_of_great_depth(service: Installation, signer: Signer) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    head = _b64(f'{{"alg":"RS256","typ":"at+jwt","kid":{deep}}}'.encode())
    began = time.process_time()
    answer = service.me(f"{head}.e30.x")
    assert answer.status_code in (401, 431)
    assert time.process_time() - began < 1.0
    within = _b64(b'{"alg":"RS256","typ":"at+jwt","kid":' + b"[" * 150 + b"]" * 150 + b"}")
    _refused(service, f"{within}.e30.x")
    _refused(service, _signed(signer, '{"sub":' * 500 + "1" + "}" * 500))


def test_case_15_a_claim_twice(service: Installation, signer: Signer) -> None:
    text = json.dumps(_payload(service))
    for claim in ("sub", "exp", "aud", "scope"):
        _refused(service, _signed(signer, f'{text[:-1]}, "{claim}": {json.dumps(json.loads(text)[claim])}}}'))


def test_more_than_one_credential(service: Installation) -> None:
    token = service.login("ada")["access_token"]
    for headers in (
        [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")],
        [("Authorization", f"Bearer {token}"), ("X-API-Key", "pnk_0")],
        [("Authorization", f"Basic {token}")],
        [("Authorization", "Bearer")],
    ):
        assert service.client.get("/v1/users/me", headers=headers).status_code == 401


def test_a_key_of_another_kind_is_not_taken_for_the_algorithm(service: Installation, signer: Signer) -> None:
    other = OKPKey.generate_key("Ed25519")
    header = {"alg": "Ed25519", "typ": "at+jwt", "kid": signer.kid}
    _refused(service, jws.serialize_compact(header, json.dumps(_payload(service)), other, algorithms=["Ed25519"]))
