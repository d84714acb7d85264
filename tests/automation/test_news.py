"""What people are told beside incidents: drift, promotions that did not happen, failures in their own words; and what a
look costs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pyarrow as pa
import pytest

from pynomaly_pipelines.detection.drift.reference import Subject, Verdict
from pynomaly_pipelines.operations.errors import SourceUnreachable
from pynomaly_pipelines.pipeline.wiring import told
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.drift import history
from pynomaly_pipelines.stages.gate.verdict import Criterion
from pynomaly_pipelines.stages.gate.verdict import Verdict as GateVerdict
from pynomaly_pipelines.stages.incidents import following
from pynomaly_pipelines.stages.incidents.states import Action
from tests.automation.notified_shop import Shop
from tests.receivers import Webhook, webhook


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as found:
        yield found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture(autouse=True)
def _hook(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_HOOK", hook.url)


def judge(shop: Shop, day: str, *, drifted: bool = True, version: int = 1) -> None:
    subject = Subject("features", "amount", "values", "distribution")
    verdict = Verdict(subject, 0.4, 1e-6, 1e-5, drifted, "median 40", "median 90")
    shop.lake.replace("shop", history.NOUN, [day], history.to_table(version, {day: ([verdict], 1)}))


# -------------------------------------------------------------------------------------------------------- drift


def test_drift_that_lasts_is_told_once_an_episode(tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook) -> None:
    shop, said = Shop(tmp_path, instance, ["hook"], about=["drift"]), []
    for number, letter in enumerate("-xxxxx-xxxx"):
        day = f"2025-01-{number + 1:02}"
        shop.score(day)
        judge(shop, day, drifted=letter == "x")
        said.append("told" in shop.tick(60))
        assert shop.tick(60) == ""
    # The third day in a row of each episode.
    assert [number for number, news in enumerate(said) if news] == [3, 9]
    body = hook.bodies[0]
    assert body["title"] == "shop: drift that lasts: amount (values)"
    assert "3 partitions in a row, 2025-01-02 … 2025-01-04, against the training of version 1" in body["message"]
    assert "amount, values: usually median 40, now median 90" in body["message"]
    assert "http://127.0.0.1:3000/assets/shop/drift" in body["message"]


def test_drift_that_a_backfill_finds_is_silent(tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook) -> None:
    shop = Shop(tmp_path, instance, ["hook"], about=["drift"])
    backfill = instance.add_run(dg.DagsterRun("score", run_id=str(uuid4()), tags={"dagster/backfill": "b"})).run_id
    for day in ("2025-01-01", "2025-01-02", "2025-01-03"):
        shop.score(day, run=backfill)
        judge(shop, day)
    assert shop.tick() == ""
    assert hook.bodies == []


def test_drift_waits_for_the_digest_and_for_a_receiver_that_is_away(
    tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    shop = Shop(tmp_path, instance, ["hook"], about=["drift"], digest="hourly")
    shop.tick()
    for day in ("2025-01-01", "2025-01-02", "2025-01-03"):
        shop.score(day)
        judge(shop, day)
    assert shop.tick(60) == "hook has 1 notice in its next hourly digest"
    hook.status = 503
    assert "hook failed: " in shop.tick(3600)
    hook.status = 200
    assert "hook was told: 1 notice" in shop.tick(61)
    assert len(hook.bodies) == 1


# --------------------------------------------------------------------------------------------------- promotions


def gate(instance: dg.DagsterInstance, passed: bool, said: str, challenger: int, **tags: str) -> None:
    @dg.asset(
        key=["shop", "champion"], check_specs=[dg.AssetCheckSpec("gate", asset=dg.AssetKey(["shop", "champion"]))]
    )
    def champion() -> Iterator[Any]:
        yield dg.MaterializeResult()
        yield dg.AssetCheckResult(
            check_name="gate", passed=passed, description=said, metadata={"challenger": challenger}
        )

    dg.materialize([champion], instance=instance, tags={"pipeline": "shop", **tags})


def test_a_challenger_that_was_not_let_through_is_told_once(
    tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    shop = Shop(tmp_path, instance, ["hook"], about=["promotions"])
    shop.now = datetime.now(UTC)
    rules = (
        Criterion("recall", "finds no fewer", "refused", "it finds 40 % where the champion finds 90 %"),
        Criterion("alert rate", "within the budget", "refused", "it alerts on 12 % of the rows"),
    )
    refused, held = (str(GateVerdict(7, 3, outcome, rules)) for outcome in ("refused", "held"))
    gate(instance, False, refused, 7, **{"pynomaly/trigger": "command"})
    gate(instance, True, "promoted: it is better", 8)
    assert shop.tick() == ""
    gate(instance, False, refused, 9)
    gate(instance, False, held, 10)
    assert shop.tick(1) == "hook was told: 2 notices"
    assert shop.tick(60) == ""
    (body,) = hook.bodies
    assert "shop: challenger 9 was refused\n- it finds 40 % where the champion finds 90 %\n" in body["message"]
    assert "- it alerts on 12 % of the rows\n" in body["message"]
    assert "shop: challenger 10 was held for a person" in body["message"]
    assert "to promote it on your word: pynomaly promote shop 10" in body["message"]


def test_a_champion_that_does_not_score_is_told(tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook) -> None:
    shop = Shop(tmp_path, instance, ["hook"], about=["promotions"])
    shop.now = datetime.now(UTC)
    key = dg.AssetKey(["shop", "champion"])
    event = dg.AssetCheckEvaluation(asset_key=key, check_name="sound", passed=False, description="version 4: no column")
    instance.report_runless_asset_event(event)
    assert shop.tick() == "hook was told: 1 notice"
    assert hook.bodies[0]["title"] == "shop: the champion does not score"
    assert "version 4: no column" in hook.bodies[0]["message"]


# ----------------------------------------------------------------------------------------------------- failures


def fail(instance: dg.DagsterInstance, error: Exception, *, wrapped: bool) -> None:
    @dg.asset(key=["shop", "raw"])
    def raw(context: dg.AssetExecutionContext) -> None:
        if wrapped:
            raise error
        with told(context):
            raise error

    dg.materialize([raw], instance=instance, raise_on_error=False, tags={"pipeline": "shop"})


def test_failures_are_told_in_the_words_of_their_cause(
    tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    shop = Shop(tmp_path, instance, ["hook"], about=["failures"])
    fail(instance, RuntimeError("the shop is closed"), wrapped=True)
    fail(instance, KeyError("price"), wrapped=False)
    away = SourceUnreachable("the bucket gives no answer", rule="it answers", fix="ask its owner")
    fail(instance, away, wrapped=False)  # It is tried again: not told yet.
    shop.now = datetime.now(UTC)
    assert shop.tick() == "hook was told: 2 failures"
    message = hook.bodies[0]["message"]
    assert "RuntimeError: the shop is closed. A bug is reported, not retried" in message
    assert "KeyError: 'price'. A bug is reported, not retried" in message
    assert "raw (run " in message
    assert "Dagster" not in message
    assert "Error occurred while" not in message
    assert "bucket" not in message


def test_a_run_that_died_outside_its_steps_is_told_with_its_last_words(
    tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    shop = Shop(tmp_path, instance, ["hook"], about=["failures"])
    shop.spec = shop.spec.model_copy(update={"automation": shop.spec.automation.model_copy(update={"reruns": 0})})

    @dg.asset(key=["shop", "raw"])
    def raw() -> None: ...

    job = dg.Definitions(assets=[raw], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    run = instance.create_run_for_job(job, tags={"pipeline": "shop"})
    planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    assert instance.all_logs(run.run_id, of_type=planned)
    instance.report_run_failed(run, message="run 1a2b showed no sign of life for 90 s: its process is gone")
    shop.now = datetime.now(UTC)
    assert shop.tick() == "hook was told: 1 failure"
    assert "no sign of life for 90 s: its process is gone. It failed 1 times" in hook.bodies[0]["message"]


def test_a_newcomer_is_told_failures_of_two_days_and_those_it_knows_wait_longer(
    tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook
) -> None:
    fail(instance, RuntimeError("x"), wrapped=True)
    now = datetime.now(UTC)
    newcomer = Shop(tmp_path / "new", instance, ["hook"], about=["failures"])
    newcomer.now = now + timedelta(days=3)
    assert newcomer.tick() == ""
    known = Shop(tmp_path / "known", instance, ["hook"], about=["failures"])
    known.now, hook.status = now, 503
    assert "hook failed" in known.tick()
    hook.status = 200
    assert known.tick(3 * 86_400) == "hook was told: 1 failure"


# --------------------------------------------------------------------------------------------------------- cost


class Counted(Lake):
    """A lake that says how many rows were read."""

    rows = 0

    def read(self, pipeline: str, noun: str, **more: Any) -> pa.Table:
        found = super().read(pipeline, noun, **more)
        self.rows += found.num_rows
        return found

    def stream(self, pipeline: str, noun: str, **more: Any) -> Iterator[pa.Table]:
        for piece in super().stream(pipeline, noun, **more):
            self.rows += piece.num_rows
            yield piece


def days(first: str, count: int) -> Sequence[str]:
    return [(date.fromisoformat(first) + timedelta(days=n)).isoformat() for n in range(count)]


def test_a_look_reads_what_is_new_and_nothing_when_all_is_as_it_was(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LONGEST", 3)
    read = []
    for history_days in (9, 15):
        shop = Shop(tmp_path / str(history_days), instance, ["hook"])
        shop.lake = Counted(str(tmp_path / str(history_days)))
        for day in days("2025-01-01", history_days):
            shop.score(day, "10:00", "20:00")
        shop.tick()
        assert shop.tick(60) == ""  # Marks were written: the tables have changed once more.
        shop.score("2025-01-31", "10:00")
        shop.lake.rows = 0
        assert "hook was told: 1 incident" in shop.tick(60)
        read.append(shop.lake.rows)
        shop.tick(60)
        shop.lake.rows = 0
        for _ in range(3):
            assert shop.tick(60) == ""
        assert shop.lake.rows == 0
    # What is read does not grow with the history.
    assert read[0] == read[1]


def test_a_calm_look_ends_with_a_snooze_and_with_other_settings(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    shop = Shop(tmp_path, instance, ["hook"], min_score=0.95)
    shop.score("2025-01-01", "10:00")
    assert shop.tick() == ""
    assert shop.cursor.calm is not None
    shop.spec = shop.spec.model_copy(
        update={"notify": shop.spec.notify and shop.spec.notify.model_copy(update={"min_score": 0.5})}
    )
    shop.say(Action.SNOOZED, until=datetime.now(UTC) + timedelta(days=1))
    shop.now = datetime.now(UTC)
    assert shop.tick(60) == ""
    assert shop.cursor.calm is not None
    until = shop.cursor.calm.until
    assert until is not None
    assert timedelta(hours=23) < until - datetime.now(UTC) < timedelta(hours=25)


def test_what_waits_is_told_however_old_and_far_it_has_grown_meanwhile(
    tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LONGEST", 3)
    shop = Shop(tmp_path, instance, ["hook"])
    shop.score("2025-01-02", "00:10")
    hook.status = 503
    shop.tick()
    shop.score("2025-01-01", "23:50")  # Late rows: it began a day earlier.
    for day in days("2025-02-01", 5):
        shop.score(day)
    hook.status = 200
    assert shop.tick(3600) == "hook was told: 1 incident"
    assert hook.bodies[0]["title"].startswith("shop: 2 anomalies")
