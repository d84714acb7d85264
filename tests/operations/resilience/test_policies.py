"""Rules per dependency come from the environment; what is misspelt or out of bounds is refused by name."""

from __future__ import annotations

import pytest

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.resilience import DEPENDENCIES, Policies, breaker, dependencies, retrying


def test_one_for_all_and_one_for_each() -> None:
    found = Policies({"PYNOMALY_BREAKER_FAILURES": "7", "PYNOMALY_BREAKER_REGISTRY_FAILURES": "2", "OTHER": "x"})
    assert found.breaker("registry").failures == 2
    assert {found.breaker(name).failures for name in DEPENDENCIES if name != "registry"} == {7}
    assert found.breaker("registry").open_seconds == Policies({}).breaker("registry").open_seconds


def test_names_with_underscores_and_rules_with_them() -> None:
    found = Policies({"PYNOMALY_BREAKER_CRM_DB_OPEN_SECONDS": "3", "PYNOMALY_RETRY_CRM_DB_WAIT_MAX_SECONDS": "9"})
    assert found.breaker("crm_db").open_seconds == 3.0
    assert found.retry("crm_db").wait_max_seconds == 9.0


def test_a_part_follows_its_family() -> None:
    found = Policies({"PYNOMALY_BREAKER_SOURCES_FAILURES": "9"})
    assert found.breaker("sources:shop") == found.breaker("sources")


def test_redis_is_given_up_at_once() -> None:
    """A cache that costs time is none."""
    rules = Policies({}).breaker("redis")
    assert (rules.failures, rules.timeout_seconds) == (1, 0.25)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PYNOMALY_BREAKER_FAILURE", "3", "did you mean FAILURES"),
        ("PYNOMALY_BREAKER_REGISTY_FAILURES", "3", "PYNOMALY_BREAKER_REGISTRY_FAILURES"),
        ("PYNOMALY_BREAKER_REGISTRY_FAILURES", "0", "PYNOMALY_BREAKER_REGISTRY_FAILURES is '0'"),
        ("PYNOMALY_BREAKER_OPEN_SECONDS", "inf", "PYNOMALY_BREAKER_OPEN_SECONDS is 'inf'"),
        ("PYNOMALY_BREAKER_RATE", "1.5", "PYNOMALY_BREAKER_RATE is '1.5'"),
        ("PYNOMALY_RETRY_SOURCES_ATTEMPTS", "many", "PYNOMALY_RETRY_SOURCES_ATTEMPTS is 'many'"),
    ],
)
def test_what_can_not_be_is_refused(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Policies({name: value})


def test_the_process_reads_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_BREAKER_LAKE_FAILURES", "11")
    monkeypatch.setenv("PYNOMALY_RETRY_LAKE_ATTEMPTS", "4")
    dependencies.cache_clear()
    assert breaker("lake").rules.failures == 11
    assert retrying("lake").rules.attempts == 4
    assert breaker("lake") is breaker("lake")
