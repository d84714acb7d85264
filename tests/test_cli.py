"""The `pynomaly` command in a project of the user's own: what it says, what it leaves behind, how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click.testing
import dagster as dg
import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines import __version__, specfile
from pynomaly_pipelines.cli import main
from pynomaly_pipelines.resources.tables import Lake

HEAD = f"type: {specfile.COMPONENT}\nattributes:\n"
ORDERS = f"""{HEAD}\
  source: {{type: csv, path: "landing/orders/%Y-%m-%d.csv"}}
  time: at
  partition: daily
  start: 2025-03-01
  end: 2025-04-01
  key: id
  expectations:
    - expect_column_values_to_not_be_null: {{column: amount}}
  training:
    min_rows: 100
    detectors: [HBOS, IForest: {{n_estimators: 20}}]
"""
DAYS = [f"2025-03-0{day}" for day in range(1, 7)]
ROWS = 60


@dataclass(frozen=True)
class Shell:
    """A project folder and the command run in it, within this process."""

    folder: Path

    def __call__(self, *arguments: str) -> click.testing.Result:
        before = Path.cwd()
        try:
            return click.testing.CliRunner().invoke(main, arguments, env={"PYNOMALY_PROJECT": str(self.folder)})
        finally:
            # A run makes the project its working folder.
            os.chdir(before)

    def fine(self, *arguments: str) -> str:
        """What it wrote to standard output; it must have ended well."""
        result = self(*arguments)
        assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
        return result.stdout

    def error(self, *arguments: str) -> str:
        """The one line it ended with."""
        result = self(*arguments)
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        last = result.stderr.strip().splitlines()[-1]
        assert last.startswith("Error: ")
        return last.removeprefix("Error: ")

    def scores(self, pipeline: str, *options: str) -> pd.DataFrame:
        self.fine("scores", pipeline, "--format", "parquet", "--output", str(self.folder / "out.parquet"), *options)
        return pd.read_parquet(self.folder / "out.parquet")

    def pipeline(self, name: str, text: str) -> Path:
        path = self.folder / "shop" / "defs" / name / "defs.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


def day(folder: Path, key: str, rows: int = ROWS, *, dirt: int = 0) -> None:
    """One day's file; the first `dirt` rows have no amount."""
    rng = np.random.default_rng(int(key.replace("-", "")))
    amount = rng.gamma(4.0, 10.0, rows)
    frame = pd.DataFrame(
        {
            "id": int(key[-2:]) * 1000 + np.arange(rows),
            "at": pd.date_range(f"{key}T00:00:00", periods=rows, freq="20min").strftime("%Y-%m-%dT%H:%M:%SZ"),
            "amount": amount.round(2),
            "tax": (0.2 * amount + rng.normal(0, 0.2, rows)).round(2),
            "country": rng.choice(["DE", "FR"], rows),
        }
    )
    frame.loc[frame.index < dirt, "amount"] = np.nan
    file = folder / "landing" / "orders" / f"{key}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(file, index=False)
    os.utime(file, (1_741_000_000, 1_741_000_000))


def project(folder: Path, registry: Path) -> Shell:
    (folder / "shop" / "defs").mkdir(parents=True)
    (folder / ".pynomaly").mkdir()
    shutil.copy(registry, folder / ".pynomaly" / "registry.db")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "shop"\n', encoding="utf-8")
    return Shell(folder)


@pytest.fixture(scope="session")
def orders(tmp_path_factory: pytest.TempPathFactory, migrated_registry: Path) -> Shell:
    """A project with six days of orders, run once. Read only."""
    shell = project(tmp_path_factory.mktemp("project"), migrated_registry)
    shell.pipeline("orders", ORDERS)
    for key in DAYS:
        day(shell.folder, key, dirt=1 if key == "2025-03-05" else 0)
    shell.fine("run", "orders")
    return shell


@pytest.fixture
def mine(orders: Shell, tmp_path: Path) -> Shell:
    """The same with a copy of everything, to be changed."""
    shutil.copytree(orders.folder, tmp_path / "project")
    return Shell(tmp_path / "project")


@pytest.fixture
def empty(tmp_path: Path, migrated_registry: Path) -> Shell:
    return project(tmp_path / "project", migrated_registry)


