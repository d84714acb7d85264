"""A champion from before a drift: when the gate holds it to be outlived, and what it asks of a challenger then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.gate.beside import Pair, _deciding
from pynomaly_pipelines.stages.gate.decision import Contender, _outlived
from pynomaly_pipelines.stages.gate.statistics import Difference
from pynomaly_pipelines.stages.promotion.registration import contender
from pynomaly_pipelines.stages.training import Window
from tests.small_pipelines import Trained


def drifted(pipeline: Trained, since: str, source: exclusions.Source = "drift") -> Window:
    """A window of a training that left out what came before a partition."""
    spec, lake = pipeline.spec, pipeline.lake
    calendar = Calendar(spec)
    first, start = calendar.first().start, calendar.partition(since).start
    assert first is not None
    assert start is not None
    exclusions.add(spec, lake, [exclusions.Exclusion(first, start, {}, "shift", "", source)])
    window = Window.from_json(pipeline.registry.version("shop", 1).tags["window"], lake, "shop")
    return replace(window, exclusions=lake.version("shop", exclusions.NOUN))


def champion(pipeline: Trained, *fitted_on: str) -> Contender:
    return replace(
        contender(pipeline.lake, pipeline.registry, pipeline.registry.version("shop", 1)), fitted_on=fitted_on
    )


def test_a_champion_is_outlived_when_all_it_was_fitted_on_is_past(shop_copy: Trained) -> None:
    window = drifted(shop_copy, "2025-01-05")
    old = champion(shop_copy, "2025-01-03", "2025-01-04")
    assert _outlived(shop_copy.spec, shop_copy.lake, window, old) == "2025-01-05"
    newer = champion(shop_copy, "2025-01-04", "2025-01-05")
    assert _outlived(shop_copy.spec, shop_copy.lake, window, newer) == ""


def test_what_people_left_out_outlives_no_champion(shop_copy: Trained) -> None:
    window = drifted(shop_copy, "2025-01-05", "manual")
    assert _outlived(shop_copy.spec, shop_copy.lake, window, champion(shop_copy, "2025-01-03")) == ""


def test_a_window_from_before_the_drift_knows_nothing_of_it(shop_copy: Trained) -> None:
    window = replace(drifted(shop_copy, "2025-01-05"), exclusions=None)
    assert _outlived(shop_copy.spec, shop_copy.lake, window, champion(shop_copy, "2025-01-03")) == ""


@pytest.mark.parametrize(("lower", "passed"), [(0.01, True), (0.03, False)])
def test_the_figure_decides_against_an_outlived_champion(shop: Trained, lower: float, passed: bool) -> None:
    nothing: Any = None
    pair = Pair(shop.spec, nothing, nothing, nothing, outlived="2025-01-05")
    # The interval reaches far below the tolerance of 0.02, as it does with few rows.
    found = Difference(0.75 - lower, 0.75, -0.2, 0.2)
    criterion = _deciding(pair, "injected anomalies", "mean ROC AUC", found)
    assert criterion.passed == passed
    assert "before the drift of 2025-01-05" in criterion.sentence
    assert not _deciding(replace(pair, outlived=""), "injected anomalies", "mean ROC AUC", found).passed
