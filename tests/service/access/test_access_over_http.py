"""Grants and access requests as people use them: given, asked for, decided by a second person, and in the audit log."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.access.tables import AccessRequest, Grant
from pynomaly_pipelines.service.accounts.tables import now
from tests.service.access.conftest import People

PROMOTE = {"permissions": ["models:promote"], "pipeline": "flights", "reason": "on call this week", "days": 7}
YES = {"comment": "as agreed"}


def grant(people: People, by: str, **more: Any) -> Any:
    body = {"account": "ann", "permission": "score", "pipeline": "flights", "reason": "tries it", **more}
    return people(by).post("/v1/grants", json=body)


def ask(people: People, by: str, **more: Any) -> Any:
    return people(by).post("/v1/access-requests", json={**PROMOTE, **more})


def decide(people: People, by: str, request_id: str, what: str = "approve") -> Any:
    return people(by).post(f"/v1/access-requests/{request_id}/{what}", json=YES)


def actions(people: People) -> list[str]:
    return [entry["action"] for entry in people("root").get("/v1/audit").json()["items"]][::-1]


def test_a_grant_holds_from_the_next_request_until_it_is_taken_back(people: People) -> None:
    assert not people.caller("ann").may(Permission.SCORE, "flights")
    made = grant(people, "root")
    assert made.status_code == 201
    assert people.caller("ann").may(Permission.SCORE, "flights")
    assert not people.caller("ann").may(Permission.SCORE, "cytology")
    assert people("ann").get("/v1/grants").json()["items"] == [made.json()]
    assert people("bo").get("/v1/grants").json()["items"] == []
    assert [g["account"] for g in people("second").get("/v1/grants?account=ann").json()["items"]] == ["ann"]
    assert people("root").delete(f"/v1/grants/{made.json()['id']}").status_code == 204
    assert not people.caller("ann").may(Permission.SCORE, "flights")
    assert people("root").delete(f"/v1/grants/{made.json()['id']}").status_code == 404
    assert actions(people) == ["grant.given", "grant.revoked"]


def test_a_change_of_grants_moves_the_permission_epoch(people: People) -> None:
    def epoch() -> int:
        with people.database.reading() as session:
            return int(session.scalar(sa.text("SELECT epoch FROM permission_epoch")) or 0)

    before = epoch()
    made = grant(people, "root").json()
    between = epoch()
    people("root").delete(f"/v1/grants/{made['id']}")
    assert before < between < epoch()


def test_a_grant_that_ended_is_none(people: People) -> None:
    grant(people, "root", expires_at=(now() + timedelta(hours=1)).isoformat())
    holds = people.caller("ann")
    assert holds.may(Permission.SCORE, "flights")
    assert holds.holds_until is not None
    with people.database.writing() as session:
        session.execute(sa.update(Grant).values(expires_at=now() - timedelta(seconds=1)))
    assert not people.caller("ann").may(Permission.SCORE, "flights")
    assert grant(people, "root").status_code == 201, "what ended does not stand in the way"
    assert grant(people, "root", pipeline="cytology", expires_at="2020-01-01T00:00:00Z").status_code == 422
    assert grant(people, "root", pipeline="cytology", expires_at="2099-01-01T00:00:00").status_code == 422


def test_what_cannot_be_granted(people: People) -> None:
    people.add("lim", all_pipelines=False)
    assert grant(people, "root", account="root").status_code == 403, "to oneself"
    assert grant(people, "bo").status_code == 403
    assert grant(people, "root", account="nobody").status_code == 404
    assert grant(people, "root", pipeline="not_there").status_code == 404
    assert grant(people, "root", permission="audit:read").status_code == 422, "not for one pipeline"
    assert grant(people, "root", account="lim", permission="audit:read", pipeline=None).status_code == 409
    assert grant(people, "root", permission="fly").status_code == 422
    assert grant(people, "root", role="admin").status_code == 422
    assert grant(people, "root", granted_by="x").status_code == 422
    assert grant(people, "root").status_code == 201
    assert grant(people, "second").status_code == 409


def test_a_delegate_gives_no_more_than_he_has(people: People) -> None:
    assert grant(people, "root", account="bo", permission="grants:manage", pipeline=None).status_code == 201
    assert grant(people, "bo").status_code == 201, "a user may score"
    refused = grant(people, "bo", permission="models:promote")
    assert refused.status_code == 403
    assert "does not have models:promote on 'flights'" in refused.json()["detail"]


def test_a_limited_account_sees_what_it_was_granted(people: People) -> None:
    people.add("lim", all_pipelines=False)
    assert people("lim").get("/v1/pipelines/flights").status_code == 404
    grant(people, "root", account="lim", permission="scores:read")
    assert people.caller("lim").sees("flights")
    assert people("lim").get("/v1/pipelines/cytology").status_code == 404


def test_a_request_is_approved_by_a_second_person(people: People) -> None:
    asked = ask(people, "ann").json()
    assert (asked["state"], asked["account"], asked["requested_by"]) == ("open", "ann", "ann")
    assert decide(people, "ann", asked["id"]).status_code == 403
    assert decide(people, "bo", asked["id"]).status_code == 403
    assert not people.caller("ann").may(Permission.MODELS_PROMOTE, "flights")
    decided = decide(people, "root", asked["id"])
    assert decided.status_code == 200
    assert (decided.json()["state"], decided.json()["decided_by"]) == ("approved", "root")
    assert people.caller("ann").may(Permission.MODELS_PROMOTE, "flights")
    assert not people.caller("ann").may(Permission.MODELS_PROMOTE, "cytology")
    (given,) = people("ann").get("/v1/grants").json()["items"]
    assert (given["request"], given["granted_by"]) == (asked["id"], "root")
    assert given["expires_at"] is not None
    assert decide(people, "second", asked["id"], "deny").status_code == 409
    assert actions(people) == ["access-request.opened", "grant.given", "access-request.approved"]


def test_nobody_decides_on_what_is_his_own(people: People) -> None:
    own = ask(people, "root").json()
    assert decide(people, "root", own["id"]).status_code == 403, "asked, and is to have it"
    for_ann = ask(people, "root", account="ann").json()
    assert for_ann["account"] == "ann"
    assert decide(people, "root", for_ann["id"]).status_code == 403, "asked"
    for_second = ask(people, "root", account="second", permissions=["models:promote"]).json()
    assert decide(people, "second", for_second["id"]).status_code == 403, "is to have it"
    assert decide(people, "root", own["id"], "deny").status_code == 403
    assert decide(people, "second", for_ann["id"]).status_code == 200
    assert ask(people, "bo", account="ann").status_code == 403, "users ask for themselves"


def test_a_role_for_a_time(people: People) -> None:
    asked = ask(people, "ann", permissions=[], pipeline=None, role="admin", days=1).json()
    assert decide(people, "root", asked["id"]).status_code == 200
    assert people.caller("ann").role is Role.ADMIN
    with people.database.writing() as session:
        session.execute(sa.update(Grant).values(expires_at=now() - timedelta(seconds=1)))
    assert people.caller("ann").role is Role.VIEWER
    assert ask(people, "bo", permissions=[], pipeline=None, role="viewer").status_code == 409
    assert ask(people, "ann", role="user").status_code == 422
    assert ask(people, "ann", permissions=[]).status_code == 422


def test_of_those_who_decide_at_the_same_time_one_does(people: People) -> None:
    people.add("third", Role.ADMIN)
    for _ in range(3):
        asked = ask(people, "ann").json()
        tries = [("root", "approve"), ("second", "deny"), ("third", "approve")] * 2
        with ThreadPoolExecutor(6) as pool:
            started = [pool.submit(decide, people, who, asked["id"], what) for who, what in tries]
        codes = [each.result().status_code for each in started]
        assert sorted(codes) == [200, 409, 409, 409, 409, 409]
        with people.database.reading() as session:
            state = session.get_one(AccessRequest, asked["id"]).state
            given = session.scalars(sa.select(Grant).where(Grant.request_id == asked["id"])).all()
        assert len(given) == (1 if state == "approved" else 0)


def test_an_overdue_request_closes_and_a_cancelled_one_stays_closed(people: People) -> None:
    overdue, taken_back = ask(people, "ann").json(), ask(people, "ann").json()
    with people.database.writing() as session:
        old = sa.update(AccessRequest).where(AccessRequest.id == overdue["id"])
        session.execute(old.values(expires_at=now() - timedelta(seconds=1)))
    assert decide(people, "root", overdue["id"]).status_code == 409
    assert people("bo").post(f"/v1/access-requests/{taken_back['id']}/cancel").status_code == 404
    assert people("ann").post(f"/v1/access-requests/{taken_back['id']}/cancel").status_code == 200
    assert decide(people, "root", taken_back["id"]).status_code == 409
    states = {r["id"]: r["state"] for r in people("ann").get("/v1/access-requests").json()["items"]}
    assert states == {overdue["id"]: "expired", taken_back["id"]: "cancelled"}
    assert people("bo").get("/v1/access-requests").json()["items"] == []
    assert len(people("root").get("/v1/access-requests?state=expired").json()["items"]) == 1
    assert "access-request.expired" in actions(people)


def test_asking_tells_nothing_and_approving_wants_a_pipeline(people: People) -> None:
    people.add("lim", all_pipelines=False)
    for pipeline in ("flights", "not_there"):
        assert ask(people, "lim", pipeline=pipeline).status_code == 201
    for asked in people("lim").get("/v1/access-requests").json()["items"]:
        expected = 200 if asked["pipeline"] == "flights" else 404
        assert decide(people, "root", asked["id"]).status_code == expected


def test_open_requests_are_bounded(people: People) -> None:
    codes = [ask(people, "ann").status_code for _ in range(21)]
    assert codes == [201] * 20 + [409]


def test_the_audit_log_is_read_by_those_who_may_and_changed_by_nobody(people: People) -> None:
    grant(people, "root")
    assert people("bo").get("/v1/audit").status_code == 403
    (entry,) = people("root").get("/v1/audit").json()["items"]
    assert (entry["sequence"], entry["name"], entry["action"]) == (1, "root", "grant.given")
    assert entry["details"]["permission"] == "score"
    assert entry["address"] == "testclient"
    assert entry["request_id"]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert people("root").request(method, "/v1/audit").status_code == 405
    assert people("root").delete("/v1/audit/1").status_code in (404, 405)
    assert people("root").get("/v1/audit?action=grant.revoked").json() == {"items": [], "next": None}
    assert people("root").get("/v1/audit?actoin=x").status_code == 422
    assert people("root").get("/v1/audit?since=2026-01-01T00:00:00").status_code == 422
    grant(people, "root", pipeline="cytology")
    assert people("root").get("/v1/audit?limit=1").json()["next"] == 2