@pytest.fixture(autouse=True)
def _same_folder() -> Iterator[None]:
    before = Path.cwd()
    yield
    os.chdir(before)


# --------------------------------------------------------------------------------------------------- basics


def test_version_and_help(empty: Shell) -> None:
    assert __version__ in empty.fine("--version")
    told = empty.fine("--help")
    assert all(command in told for command in ("run", "scores", "new", "check", "rollback", "models", "up", "schema"))


def test_an_unknown_option_is_a_usage_error(empty: Shell) -> None:
    result = empty("run", "orders", "--partitoin", "x")
    assert result.exit_code == 2
    assert "--partition" in result.stderr


def test_schema_is_the_committed_one(empty: Shell) -> None:
    committed = Path(__file__).parents[1] / "docs" / "reference" / "pipeline.schema.json"
    assert empty.fine("schema") == committed.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------- check


def test_check_says_that_all_is_well(orders: Shell) -> None:
    assert orders.fine("check") == "1 files, no problems\n"


def test_check_tells_every_problem_with_its_line(empty: Shell) -> None:
    good = '  source: {type: csv, path: "a.csv"}\n'
    first = empty.pipeline("a", f"{HEAD}{good}  partitoin: daily\n  reasons: 99\n")
    second = empty.pipeline("b", f"{HEAD}{good}  training:\n    detectors:\n      - auto\n      - IForrest\n")
    third = empty.pipeline("c", f"{HEAD}{good}  expectations:\n    - expect_colum_values_to_be_unique: {{column: a}}\n")
    fourth = empty.pipeline("d", f"{HEAD}{good}  time: at\n  labels:\n    events: none.csv\n")
    result = empty("check")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{first}:4",
        f"{first}:5",
        f"{second}:7",
        f"{third}:5",
        f"{fourth}:6",
    ]
    assert "did you mean `partition`" in lines[0]
    assert "IForest" in lines[2]
    assert "expect_column_values_to_be_unique" in lines[3]
    assert "none.csv" in lines[4]
    assert result.stderr == "Error: 5 problems in 4 files\n"


def test_a_broken_pipeline_does_not_hold_up_the_others(mine: Shell) -> None:
    path = mine.pipeline("broken", f"{HEAD}  sorce: x\n")
    assert "HBOS" in mine.fine("models", "orders")
    assert f"{path}:3: `source` is missing" in mine.error("run", "broken")


# ------------------------------------------------------------------------------------------------------ run


def test_run_ends_with_a_table_of_what_happened(mine: Shell) -> None:
    (line,) = [line for line in mine.fine("run", "orders", "--no-train").splitlines() if "orders" in line]
    cells = [cell.strip() for cell in line.strip("│| ").split("│")]
    # 360 rows, one of them without an amount; all days are in the training window.
    assert cells[:4] == ["orders", "360", "1", str(int(cells[3]))]
    assert cells[4].startswith("version ")
    assert cells[5] == "359"


def test_every_day_was_scored(orders: Shell) -> None:
    found = orders.scores("orders")
    assert found["_partition"].value_counts().to_dict() == {
        **dict.fromkeys(DAYS, ROWS),
        "2025-03-05": ROWS - 1,
    }
    assert found["score"].between(0, 1).all()
    assert found["id"].is_unique


def test_a_partition_is_run_alone_and_again(mine: Shell) -> None:
    day(mine.folder, "2025-03-07")
    for _ in range(2):
        mine.fine("run", "orders", "--partition", "2025-03-07")
    found = mine.scores("orders")
    assert (found["_partition"] == "2025-03-07").sum() == ROWS
    assert len(found) == 7 * ROWS - 1
    # The champion was there: no second training.
    assert mine.fine("models", "orders").count("HBOS") == 1


