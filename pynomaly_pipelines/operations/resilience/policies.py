"""Variables `PYNOMALY_BREAKER_…`, `PYNOMALY_RETRY_…` -> when a dependency counts as down, and how often it is asked.

`PYNOMALY_BREAKER_FAILURES=4` holds for every dependency, `PYNOMALY_BREAKER_REGISTRY_FAILURES=4` for one of them and
goes first. A dependency `sources:shop` follows the policy of `sources`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pynomaly_pipelines.operations.errors import SettingsError

BREAKER_PREFIX = "PYNOMALY_BREAKER_"
RETRY_PREFIX = "PYNOMALY_RETRY_"
Rules = TypeVar("Rules", "BreakerRules", "RetryRules")
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class BreakerRules(BaseModel):
    """When a dependency is no longer asked, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failures: Annotated[int, Field(ge=1, le=1000, description="Opens after so many failures in a row.")] = 5
    rate: Annotated[
        float, Field(gt=0, le=1, description="Opens also when this part of the calls of one window failed,")
    ] = 0.5
    calls: Annotated[int, Field(ge=1, le=100_000, description="if the window saw at least so many calls.")] = 20
    window_seconds: Annotated[Seconds, Field(description="Length of that window.")] = 30.0
    open_seconds: Annotated[Seconds, Field(description="How long it stays open before one probe is let through.")] = (
        10.0
    )
    timeout_seconds: Annotated[Seconds, Field(description="The longest that one call may take.")] = 10.0


class RetryRules(BaseModel):
    """How often a call that may be repeated is repeated, and with what pauses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempts: Annotated[int, Field(ge=1, le=20, description="Calls in all; 1 repeats nothing.")] = 3
    wait_seconds: Annotated[Seconds, Field(description="The first pause; each further one is twice as long.")] = 0.1
    wait_max_seconds: Annotated[Seconds, Field(description="The longest pause.")] = 5.0
    jitter_seconds: Annotated[
        float, Field(ge=0, le=3600, description="Up to this much is added to each pause, at random.")
    ] = 0.1
    ratio: Annotated[
        float, Field(ge=0, le=1, description="Repeated calls allowed for each call: a failing server gets no storm.")
    ] = 0.1
    reserve: Annotated[
        int, Field(ge=0, le=1000, description="Repeated calls allowed beyond that: few calls must survive a fault too.")
    ] = 5


# What differs from the defaults above, with the reason.
BREAKER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # Requests wait for it: find out fast, come back fast.
    "database": {"failures": 3, "open_seconds": 2.0, "timeout_seconds": 5.0},
    "registry": {},
    # Files may be large.
    "lake": {"timeout_seconds": 60.0},
    # A cache that costs time is none: the first failure is enough.
    "redis": {"failures": 1, "open_seconds": 5.0, "timeout_seconds": 0.25},
    "secrets": {"failures": 3, "timeout_seconds": 5.0},
    "dagster": {"failures": 3, "open_seconds": 5.0},
    # Others' servers, which may be away for long.
    "notifications": {"failures": 3, "open_seconds": 60.0},
    "sources": {"open_seconds": 30.0, "timeout_seconds": 60.0},
}
RETRY_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "redis": {"attempts": 1},
    "notifications": {"attempts": 5, "wait_seconds": 1.0, "wait_max_seconds": 60.0, "jitter_seconds": 1.0},
    "sources": {"wait_seconds": 1.0, "wait_max_seconds": 30.0, "jitter_seconds": 1.0},
}
DEPENDENCIES = tuple(BREAKER_DEFAULTS)
"""The dependencies that the product itself has; a project may name others."""


class Policies:
    """The rules in force for every dependency."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Variables not of these two prefixes are passed over.

        Raises:
            SettingsError: a variable names no rule, a dependency that looks misspelt, or a value outside its bounds.
        """
        self._breaker = _given(variables, BREAKER_PREFIX, BreakerRules)
        self._retry = _given(variables, RETRY_PREFIX, RetryRules)
        for dependency in {*DEPENDENCIES, *self._breaker, *self._retry} - {""}:
            self.breaker(dependency)
            self.retry(dependency)

    def breaker(self, dependency: str) -> BreakerRules:
        """When to stop asking a dependency."""
        return _rules(BreakerRules, dependency, BREAKER_DEFAULTS, self._breaker, BREAKER_PREFIX)

    def retry(self, dependency: str) -> RetryRules:
        """How to repeat calls to a dependency."""
        return _rules(RetryRules, dependency, RETRY_DEFAULTS, self._retry, RETRY_PREFIX)


def _given(variables: Mapping[str, str], prefix: str, kind: type[BaseModel]) -> dict[str, dict[str, str]]:
    """Dependency ("" for all) -> rule -> value as written."""
    found: dict[str, dict[str, str]] = {}
    for name, value in variables.items():
        if name.startswith(prefix):
            dependency, rule = _split(name, prefix, kind)
            found.setdefault(dependency, {})[rule] = value
    return found


def _split(name: str, prefix: str, kind: type[BaseModel]) -> tuple[str, str]:
    rest = name.removeprefix(prefix).lower()
    rules = sorted(kind.model_fields, key=len, reverse=True)
    rule = next((rule for rule in rules if rest == rule or rest.endswith(f"_{rule}")), None)
    if rule is None:
        raise SettingsError(
            f"the environment variable {name} names no rule",
            rule=f"{prefix}[DEPENDENCY_]RULE, where RULE is one of {', '.join(r.upper() for r in kind.model_fields)}",
            fix=_did_you_mean(rest, rules),
        )
    dependency = rest.removesuffix(rule).removesuffix("_")
    close = difflib.get_close_matches(dependency, DEPENDENCIES, n=1, cutoff=0.75)
    if dependency and dependency not in DEPENDENCIES and close:
        raise SettingsError(
            f"the environment variable {name} names the dependency {dependency!r}",
            rule=f"the product's own are {', '.join(DEPENDENCIES)}",
            fix=f"write {prefix}{close[0].upper()}_{rule.upper()}, or choose a name less like it for your own",
        )
    return dependency, rule


def _did_you_mean(written: str, rules: list[str]) -> str:
    close = difflib.get_close_matches(written, rules, n=1, cutoff=0.5)
    return f"did you mean {close[0].upper()}?" if close else "correct its name or remove it"


def _rules(
    kind: type[Rules],
    dependency: str,
    defaults: Mapping[str, Mapping[str, Any]],
    given: Mapping[str, Mapping[str, str]],
    prefix: str,
) -> Rules:
    family = dependency.partition(":")[0]
    # A variable for all dependencies stands above what the product thinks best for one of them.
    chosen = {**defaults.get(family, {}), **given.get("", {}), **given.get(family, {})}
    try:
        return kind.model_validate(chosen)
    except ValidationError as error:
        first = error.errors()[0]
        rule = str(first["loc"][0])
        own = f"{family.upper()}_" if rule in given.get(family, {}) else ""
        raise SettingsError(
            f"the environment variable {prefix}{own}{rule.upper()} is {first['input']!r}",
            rule=str(first["msg"]),
            fix="correct it, or remove it to have the default",
        ) from error
