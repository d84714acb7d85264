"""From one stored score back to model, run, rows, files and code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pynomaly_pipelines import __version__
from pynomaly_pipelines.operations.errors import DataError
from pynomaly_pipelines.resources.docs import DataDocs
from pynomaly_pipelines.stages import lineage
from pynomaly_pipelines.stages.lineage import Lineage
from tests.small_pipelines import ROWS, Trained


@pytest.fixture
def traced(shop: Trained, tmp_path: Path) -> Lineage:
    row = lineage.choose(shop.spec, shop.lake, key={"id": "17"})
    return lineage.trace(shop.spec, shop.lake, shop.registry, DataDocs(tmp_path), row)


def test_a_score_leads_to_its_model_run_and_rows(shop: Trained, traced: Lineage) -> None:
    stored = shop.scores().set_index("id").loc[17]
    assert (traced.score, traced.threshold, traced.scoring_run) == (stored["score"], stored["threshold"], "run-1")
    assert traced.row["_partition"] == "2025-01-01"
    assert (traced.row["_source"], traced.row["_row"]) == ("in/2025-01-01.csv", "17")
    champion = shop.registry.champion("shop")
    assert (traced.model.version, traced.model.mlflow_run) == (champion.number, champion.run_id)
    assert champion.run_id in traced.model.run_url
    assert traced.model.code_version.startswith(f"pynomaly-pipelines {__version__}, pipeline ")
    # Ten days of 60 rows in the first version of the table with rows in it: eight fitted, two held out.
    assert traced.training.table_version == 1
    assert traced.training.fitted_on == {f"2025-01-{day:02}": ROWS for day in range(1, 9)}
    assert traced.training.held_out == {"2025-01-09": ROWS, "2025-01-10": ROWS}


def test_later_data_does_not_change_what_a_model_was_trained_on(
    shop_copy: Trained, traced: Lineage, tmp_path: Path
) -> None:
    shop_copy.small.fill(shop_copy.lake)
    row = lineage.choose(shop_copy.spec, shop_copy.lake, row=("in/2025-01-01.csv", 17))
    again = lineage.trace(shop_copy.spec, shop_copy.lake, shop_copy.registry, DataDocs(tmp_path), row)
    assert shop_copy.lake.version("shop", "validated") == 2
    assert (again.training.table_version, again.training.fitted_on) == (1, traced.training.fitted_on)


def test_the_highest_score_of_a_partition(shop: Trained) -> None:
    row = lineage.choose(shop.spec, shop.lake, partition="2025-01-03")
    assert row["score"] == shop.scores("2025-01-03")["score"].max()


NOT_ONE = [
    ({"id": "9999"}, "no score of 'shop'"),
    ({"color": "red"}, "no column 'color'"),
    ({"_partition": "2025-01-01"}, "60 scores"),
]


@pytest.mark.parametrize(("key", "words"), NOT_ONE)
def test_a_row_that_is_not_one_is_told(shop: Trained, key: dict[str, str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        lineage.choose(shop.spec, shop.lake, key=key)


def test_it_is_told_to_programs_and_to_people(traced: Lineage) -> None:
    told = json.loads(traced.to_json())
    assert told["model"]["version"] == traced.model.version
    assert told["training"]["table_version"] == 1
    lines = dict(lineage.in_words(traced))
    assert lines["fitted on"].startswith("480 rows of 8 partitions, 2025-01-01 … 2025-01-08 in version 1 of ")
    assert lines["validation"] == "partition 2025-01-01: 60 valid rows, 0 quarantined; no Data Docs are kept"


def test_the_ui_gets_links(shop: Trained) -> None:
    told = lineage.markdown(shop.registry, shop.registry.champion("shop"), 1)
    assert f"](http://mlflow/#/models/shop/versions/{shop.registry.champion('shop').number})" in told
    assert "partitions 2025-01-01 … 2025-01-10 of `shop/validated@1`, held out from 2025-01-09" in told


def test_a_model_in_the_ui_links_what_it_was_trained_on(shop: Trained) -> None:
    champion = shop.registry.champion("shop")
    trained, code = lineage.training_markdown(shop.registry, champion).splitlines()
    assert f"[MLflow run]({shop.registry.run_url(champion)})" in trained
    assert "partitions 2025-01-01 … 2025-01-10 of" in trained
    assert trained.endswith("held out from 2025-01-09")
    assert __version__ in code