def test_a_range_is_run_and_what_was_refused_in_it_is_told(mine: Shell) -> None:
    day(mine.folder, "2025-03-07")
    # The 8th has no file, and no row of the 9th is valid.
    day(mine.folder, "2025-03-09", dirt=ROWS)
    day(mine.folder, "2025-03-10")
    result = mine("run", "orders", "--from", "2025-03-07", "--to", "2025-03-10")
    assert result.exit_code == 1, result.output
    assert "partition 2025-03-08 was not scored: no file" in result.stderr
    assert "partition 2025-03-09 was not scored" in result.stderr
    # The reason, not the machinery's name for it.
    assert "Dagster" not in result.stderr
    assert "2 of the chosen partitions were not scored" in result.stderr
    assert set(mine.scores("orders")["_partition"]) == {*DAYS, "2025-03-07", "2025-03-10"}


def test_a_file_torn_later_in_a_range_is_told_and_its_old_rows_are_not_scored_again(mine: Shell) -> None:
    before = mine.scores("orders").set_index("_partition")["scored_at"]
    (mine.folder / "landing" / "orders" / "2025-03-02.csv").write_bytes(b"")
    result = mine("run", "orders", "--from", "2025-03-01", "--to", "2025-03-03", "--no-train")
    assert result.exit_code == 1
    assert "partition 2025-03-02 was not scored" in result.stderr
    after = mine.scores("orders").set_index("_partition")["scored_at"]
    assert (after["2025-03-02"] == before["2025-03-02"]).all()
    assert (after["2025-03-01"] > before["2025-03-01"].max()).all()
    assert (after["2025-03-03"] > before["2025-03-03"].max()).all()


def test_train_makes_new_versions(mine: Shell) -> None:
    mine.fine("run", "orders", "--partition", "2025-03-02", "--train")
    assert mine.fine("models", "orders").count("HBOS") == 2


def test_without_a_champion_nothing_is_scored(empty: Shell) -> None:
    empty.pipeline("orders", ORDERS)
    day(empty.folder, "2025-03-01")
    told = empty.error("run", "orders")
    assert "60 valid rows" in told
    assert "training.min_rows" in told
    assert "does not exist" in empty.error("scores", "orders")
    assert "no champion" in empty.error("rollback", "orders")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--partition", "2025-13-01"], ["2025-13-01", "look like '2025-03-01'"]),
        (["--partition", "2025-3-1"], ["2025-3-1", "look like '2025-03-01'"]),
        (["--partition", "2025-02-28"], ["2025-02-28", "first is '2025-03-01'"]),
        (["--partition", "2025-04-01"], ["2025-04-01", "ends before '2025-04-01'"]),
        (["--partition", "2025-03-20"], ["2025-03-20"]),
        (["--from", "2025-03-05", "--to", "2025-03-02"], ["2025-03-05", "runs backwards"]),
        (["--to", "2025-04-02"], ["2025-04-02", "does not exist"]),
    ],
)
def test_a_partition_that_cannot_be_run_is_told(mine: Shell, options: list[str], words: list[str]) -> None:
    told = mine.error("run", "orders", *options)
    assert all(word in told for word in words), told


def test_one_partition_or_a_range_not_both(orders: Shell) -> None:
    result = orders("run", "orders", "--partition", "2025-03-01", "--to", "2025-03-02")
    assert result.exit_code == 2


def test_an_unknown_pipeline_is_told_with_the_nearest(orders: Shell) -> None:
    for command in ("run", "scores", "models", "rollback"):
        assert "did you mean 'orders'?" in orders.error(command, "order")


def test_no_file_at_all(empty: Shell) -> None:
    empty.pipeline("orders", ORDERS)
    told = empty.error("run", "orders")
    assert "landing/orders" in told


# --------------------------------------------------------------------------------------------------- scores


def test_scores_as_a_table(orders: Shell) -> None:
    lines = orders.fine("scores", "orders", "--top", "3").splitlines()
    assert sum("2025-03-0" in line for line in lines) == 3
    assert "reasons" in lines[1]


def test_scores_as_csv_json_and_parquet_agree(orders: Shell, tmp_path: Path) -> None:
    stored = orders.scores("orders")
    assert stored["score"].is_monotonic_decreasing
    csv = pd.read_csv(io.StringIO(orders.fine("scores", "orders", "--format", "csv")))
    lines = [json.loads(line) for line in orders.fine("scores", "orders", "--format", "json").splitlines()]
    assert csv["id"].tolist() == [line["id"] for line in lines] == stored["id"].tolist()
    assert csv["score"].tolist() == [line["score"] for line in lines] == stored["score"].tolist()
    out = tmp_path / "deep" / "scores.csv"
    assert orders.fine("scores", "orders", "--format", "csv", "--output", str(out), "--top", "5") == ""
    assert len(pd.read_csv(out)) == 5


