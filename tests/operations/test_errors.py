"""One tree of errors: what was seen, the rule, the fix; the same on the other side of a process border."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from pynomaly_pipelines.operations import errors
from pynomaly_pipelines.operations.errors import PynomalyError, SpecError


def every(kind: type[PynomalyError] = PynomalyError) -> Iterator[type[PynomalyError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from every(child)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SpecError("a"), "a."),
        (SpecError("a", rule="b", fix="c"), "a. b. Fix: c."),
        (SpecError("a", rule="b.", fix="did you mean d?", where="f:3"), "f:3: a. b. Fix: did you mean d?"),
    ],
)
def test_a_message_is_problem_rule_and_fix(error: PynomalyError, message: str) -> None:
    assert str(error) == message


@pytest.mark.parametrize("kind", list(every()))
def test_an_error_survives_a_process_border(kind: type[PynomalyError]) -> None:
    error = kind("a", rule="b", fix="c", where="d")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert (again.problem, again.rule, again.fix, again.where) == ("a", "b", "c", "d")


def test_each_kind_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in every()]
    assert len(codes) == len(set(codes))


def test_bad_data_is_never_tried_again() -> None:
    data = {*every(errors.DataError), *every(errors.SpecError), *every(errors.SourceError)}
    away = {errors.SourceUnreachable, errors.SourceChanging}  # says nothing about the data
    assert {kind for kind in data if kind.retryable} == away


def test_the_tree_in_the_documentation_is_the_code() -> None:
    assert errors.__doc__ is not None
    for kind in every():
        assert kind.__name__ in errors.__doc__
