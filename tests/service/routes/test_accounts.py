"""Accounts, API keys, browser sessions and what a proxy is told, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pynomaly_pipelines.service.access.permissions import Role
from tests.service.installation import PASSWORD, Installation, bearer

OWN = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def admin(installation: Installation) -> dict[str, str]:
    """The header of an admin's token."""
    installation.add("root", Role.ADMIN)
    return bearer(installation.login("root")["access_token"])


def test_an_account_is_made_and_its_owner_sets_the_password(installation: Installation, admin: dict[str, str]) -> None:
    client = installation.client
    made = client.post("/v1/users", json={"name": "Ada@Example.org", "role": "user"}, headers=admin)
    assert made.status_code == 201
    assert made.json()["user"]["name"] == "ada@example.org"
    assert made.json()["user"]["has_password"] is False
    assert installation.try_login("ada@example.org").status_code == 401
    redeemed = client.post("/v1/auth/redeem", json={"code": made.json()["code"], "password": PASSWORD})
    assert redeemed.status_code == 204
    me = installation.me(installation.login(" ADA@example.org")["access_token"]).json()
    assert (me["name"], me["role"], me["failed_logins"], me["last_login_from"]) == (
        "ada@example.org",
        "user",
        0,
        "127.0.0.1",
    )
    assert client.post("/v1/users", json={"name": "ada@example.org"}, headers=admin).status_code == 409
    assert [u["name"] for u in client.get("/v1/users", headers=admin).json()["items"]] == ["ada@example.org", "root"]


@pytest.mark.parametrize("extra", ["id", "password_hash", "perm_version", "is_admin", "owner"])
def test_fields_that_are_not_the_callers_to_set_are_refused(
    installation: Installation, admin: dict[str, str], extra: str
) -> None:
    account = installation.add("ada")
    body = {extra: "1"}
    assert installation.client.patch(f"/v1/users/{account.id}", json=body, headers=admin).status_code == 422
    assert installation.client.post("/v1/users", json={"name": "eve", **body}, headers=admin).status_code == 422


@pytest.mark.parametrize("name", ["", " ", "a b", "a\nb", "<script>", "ädä", "a" * 101, "-a"])
def test_names_that_cannot_be_names(installation: Installation, admin: dict[str, str], name: str) -> None:
    assert installation.client.post("/v1/users", json={"name": name}, headers=admin).status_code == 422


def test_the_last_admin_stays(installation: Installation, admin: dict[str, str]) -> None:
    client = installation.client
    (root,) = client.get("/v1/users", headers=admin).json()["items"]
    where = f"/v1/users/{root['id']}"
    assert client.delete(where, headers=admin).status_code == 409
    assert client.patch(where, json={"role": "user"}, headers=admin).status_code == 409
    assert client.patch(where, json={"enabled": False}, headers=admin).status_code == 409
    assert client.post(f"{where}/reset-password", headers=admin).status_code == 409
    installation.add("other", Role.ADMIN)
    assert client.delete(where, headers=admin).status_code == 204


def test_two_admins_cannot_remove_each_other_at_once(installation: Installation) -> None:
    one, two = installation.add("one", Role.ADMIN), installation.add("two", Role.ADMIN)
    tokens = {one.id: installation.login("two"), two.id: installation.login("one")}

    def demote(target: str) -> int:
        found = tokens[target]["access_token"]
        return installation.client.patch(
            f"/v1/users/{target}", json={"role": "user"}, headers=bearer(found)
        ).status_code

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(demote, tokens))
    assert answers[0] == 200
    assert answers[1] in (401, 403, 409)


def test_a_deleted_account_is_gone_with_its_tokens_and_keys(installation: Installation, admin: dict[str, str]) -> None:
    account = installation.add("ada")
    token = installation.login("ada")["access_token"]
    key = installation.client.post("/v1/api-keys", json={"name": "till"}, headers=bearer(token)).json()["secret"]
    assert installation.client.get("/v1/users/me", headers={"X-API-Key": key}).status_code == 200
    assert installation.client.delete(f"/v1/users/{account.id}", headers=admin).status_code == 204
    assert installation.me(token).status_code == 401
    assert installation.client.get("/v1/users/me", headers={"X-API-Key": key}).status_code == 401
    assert installation.client.get(f"/v1/users/{account.id}", headers=admin).status_code == 404