def test_scores_of_partitions(orders: Shell) -> None:
    found = orders.scores("orders", "--partition", "2025-03-02", "--partition", "2025-03-04")
    assert set(found["_partition"]) == {"2025-03-02", "2025-03-04"}
    assert "2025-3-2" in orders.error("scores", "orders", "--partition", "2025-3-2")


def test_a_table_does_not_go_into_a_file(orders: Shell, tmp_path: Path) -> None:
    result = orders("scores", "orders", "--output", str(tmp_path / "x"))
    assert result.exit_code == 2
    assert "--format" in result.stderr


# ---------------------------------------------------------------------------------------- models and rollback


def test_models_shows_versions_aliases_and_the_gate(orders: Shell) -> None:
    told = orders.fine("models", "orders")
    assert "champion" in told
    assert "challenger" in told
    assert "promoted: there is no champion to beat" in told
    assert "champions of orders" in told
    assert "promoted by the gate" in told


def test_a_verdict_is_repeated(orders: Shell) -> None:
    told = orders.fine("evaluate", "orders")
    assert "the figures are those kept with the version" in told
    assert "rows of 2025-03-0" in told
    assert "no model version 99" in orders.error("evaluate", "orders", "--version", "99")


def test_one_score_is_followed_to_its_file(orders: Shell) -> None:
    told = orders.fine("lineage", "orders", "--partition", "2025-03-03")
    assert re.search(r"file +landing/.*2025-03-03.csv \(content [0-9a-f]{12}, \d+ rows\)", told)
    assert re.search(r"model +version \d", told)
    assert re.search(r"validation +partition 2025-03-03: .*errors 0.*html", told)
    assert re.search(r"its files +6: ", told)
    found = json.loads(orders.fine("lineage", "orders", "--partition", "2025-03-03", "--format", "json"))
    assert found["scoring_run"]
    place = f"{found['row']['_source']}:{found['row']['_row']}"
    assert json.loads(orders.fine("lineage", "orders", "--row", place, "--format", "json")) == found
    assert "COLUMN=VALUE" in orders("lineage", "orders", "--key", "17").stderr


def champion_events(folder: Path) -> list[str]:
    """How each champion came, by Dagster's event log, the latest first."""
    with dg.DagsterInstance.from_config(str(folder / ".pynomaly" / "dagster")) as instance:
        records = instance.fetch_materializations(dg.AssetKey(["orders", "champion"]), limit=10).records
    events = [record.asset_materialization for record in records]
    return [event.description or "by a run" for event in events if event is not None]


def test_promote_and_rollback_are_one_command_each_and_leave_a_trace(mine: Shell) -> None:
    first = str(mine.scores("orders")["model_version"].iloc[0])
    other = {"1": "2", "2": "1"}[first]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGNAME", "ann")
        told = mine.fine("promote", "orders", other, "--reason", "finds more")
        assert f"champion of orders: version {first} -> version {other}" in told
        assert "partitions carry scores of other versions" in told
        told = mine.fine("rollback", "orders", "--reason", "too many alerts", "--rescore")
    assert f"version {other} -> {first}" in told
    # Nothing was scored by the other, so nothing is scored again.
    assert "scored again" not in told
    told = mine.fine("models", "orders")
    for word in ("promoted by a person", "rolled back", "ann", "finds more", "too many alerts"):
        assert word in told
    assert champion_events(mine.folder) == ["by ann", "by ann", "by a run"]
    assert "replaced no champion" in mine.error("rollback", "orders")
    assert "is the champion" in mine.error("promote", "orders", first)
    told = mine.fine("promote", "orders", other, "--rescore")
    assert re.search(r"scored again: (\d+) of \1 partitions", told)
    assert set(mine.scores("orders")["model_version"]) == {int(other)}


# ----------------------------------------------------------------------------------------------- quarantine


