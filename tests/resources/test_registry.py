"""Models in the registry: one run each with everything on it, an artifact that is data, a cache, and clear errors."""

from __future__ import annotations

import json
import os
import pickletools
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.artifacts
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pynomaly_pipelines.operations.errors import NoChampion, RegistryError
from pynomaly_pipelines.resources.registry import CHAMPION, Registry, TrainedModel, Version
from tests.small_pipelines import Trained

FEATURES = ["amount", "tax", "items", "country", "gift"]


def client(pipeline: Trained) -> MlflowClient:
    return MlflowClient(pipeline.registry.tracking_uri)


def files(pipeline: Trained, version: Version) -> Path:
    """The folder of a version's own artifact."""
    # `models:/` sources are resolved by the process-wide setting, which another test may have left elsewhere.
    mlflow.set_tracking_uri(pipeline.registry.tracking_uri)
    found = mlflow.artifacts.download_artifacts(version.source, tracking_uri=pipeline.registry.tracking_uri)
    return Path(found)


# ------------------------------------------------------------------------------------------ what is registered


def test_one_run_per_model(shop: Trained) -> None:
    experiment = client(shop).get_experiment_by_name("shop")
    assert experiment is not None
    runs = client(shop).search_runs([experiment.experiment_id])
    assert sorted(run.info.run_id for run in runs) == sorted(version.run_id for version in shop.versions)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_run_has_parameters_metrics_and_environment(shop: Trained) -> None:
    run = client(shop).get_run(shop.versions[0].run_id)
    told = run.data.params
    assert told["detector.n_estimators"] == "25"
    assert (told["rows"], told["rows_holdout"], told["seed"]) == ("480", "120", "0")
    assert told["partitions"] == "2025-01-01 … 2025-01-10"
    assert told["env.numpy"] == np.__version__
    assert told["env.python"].startswith("3.")
    assert run.data.metrics["rows_fitted"] == 480
    assert run.data.metrics["fit_seconds"] > 0
    # The evaluation added its own.
    assert {"average_precision", "roc_auc", "alert_rate", "injected_auc_extreme", "stability"} <= set(run.data.metrics)


def test_a_run_has_card_plots_and_evaluation(shop: Trained) -> None:
    run_id = shop.versions[0].run_id
    assert [item.path for item in client(shop).list_artifacts(run_id, "evaluation")] == ["evaluation/evaluation.json"]
    plots = {Path(item.path).name for item in client(shop).list_artifacts(run_id, "plots")}
    assert plots == {"training_scores.png", "holdout_scores.png", "precision_recall.png"}
    card = mlflow.artifacts.load_text(client(shop).get_run(run_id).info.artifact_uri + "/model_card.md")
    assert "IForest" in card
    assert card == shop.registry.load(shop.versions[0]).card()


def test_the_model_has_a_signature_and_an_example(shop: Trained) -> None:
    from mlflow.models import Model

    folder = files(shop, shop.versions[0])
    model = Model.load(folder / "MLmodel")
    assert model.signature is not None
    assert model.signature.inputs.input_names() == FEATURES
    assert model.signature.outputs.input_names() == ["score", "raw_score"]
    example = json.loads((folder / "input_example.json").read_text())
    assert example["columns"] == FEATURES
    assert len(example["data"]) == 5


def test_a_version_is_described(shop: Trained) -> None:
    found = client(shop).get_model_version("shop", "1")
    assert "IForest" in found.description
    assert client(shop).get_registered_model("shop").description == "Detectors of the pipeline shop."


def test_the_artifact_holds_no_pickle(shop: Trained) -> None:
    folder = files(shop, shop.versions[0])
    listed = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in listed} <= {".json", ".npz", ".yaml", ".yml", ".txt", ".md", ".png", ""}
    for path in listed:
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents = [archive.read(name) for name in archive.namelist()]
                assert all(content.startswith(b"\x93NUMPY") for content in contents)
        for content in contents:
            assert not is_pickle(content), path


def is_pickle(content: bytes) -> bool:
    try:
        return any(operation.name == "STOP" for operation, *_ in pickletools.genops(content))
    except ValueError:
        return False


def test_a_pickle_would_be_seen() -> None:
    import pickle

    assert is_pickle(pickle.dumps({"a": 1}))