def test_a_reset_takes_the_password_away(installation: Installation, admin: dict[str, str]) -> None:
    account = installation.add("ada")
    token = installation.login("ada")["access_token"]
    code = installation.client.post(f"/v1/users/{account.id}/reset-password", headers=admin).json()["code"]
    assert installation.me(token).status_code == 401
    assert installation.try_login("ada").status_code == 401
    new = "nine purple badgers whistle"  # pragma: allowlist secret
    assert installation.client.post("/v1/auth/redeem", json={"code": code, "password": new}).status_code == 204
    assert installation.try_login("ada", new).status_code == 200


def test_a_key_is_limited_to_permissions_pipelines_and_time(installation: Installation) -> None:
    account = installation.add("ada")
    login = bearer(installation.login("ada")["access_token"])
    body = {"name": "till", "days": 2, "permissions": ["pipelines:read"], "pipelines": ["flights"]}
    made = installation.client.post("/v1/api-keys", json=body, headers=login)
    assert made.status_code == 201
    key = {"X-API-Key": made.json()["secret"]}
    assert [p["name"] for p in _pipelines(installation, key)] == ["flights"]
    assert installation.client.get("/v1/pipelines/flights/scores", headers=key).status_code == 403
    assert installation.client.get("/v1/pipelines/cytology/scores", headers=key).status_code == 404
    assert installation.client.post("/v1/api-keys", json={"name": "more"}, headers=key).status_code == 403
    (listed,) = installation.client.get("/v1/api-keys", headers=login).json()
    assert listed["last_used_at"] is not None
    assert "secret" not in listed
    assert listed["account"] == account.id
    installation.clock.at += 2 * 86_400
    assert installation.client.get("/v1/pipelines", headers=key).status_code == 401


def _pipelines(installation: Installation, key: dict[str, str]) -> list[dict[str, str]]:
    answer = installation.client.get("/v1/pipelines", headers=key)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return found if isinstance(found, list) else found["items"]


def test_a_revoked_key_is_refused_on_the_next_request(installation: Installation, admin: dict[str, str]) -> None:
    installation.add("ada")
    login = bearer(installation.login("ada")["access_token"])
    made = installation.client.post("/v1/api-keys", json={"name": "till"}, headers=login).json()
    key = bearer(made["secret"])
    assert installation.client.get("/v1/users/me", headers=key).status_code == 200
    installation.add("eve")
    eve = bearer(installation.login("eve")["access_token"])
    assert installation.client.delete(f"/v1/api-keys/{made['key']['id']}", headers=eve).status_code == 404
    assert installation.client.get("/v1/api-keys?account=all", headers=eve).status_code == 403
    assert installation.client.delete(f"/v1/api-keys/{made['key']['id']}", headers=admin).status_code == 204
    assert installation.client.get("/v1/users/me", headers=key).status_code == 401


def test_a_scope_limits_a_login_and_what_comes_of_it(installation: Installation) -> None:
    installation.add("root", Role.ADMIN)
    form = {"grant_type": "password", "username": "root", "password": PASSWORD, "scope": "scores:read keys:own"}
    found = installation.client.post("/v1/auth/token", data=form).json()
    assert found["scope"] == "keys:own scores:read"
    token = bearer(found["access_token"])
    assert installation.client.get("/v1/users", headers=token).status_code == 403
    assert installation.client.post("/v1/api-keys", json={"name": "more"}, headers=token).status_code == 403
    wider = {"grant_type": "refresh_token", "refresh_token": found["refresh_token"], "scope": "users:manage"}
    assert installation.client.post("/v1/auth/token", data=wider).status_code == 400
    assert installation.client.post("/v1/auth/token", data=form | {"scope": "nonsense"}).status_code == 400