def test_quarantine_shows_reasons_and_rows(orders: Shell) -> None:
    told = orders.fine("quarantine", "orders")
    assert "1 rows of orders in quarantine, in 1 partitions" in told
    assert "expect_column_values_to_not_be_null(amount)" in told
    assert "2025-03-05.csv:2" in told
    assert "nothing of orders is in quarantine" in orders.fine("quarantine", "orders", "--reason", "between")
    assert "nothing of orders is in quarantine" in orders.fine("quarantine", "show", "orders", "--partition", DAYS[0])


def test_a_release_brings_rows_back_and_scores_them_once(mine: Shell) -> None:
    mine.pipeline("orders", ORDERS.replace("{column: amount}", "{column: tax}"))
    told = mine.fine("quarantine", "release", "orders", "--expectation", "expect_column_values_to_not_be_null")
    assert "scored: 2025-03-05" in told
    assert len(mine.scores("orders", "--partition", "2025-03-05")) == ROWS
    scored_at = mine.scores("orders")["scored_at"].max()
    assert "nothing of orders is in quarantine" in mine.fine("quarantine", "release", "orders")
    assert mine.scores("orders")["scored_at"].max() == scored_at


def test_a_row_that_is_accepted_is_scored_and_the_run_says_by_whom(mine: Shell) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGNAME", "ann")
        row = mine.fine("quarantine", "orders").split("│ ")[-5].split()[0]
        assert "without a reason" in mine.error("quarantine", "release", "orders", "--accept", row)
        told = mine.fine("quarantine", "release", "orders", "--accept", row, "--reason", "a gift")
    assert "scored: 2025-03-05" in told
    assert len(mine.scores("orders", "--partition", "2025-03-05")) == ROWS
    history = Lake(str(mine.folder / ".pynomaly" / "lake")).history("orders", "validated", 1)[0]
    assert (history["released by"], history["reason"]) == ("ann", "a gift")
    with dg.DagsterInstance.from_config(str(mine.folder / ".pynomaly" / "dagster")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["orders", "quarantine"]))
        validated = instance.get_latest_materialization_event(dg.AssetKey(["orders", "validated"]))
    assert event is not None
    assert event.asset_materialization is not None
    assert validated is not None
    assert validated.asset_materialization is not None
    linked = validated.asset_materialization.metadata["data_docs"].value
    assert linked == (mine.folder / ".pynomaly" / "data_docs" / "orders" / "2025-03-05.html").as_uri()
    metadata = event.asset_materialization.metadata
    assert (metadata["released_by"].value, metadata["released"].value) == ("ann", 1)
    page = mine.fine("docs", "orders", "--partition", "2025-03-05").strip()
    assert "Accepted." in Path(page).read_text(encoding="utf-8")


def test_a_release_reads_files_again_whose_rows_were_rejected(mine: Shell) -> None:
    landed = mine.folder / "landing" / "orders" / f"{DAYS[0]}.csv"
    rows = pd.read_csv(landed)
    rows["amount"] = [f"{amount:.2f} EUR" for amount in rows["amount"]]
    rows.to_csv(landed, index=False)
    assert "EUR' is not a number (`pynomaly quarantine orders" in mine.error("run", "orders", "--partition", DAYS[0])
    told = mine.fine("quarantine", "orders", "--partition", DAYS[0], "--rows", "0")
    assert "rejected at ingestion: amount is not a number" in told
    # The source is mended; nothing else is said than "release".
    rows["amount"] = [amount.removesuffix(" EUR") for amount in rows["amount"]]
    rows.to_csv(landed, index=False)
    told = mine.fine("quarantine", "release", "orders", "--partition", DAYS[0])
    assert f"scored: {DAYS[0]}" in told
    assert len(mine.scores("orders", "--partition", DAYS[0])) == ROWS


def test_a_release_without_a_fix_changes_nothing(mine: Shell) -> None:
    scored_at = mine.scores("orders")["scored_at"].max()
    told = mine.fine("quarantine", "release", "orders")
    assert "1 stay: expect_column_values_to_not_be_null(amount)" in told
    assert "scored: nothing, as nothing changed" in told
    assert mine.scores("orders")["scored_at"].max() == scored_at


# ------------------------------------------------------------------------------------------------------ new


