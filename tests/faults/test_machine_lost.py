"""kill -9 of daemon, code server and worker at once, as when a machine loses power: nothing stays stuck or undone."""

from __future__ import annotations

import dagster as dg
import pytest

from tests.faults.deployment import ARRIVING, Deployment, at_work, open_runs

DAY = ARRIVING[0]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_its_run_is_given_up_and_the_work_is_done(deployment: Deployment) -> None:
    deployment.start()
    deployment.drop(DAY)
    with deployment.instance() as instance:
        deployment.until(lambda: at_work(instance, DAY), "a run at work")
        deployment.kill()
        lost = [run.run_id for run in at_work(instance, DAY)]
        assert lost, "the run ended before the machine was lost"

        deployment.start()
        deployment.until(lambda: not open_runs(instance) and deployment.all_scored(DAY), "the end of the work")

        for run_id in lost:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.status is dg.DagsterRunStatus.FAILURE
            ends = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
            told = [entry.dagster_event.message for entry in ends if entry.dagster_event]
            assert any("no sign of life" in str(words) for words in told), told