def test_a_browsers_session_and_pages_of_other_sites(installed: Callable[..., Installation]) -> None:
    service = installed(cookie_secure=False)
    service.add("ada")
    client = service.client
    opened = client.post("/v1/auth/session", json={"name": "ada", "password": PASSWORD}, headers=OWN)
    assert opened.status_code == 204
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert client.get("/v1/users/me").json()["name"] == "ada"
    for foreign in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil"}, {}):
        assert client.post("/v1/auth/logout", headers=foreign).status_code == 403
    assert client.delete("/v1/auth/session", headers={"origin": "http://localhost"}).status_code == 204
    assert client.get("/v1/users/me").status_code == 401


@pytest.mark.parametrize(
    ("role", "uri", "method", "status", "access"),
    [
        (Role.VIEWER, "/dagster/graphql", "POST", 204, "read"),
        (Role.USER, "/dagster/graphql", "POST", 204, "write"),
        (Role.VIEWER, "/mlflow/ajax-api/2.0/mlflow/runs/search", "POST", 204, "read"),
        (Role.VIEWER, "/mlflow/ajax-api/2.0/mlflow/runs/delete", "POST", 403, None),
        (Role.USER, "/mlflow/ajax-api/2.0/mlflow/runs/delete", "POST", 403, None),
        (Role.ADMIN, "/mlflow/ajax-api/2.0/mlflow/runs/delete", "POST", 204, "write"),
        (Role.VIEWER, "/dagster/../mlflow/x", "POST", 403, None),
        (Role.VIEWER, "/dagster/%2e%2e/mlflow/runs/delete", "POST", 403, None),
        (Role.VIEWER, "//mlflow/runs/delete", "POST", 403, None),
    ],
)
def test_a_proxy_is_told_who_may_do_what(
    installed: Callable[..., Installation], role: Role, uri: str, method: str, status: int, access: str | None
) -> None:
    service = installed()
    service.add("ada", role)
    headers = bearer(service.login("ada")["access_token"]) | {"X-Original-URI": uri, "X-Original-Method": method}
    answer = service.client.get("/v1/auth/verify", headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers.get("x-access") == access
    if access:
        assert (answer.headers["x-account"], answer.headers["x-role"]) == ("ada", role.value)
    assert service.client.get("/v1/auth/verify").status_code == 401


def test_without_the_database_nobody_is_let_in(installed: Callable[..., Installation]) -> None:
    service = installed()
    service.add("ada")
    token = service.login("ada")["access_token"]
    assert service.me(token).status_code == 200
    service.auth.database.file.rename(service.auth.database.file.with_suffix(".gone"))
    answer = service.me(token)
    assert answer.status_code == 503
    assert answer.json()["code"] == "dependency-unavailable"
    service.auth.database.file.with_suffix(".gone").rename(service.auth.database.file)
    assert service.me(token).status_code == 200


def test_a_hash_of_weaker_parameters_is_replaced_at_login(installed: Callable[..., Installation]) -> None:
    service = installed()
    service.add("ada")
    service.settings = {"argon2_passes": 2}
    stronger = service.client_of(service.another())
    assert service.try_login("ada", client=stronger).status_code == 200
    with service.auth.database.reading() as session:
        from pynomaly_pipelines.service.accounts import management

        account = management.by_name(session, "ada")
        assert account is not None
        assert account.password_hash is not None
        assert "t=2" in account.password_hash
    assert service.try_login("ada").status_code == 200


WRONG = {"grant_type": "password", "username": "ada", "password": "wrong"}  # pragma: allowlist secret


@pytest.mark.parametrize(
    ("form", "status", "word"),
    [
        (WRONG, 401, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "pnr_none"}, 401, "invalid_grant"),
        ({"grant_type": "password", "username": "ada"}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b", "scope": "fly"}, 400, "invalid_scope"),
        ({"grant_type": "client_credentials"}, 422, "unsupported_grant_type"),
    ],
)
def test_refusals_of_tokens_have_the_words_of_the_standard(
    installed: Callable[..., Installation], form: dict[str, str], status: int, word: str
) -> None:
    """RFC 6749, 5.2, as a further member of the problem."""
    answer = installed().client.post("/v1/auth/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, word)
    assert answer.json()["code"].startswith("request-")
    assert "error" not in installed().client.get("/v1/users/me").json()