def test_a_new_pipeline_runs_as_it_was_written(empty: Shell) -> None:
    rng = np.random.default_rng(1)
    people = pd.DataFrame({"height": rng.normal(170, 9, 300).round(1), "weight": rng.normal(70, 8, 300).round(1)})
    people.to_csv(empty.folder / "people.csv", index=False)
    os.utime(empty.folder / "people.csv", (1_741_000_000, 1_741_000_000))
    told = empty.fine("new", "people", "--from", str(empty.folder / "people.csv"))
    path = empty.folder / "shop" / "defs" / "people" / "defs.yaml"
    assert told.strip() == path.read_text(encoding="utf-8").strip()
    assert empty.fine("check") == "1 files, no problems\n"
    assert "300" in empty.fine("run", "people")
    found = empty.scores("people")
    assert len(found) == 300
    assert set(found["_partition"]) == {"all"}
    assert "does not exist" in empty.error("run", "people", "--from", "2025-01-01")


def test_new_never_overwrites(orders: Shell) -> None:
    before = (orders.folder / "shop" / "defs" / "orders" / "defs.yaml").read_text(encoding="utf-8")
    told = orders.error("new", "orders", "--from", str(orders.folder / "landing" / "orders" / "2025-03-01.csv"))
    assert "never overwritten" in told
    assert (orders.folder / "shop" / "defs" / "orders" / "defs.yaml").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("name", ["Shop", "../shop", "1st", "a b", ""])
def test_new_takes_only_names_of_pipelines(orders: Shell, name: str) -> None:
    source = str(orders.folder / "landing" / "orders" / "2025-03-01.csv")
    assert "can't name a pipeline" in orders.error("new", name, "--from", source)


def test_new_of_a_file_that_is_not_there(empty: Shell, tmp_path: Path) -> None:
    assert "none.csv" in empty.error("new", "shop", "--from", str(tmp_path / "none.csv"))
    assert "'.xlsx'" in empty.error("new", "shop", "--from", str(tmp_path / "a.xlsx"))
    assert list((empty.folder / "shop" / "defs").iterdir()) == []


