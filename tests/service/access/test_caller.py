"""Role, grants, limits and scopes -> what a caller may do."""

from __future__ import annotations

import pytest

from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import (
    INSTALLATION,
    MEANING,
    OF_ROLE,
    PER_PIPELINE,
    Permission,
    Role,
)


def caller(role: Role = Role.VIEWER, **more: object) -> Caller:
    return Caller("a1", "mia", role, **more)  # type: ignore[arg-type]


def test_each_role_has_what_the_one_before_it_has() -> None:
    assert OF_ROLE[Role.VIEWER] < OF_ROLE[Role.USER] < OF_ROLE[Role.ADMIN] == frozenset(Permission)
    assert set(MEANING) == set(Permission)
    assert not INSTALLATION & PER_PIPELINE


def test_what_is_trusted_is_changed_by_admins_or_by_grant() -> None:
    admins_only = {
        Permission.MODELS_PROMOTE, Permission.QUARANTINE_RELEASE, Permission.MLFLOW_WRITE, Permission.ACCESS_DECIDE,
        Permission.USERS_MANAGE, Permission.GRANTS_MANAGE, Permission.AUDIT_READ, Permission.METRICS_READ,
        Permission.RUNS_PRIORITIZE,
    }  # fmt: skip
    assert OF_ROLE[Role.ADMIN] - OF_ROLE[Role.USER] == admins_only


def test_a_grant_holds_on_its_pipeline_only() -> None:
    found = caller(grants={"flights": frozenset({Permission.SCORE})})
    assert found.may(Permission.SCORE, "flights")
    assert not found.may(Permission.SCORE, "cytology")
    assert not found.may(Permission.SCORE)
    assert found.may_somewhere(Permission.SCORE)
    assert found.may(Permission.SCORES_READ, "cytology")


def test_a_limited_account_has_its_role_where_it_has_a_grant() -> None:
    found = caller(Role.USER, all_pipelines=False, grants={"flights": frozenset({Permission.MODELS_PROMOTE})})
    assert found.may(Permission.SCORE, "flights")
    assert found.may(Permission.MODELS_PROMOTE, "flights")
    assert not found.may(Permission.SCORE, "cytology")
    assert not found.sees("cytology")
    assert caller(Role.USER, all_pipelines=False).may_somewhere(Permission.SCORE) is True


@pytest.mark.parametrize("permission", sorted(INSTALLATION))
def test_a_limited_account_gets_nothing_that_shows_all_pipelines(permission: Permission) -> None:
    assert caller(Role.ADMIN).may(permission)
    assert not caller(Role.ADMIN, all_pipelines=False).may(permission)
    assert not caller(Role.ADMIN, all_pipelines=False, granted=frozenset({permission})).may(permission)


def test_a_grant_without_a_pipeline_holds_for_all_that_are_seen() -> None:
    auditor = caller(granted=frozenset({Permission.AUDIT_READ, Permission.SCORE}))
    assert auditor.may(Permission.AUDIT_READ)
    assert auditor.may(Permission.SCORE, "flights")
    limited = caller(all_pipelines=False, granted=frozenset({Permission.SCORE}), grants={"flights": frozenset()})
    assert limited.may(Permission.SCORE, "flights")
    assert not limited.may(Permission.SCORE, "cytology")


@pytest.mark.parametrize("permission", list(Permission))
def test_scopes_only_narrow(permission: Permission) -> None:
    for role in Role:
        everything = caller(role, scopes=frozenset(Permission))
        assert everything.may(permission, "flights") == caller(role).may(permission, "flights")
        assert not caller(role, scopes=frozenset()).may(permission, "flights")
    granted = caller(grants={"flights": frozenset({permission})}, scopes=frozenset({Permission.MODELS_READ}))
    assert granted.may(permission, "flights") is (permission is Permission.MODELS_READ)