# ----------------------------------------------------------------------------------------------- loading it

FRESH = """
import json, sys
import numpy as np, pandas as pd
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(f"models:/{sys.argv[2]}@champion")
frame = pd.read_parquet(sys.argv[3])
found = model.predict(frame)
print(json.dumps({"columns": list(found.columns), "index": list(found.index),
                  "scores": [value.hex() for value in found["score"].astype(float)],
                  "raw": [value.hex() for value in found["raw_score"].astype(float)],
                  "heavy": sorted({"pyod", "sklearn.ensemble"} & set(sys.modules))}))
"""


def predicted_elsewhere(pipeline: Trained, frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """What a process that knows only MLflow and the installed package gets for these rows."""
    frame.to_parquet(folder / "rows.parquet")
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    arguments = [pipeline.registry.tracking_uri, pipeline.spec.name, str(folder / "rows.parquet")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FRESH, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_records_are_scored_through_mlflow_bit_for_bit(shop: Trained, tmp_path: Path) -> None:
    rows = shop.small.rows[FEATURES].iloc[[480, 3, 17, 599]]
    found = predicted_elsewhere(shop, rows, tmp_path)
    stored = shop.scores().set_index("id")
    assert found["columns"] == ["score", "raw_score"]
    assert found["index"] == [480, 3, 17, 599]
    assert found["scores"] == [float(stored.loc[row, "score"]).hex() for row in rows.index]
    assert found["raw"] == [float(stored.loc[row, "raw_score"]).hex() for row in rows.index]
    assert found["heavy"] == []


@pytest.mark.slow
def test_series_are_scored_through_mlflow_bit_for_bit(meters: Trained, tmp_path: Path) -> None:
    stored = meters.scores()
    points = stored.rename(columns={"at": "timestamp"})[["timestamp", "series", "value"]]
    naive = points.assign(timestamp=points["timestamp"].dt.tz_localize(None))
    found = predicted_elsewhere(meters, naive, tmp_path)
    expected = [float(value).hex() for value in stored["score"]]
    assert found["scores"] == expected


def test_the_loaded_scorer_is_the_fitted_one(shop: Trained) -> None:
    loaded = shop.registry.load(shop.versions[0])
    assert (loaded.detector, loaded.rows_fitted) == ("IForest", 480)
    assert [column.name for column in loaded.columns] == FEATURES


# ---------------------------------------------------------------------------------------------------- cache


def with_cache(pipeline: Trained, cache: Path | None) -> Registry:
    return Registry(pipeline.registry.tracking_uri, pipeline.registry.artifacts, "", cache)


def test_the_cache_is_filled_once(shop: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = with_cache(shop, tmp_path / "cache")
    first = registry.load(shop.versions[0])

    def refuse(*_: object, **__: object) -> Path:
        raise AssertionError("downloaded again")

    monkeypatch.setattr(registry, "_download", refuse)
    again = registry.load(shop.versions[0])
    rows = shop.small.rows[FEATURES].head(20)
    np.testing.assert_array_equal(first.score(rows), again.score(rows))
    assert [path.name for path in (tmp_path / "cache" / "shop").iterdir()] == [f"1-{shop.versions[0].run_id}"]


def test_many_may_fill_the_cache_at_once(shop: Trained, tmp_path: Path) -> None:
    registry = with_cache(shop, tmp_path / "cache")
    rows = shop.small.rows[FEATURES].head(20)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: registry.load(shop.versions[0]).score(rows), range(4)))
    for scores in found[1:]:
        np.testing.assert_array_equal(scores, found[0])
    assert len(list((tmp_path / "cache" / "shop").iterdir())) == 1


def test_without_a_cache_the_artifact_is_fetched_each_time(shop: Trained) -> None:
    rows = shop.small.rows[FEATURES].head(20)
    found = with_cache(shop, None).load(shop.versions[0]).score(rows)
    np.testing.assert_array_equal(found, shop.registry.load(shop.versions[0]).score(rows))


def test_an_altered_file_in_the_cache_is_fetched_again(shop: Trained, tmp_path: Path) -> None:
    registry = with_cache(shop, tmp_path / "cache")
    registry.load(shop.versions[0])
    (arrays,) = (tmp_path / "cache").rglob("arrays.npz")
    arrays.write_bytes(arrays.read_bytes()[:-10])
    kept = arrays.read_bytes()
    registry.load(shop.versions[0])
    assert len(arrays.read_bytes()) == len(kept) + 10


# --------------------------------------------------------------------------------------------------- errors


def registered(shop: Trained, registry: Registry) -> Version:
    """The shop's model once more, in a registry with artifacts of its own."""
    scorer = shop.registry.load(shop.versions[0])
    model = TrainedModel(scorer, shop.small.rows[FEATURES].head(5), {}, {"threshold": "0.5"}, {}, {})
    return registry.register("shop", model)


def test_a_missing_artifact_is_told(shop: Trained, registry: Registry) -> None:
    version = registered(shop, registry)
    shutil.rmtree(registry.artifacts)
    with pytest.raises(RegistryError, match="the artifacts of version 1 of 'shop'"):
        registry.load(version)


def test_an_artifact_without_its_scorer_is_told(shop: Trained, registry: Registry) -> None:
    version = registered(shop, registry)
    (folder,) = Path(registry.artifacts).rglob("scorer")
    shutil.rmtree(folder)
    with pytest.raises(RegistryError, match="the artifacts of version 1 of 'shop'"):
        registry.load(version)


def test_a_registering_that_fails_leaves_a_failed_run(
    shop: Trained, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> int:
        raise OSError("no space left")

    monkeypatch.setattr(registry, "_log_and_register", break_down)
    with pytest.raises(OSError, match="no space left"):
        registered(shop, registry)
    mlflow_client = MlflowClient(registry.tracking_uri)
    experiment = mlflow_client.get_experiment_by_name("shop")
    assert experiment is not None
    (run,) = mlflow_client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert registry.versions("shop") == []


def test_what_is_not_there(registry: Registry, shop: Trained) -> None:
    assert registry.aliased("shop", CHAMPION) is None
    assert registry.versions("shop") == []
    with pytest.raises(NoChampion, match="pynomaly run shop"):
        registry.champion("shop")
    with pytest.raises(RegistryError, match="no model version 9"):
        shop.registry.version("shop", 9)
    assert shop.registry.aliased("shop", "nobody") is None


def test_a_foreign_version_has_no_threshold(shop: Trained) -> None:
    foreign = replace(shop.versions[0], tags={})
    assert foreign.detector == "?"
    with pytest.raises(RegistryError, match="no tag `threshold`"):
        _ = foreign.threshold


# ------------------------------------------------------------------------------------- versions, tags, links


def test_versions_come_newest_first(shop: Trained) -> None:
    assert [version.number for version in shop.registry.versions("shop")] == [2, 1]


def test_a_long_tag_is_cut_visibly(shop_copy: Trained) -> None:
    shop_copy.registry.tag(shop_copy.versions[0], {"note": "x" * 6000})
    told = shop_copy.registry.version("shop", 1).tags["note"]
    assert told.endswith("(cut)")
    assert len(told) < 5000


def test_an_alias_moves(shop_copy: Trained) -> None:
    registry = shop_copy.registry
    registry.point("tried", registry.version("shop", 1))
    registry.point("tried", registry.version("shop", 2))
    found = registry.aliased("shop", "tried")
    assert found is not None
    assert found.number == 2
    registry.unpoint("tried", "shop")
    registry.unpoint("tried", "shop")
    assert registry.aliased("shop", "tried") is None


def test_links_lead_to_the_ui(shop: Trained) -> None:
    version = shop.versions[0]
    assert shop.registry.version_url(version) == "http://mlflow/#/models/shop/versions/1"
    assert shop.registry.run_url(version).endswith(f"/runs/{version.run_id}")
    assert shop.registry.run_url(version).startswith("http://mlflow/#/experiments/")


def test_rows_fitted(shop: Trained) -> None:
    assert shop.registry.rows_fitted(shop.versions[0]) == 480


def test_a_registry_makes_its_own_folder(tmp_path: Path, new_registry: Callable[[Path], Registry]) -> None:
    made = new_registry(tmp_path / "deep" / "inside")
    assert made.versions("shop") == []