def test_new_writes_a_path_the_project_finds(empty: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    pd.DataFrame({"a": np.arange(30) * 1.5, "b": np.arange(30) % 7}).to_csv(tmp_path / "elsewhere" / "x.csv")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert str(tmp_path / "elsewhere" / "x.csv") in empty.fine("new", "numbers", "--from", "x.csv")


# -------------------------------------------------------------------------------------------- the real program


def pynomaly(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("pynomaly")), *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYNOMALY_", "DAGSTER_"))}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_program_works_in_the_folder_it_is_started_in(mine: Shell) -> None:
    assert pynomaly(mine.folder, "check").stdout == "1 files, no problems\n"
    done = pynomaly(mine.folder, "run", "orders", "--partition", "2025-03-02")
    assert done.returncode == 0, done.stderr
    assert "orders" in done.stdout
    lines = pynomaly(mine.folder, "scores", "orders", "--format", "json").stdout.splitlines()
    assert len(lines) == 6 * ROWS - 1


@pytest.mark.slow
def test_an_error_of_the_program_is_one_line(orders: Shell) -> None:
    done = pynomaly(orders.folder, "run", "order")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: there is no pipeline 'order'")


# -------------------------------------------------------------------------------------- thresholds and backtests


def test_a_threshold_is_shown_and_nothing_changes_until_it_is_accepted(mine: Shell) -> None:
    before = mine.scores("orders")
    told = mine.fine("threshold", "orders", "--budget", "2/day", "--plot", str(mine.folder / "plot.png"))
    assert "in force (from defs.yaml)" in told
    assert "budget of 2 alerts a day (median" in told
    assert "Nothing was changed" in told
    # Five days have a score a row, the sixth has one quarantined; each day has its line.
    assert sum(f"│ {key} │" in told for key in DAYS) == len(DAYS)
    assert (mine.folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert mine.scores("orders").equals(before)
    assert "changed" not in mine.fine("threshold", "orders").splitlines()[-1]


def test_an_accepted_threshold_flags_stored_scores_anew(mine: Shell) -> None:
    before = mine.scores("orders")
    told = mine.fine(
        "threshold", "orders", "--score", "0.6", "--accept", "--reason", "look closer", "--by", "ada", "--reflag"
    )
    after = mine.scores("orders")
    assert "accepted by ada: 0.6000" in told
    assert "in defs.yaml it reads  threshold: {score: 0.6}" in told
    assert f"6 partitions of scores flagged anew: {before['is_anomaly'].sum()} -> {after['is_anomaly'].sum()}" in told
    assert set(after["threshold"]) == {0.6}
    np.testing.assert_array_equal(after["is_anomaly"], after["score"] > 0.6)
    # Nothing was scored again: the rest of each row is as it was, to the time it was scored at.
    rest = [name for name in before.columns if name not in ("threshold", "is_anomaly")]
    assert after[rest].astype(str).equals(before[rest].astype(str))
    assert "by ada: " in mine.fine("threshold", "orders")
    assert "flagged anew: " in mine.fine("threshold", "orders", "--reflag")
    # A run goes on with it, and Dagster was told of the new figures.
    mine.fine("run", "orders", "--partition", DAYS[-1], "--no-train")
    assert set(mine.scores("orders")["threshold"]) == {0.6}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--accept"], "--accept needs a proposal"),
        (["--score", "0.9", "--budget", "5/week"], "propose one of"),
        (["--score", "0.9", "--reflag"], "--accept the proposal first"),
        (["--budget", "five a week"], "is not a budget such as `5/week`"),
        (["--labels", "accuracy"], "is none of `f1`, `precision=0.8`, `recall=0.9`"),
    ],
)
def test_a_threshold_that_can_not_be_proposed_is_a_usage_error(
    orders: Shell, arguments: list[str], problem: str
) -> None:
    result = orders("threshold", "orders", *arguments)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_backtest_writes_its_report_and_changes_nothing(mine: Shell) -> None:
    before, models = mine.scores("orders"), mine.fine("models", "orders")
    told = mine.fine(
        "backtest",
        "orders",
        "--from",
        DAYS[2],
        "--retrain",
        "never",
        "--budget",
        "3/day",
        "--out",
        str(mine.folder / "bt"),
    )
    assert "1 training, 1 promoted" in told, told
    names = {path.name for path in (mine.folder / "bt").iterdir()}
    assert names >= {"report.md", "alerts.png", "partitions.csv", "periods.csv", "trainings.csv", "scores.parquet"}
    partitions = pd.read_csv(mine.folder / "bt" / "partitions.csv")
    assert partitions["partition"].tolist() == DAYS[2:]
    scores = pd.read_parquet(mine.folder / "bt" / "scores.parquet")
    assert scores.groupby("_partition")["is_anomaly"].sum().tolist() == partitions["anomalies"].tolist()
    assert mine.scores("orders").equals(before)
    assert mine.fine("models", "orders") == models
    result = mine("backtest", "orders", "--retrain", "sometimes")
    assert "'sometimes' is neither daily, weekly, monthly, never nor a cron expression" in result.stderr


def test_a_partition_that_was_set_aside_is_listed_and_taken_back(tmp_path: Path, migrated_registry: Path) -> None:
    from pynomaly_pipelines.automation.setting_aside import observation
    from pynomaly_pipelines.project import Project

    shell = project(tmp_path, migrated_registry)
    shell.pipeline("orders", ORDERS)
    assert shell.fine("aside", "orders") == "no partition of orders is set aside\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYNOMALY_PROJECT", str(tmp_path))
        patch.chdir(tmp_path)
        found = Project.current()
        instance = found.instance()
        instance.report_runless_asset_event(
            observation(found.pipeline("orders"), DAYS[0], "0123456789", "it ran out of memory")
        )
    told = shell.fine("aside", "orders")
    assert DAYS[0] in told
    assert "it ran out of memory" in told
    assert f"partition '{DAYS[1]}' of 'orders' is not set aside" in shell.error("aside", "orders", "--retry", DAYS[1])
    assert "taken back" in shell.fine("aside", "orders", "--retry", DAYS[0])
    assert shell.fine("aside", "orders") == "no partition of orders is set aside\n"
