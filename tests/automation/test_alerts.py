"""News reach real receivers once; dead ones delay nothing; backfills and the snoozed are silent. Tick by tick."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from pynomaly_pipelines.automation import alerts
from pynomaly_pipelines.automation.alerts import Cursor, build_alerts
from pynomaly_pipelines.resources.configurable import LakeResource
from pynomaly_pipelines.stages.incidents.states import Action
from tests.automation.notified_shop import Shop
from tests.receivers import Mailbox, Webhook, mail_server, never_answers, webhook
from tests.servers import free_port

EVIL = "<img src=x onerror=alert(1)>\nBcc: all@example.org"
NOON = datetime(2025, 1, 9, 12, 0, tzinfo=UTC)
SIGNATURE = b"\x89PNG\r\n"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as found:
        yield found


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as found:
        yield found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def shop(
    tmp_path: Path, instance: dg.DagsterInstance, mailbox: Mailbox, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> Shop:
    monkeypatch.setenv("SHOP_MAIL", mailbox.url)
    monkeypatch.setenv("SHOP_HOOK", hook.url)
    return Shop(tmp_path, instance, ["mail", "hook"])


def test_a_mail_and_a_webhook_with_the_plot_arrive_once(shop: Shop, mailbox: Mailbox, hook: Webhook) -> None:
    from PIL import Image

    shop.score("2025-01-01", "10:00", "10:20", country=EVIL)
    assert sorted(shop.tick().split("; ")) == [
        "hook was told: 1 incident",
        "mail was told: 1 incident",
    ]
    (mail,), (body,) = mailbox.mails, hook.bodies
    assert mail["Subject"].startswith("shop: 2 anomalies: country = <img src=x")
    assert mail["Bcc"] is None
    assert mail["To"] == "ops@example.org"
    html = mail.get_body(("html",))
    assert html is not None
    assert "<img" not in html.get_content()
    # One line, escaped, and its @ is no mention in a chat.
    evil = "&lt;img src=x onerror=alert(1)&gt; Bcc: all@\u200bexample.org (usually 10 … 80) in 2 of 2 rows"
    assert evil in html.get_content()
    assert "http://127.0.0.1:3000/assets/shop/incidents" in html.get_content()
    (plot,) = mail.iter_attachments()
    assert plot.get_content_type() == "image/png"
    assert Image.open(io.BytesIO(plot.get_content())).size[0] > 500
    assert "2025-01-01 10:00 … 2025-01-01 10:20 UTC" in body["message"]
    assert base64.b64decode(body["attachments"][0]["base64"]).startswith(SIGNATURE)
    for _ in range(3):
        assert shop.tick(60) == ""
    assert (len(mailbox.mails), len(hook.bodies)) == (1, 1)


def test_dead_receivers_delay_nobody_and_are_tried_ever_later(
    shop: Shop, hook: Webhook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    with never_answers() as silent:
        monkeypatch.setenv("SHOP_REFUSED", f"json://127.0.0.1:{free_port()}/")
        monkeypatch.setenv("SHOP_SILENT", silent)
        # `absent` names a variable that nothing is behind.
        shop = Shop(tmp_path, instance, ["absent", "refused", "silent", "hook"])
        shop.score("2025-01-01", "10:00")
        said = shop.tick(wait=2.0)
        assert "hook was told: 1 incident" in said
        assert "silent failed: no answer within 2 seconds" in said
        assert "refused failed: " in said
        assert "absent failed: " in said
        assert len(hook.bodies) == 1
        # New news for the living are not held up either, while the dead wait for their time.
        shop.score("2025-01-02", "10:00")
        said = shop.tick(30)
        assert "hook was told: 1 incident" in said
        assert "refused is tried again at 01-09 12:01 UTC after 1 failures (2 incidents wait)" in said
    waits = []
    for _ in range(9):
        next_try = shop.cursor.receivers["refused"].next_try
        assert next_try is not None
        waits.append((next_try - shop.now).total_seconds() / 60)
        shop.now = next_try
        assert "refused failed: " in shop.tick(wait=2.0)
    # From one failure to the next; the first look was half a minute ago.
    assert waits == [0.5, 2, 4, 8, 16, 32, 60, 1440, 1440]
    assert len(hook.bodies) == 2


def test_what_was_sent_and_not_marked_is_sent_again(
    shop: Shop, mailbox: Mailbox, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    shop.score("2025-01-01", "10:00")
    with monkeypatch.context() as patch:
        patch.setattr(alerts, "_mark", kill)
        with pytest.raises(Killed):
            shop.tick()
    assert len(mailbox.mails) + len(hook.bodies) >= 1
    before = (len(mailbox.mails), len(hook.bodies))
    shop.tick(60)
    assert len(mailbox.mails) >= 1
    assert len(hook.bodies) >= 1
    assert len(mailbox.mails) + len(hook.bodies) > sum(before)
    after = (len(mailbox.mails), len(hook.bodies))
    # A lost cursor changes nothing either: the marks are in the tables.
    shop.cursor = Cursor()
    assert shop.tick(60) == ""
    assert (len(mailbox.mails), len(hook.bodies)) == after


def test_a_receiver_that_was_away_gets_what_has_grown_old_meanwhile(shop: Shop, mailbox: Mailbox) -> None:
    mailbox.full = True
    shop.score("2025-01-01", "10:00")
    assert "mail failed: " in shop.tick()
    shop.score("2025-01-08")
    mailbox.full = False
    assert "mail was told: 1 incident" in shop.tick(61)
    assert len(mailbox.mails) == 1


def test_told_again_only_when_doubled_or_opened_again(shop: Shop, hook: Webhook) -> None:
    shop.score("2025-01-01", "10:00", "10:10")
    shop.tick()
    shop.score("2025-01-01", "10:00", "10:10", "10:20")
    shop.tick(60)
    assert len(hook.bodies) == 1
    shop.score("2025-01-01", "10:00", "10:10", "10:20", "10:40")
    shop.tick(60)
    assert [body["title"].split(":")[1] for body in hook.bodies] == [" 2 anomalies", " 4 anomalies"]
    shop.say(Action.RESOLVED)
    shop.tick(60)
    shop.say(Action.REOPENED)
    shop.tick(60)
    assert len(hook.bodies) == 3


def test_the_acknowledged_and_the_snoozed_are_silent(shop: Shop, hook: Webhook) -> None:
    shop.score("2025-01-01", "10:00")
    shop.say(Action.SNOOZED, until=datetime.now(UTC) + timedelta(hours=1))
    shop.score("2025-01-01", "10:00", "20:00")
    assert shop.tick() == ""
    assert hook.bodies == []


def test_old_history_and_backfills_are_silent_and_reruns_of_them(shop: Shop, hook: Webhook) -> None:
    def run(**tags: str) -> str:
        return shop.instance.add_run(dg.DagsterRun("score", run_id=str(uuid4()), tags=tags)).run_id

    backfill = run(**{"dagster/backfill": "abc"})
    rerun = run(**{"pynomaly/trigger": "rerun", "pynomaly/rerun_of": backfill})
    command = run(**{"pynomaly/trigger": "command"})
    live = run(**{"pynomaly/trigger": "automation"})
    for day, by in (("2025-01-08", backfill), ("2025-01-07", rerun), ("2025-01-09", command)):
        shop.score(day, "10:00", run=by)
        assert shop.tick(60) == ""
    shop.score("2025-01-02", "10:00", run=live)  # Late: a week before the latest data.
    assert shop.tick(60) == ""
    shop.score("2025-01-08", "10:00", run=live)
    assert "hook was told: 1 incident" in shop.tick(60)
    assert len(hook.bodies) == 1


def test_a_daily_digest_is_one_mail_at_its_local_time(
    tmp_path: Path, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_MAIL", mailbox.url)
    shop = Shop(tmp_path, instance, ["mail"], digest="daily", digest_at="14:00")
    shop.tick()
    shop.score("2025-01-01", "10:00")
    assert shop.tick(60) == "mail has 1 incident in its next daily digest"
    shop.score("2025-01-05", "10:00", "20:00")
    assert shop.tick(3600) == "mail has 3 incidents in its next daily digest"
    assert shop.tick(3600) == "mail was told: 3 incidents"
    (mail,) = mailbox.mails
    assert mail["Subject"] == "shop: 3 incidents"
    assert len(list(mail.iter_attachments())) == 3
    assert shop.tick(3600) == ""


def test_failed_runs_are_told_once_unless_a_command_ran_them(
    tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset(key=["shop", "raw"])
    def raw() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setenv("SHOP_HOOK", hook.url)
    shop = Shop(tmp_path, instance, ["hook"], about=["failures"], digest="daily")
    for trigger in ("command", "schedule"):
        tags = {"pipeline": "shop", "pynomaly/trigger": trigger}
        dg.materialize([raw], instance=instance, raise_on_error=False, tags=tags)
    shop.now = datetime.now(UTC)
    assert shop.tick() == "hook was told: 1 failure"
    (body,) = hook.bodies
    assert body["title"] == "shop: a run failed"
    assert "A bug is reported, not retried" in body["message"]
    assert shop.tick(60) == ""


def test_the_sensor_remembers_by_its_cursor(shop: Shop, hook: Webhook, tmp_path: Path) -> None:
    sensor = build_alerts(shop.spec, live=False)
    shop.score("2025-01-01", "10:00")
    cursor, said = None, []
    for _ in range(2):
        resource = LakeResource(root=str(tmp_path), project=str(tmp_path))
        with dg.build_sensor_context(shop.instance, cursor=cursor, resources={"lake": resource}) as context:
            found = sensor(context)
        assert isinstance(found, dg.SensorResult)
        cursor = found.cursor
        said.append(str(found.skip_reason))
    assert "hook was told: 1 incident" in said[0]
    assert "no news" in said[1]
    assert len(hook.bodies) == 1
