"""A decision on the champion -> one move of the alias, of all that were decided at the same time.

MLflow's aliases have no compare-and-set: of two that point `champion` at once, the later wins and the earlier believes
it did. The history of moves has one: a Delta commit follows exactly one version, or fails. So a move is recorded first,
as the next one after those its decision rests on, and whoever can't record it does not touch the alias. It holds for
every process that reaches the lake: the gate's runs, the command line, each replica of the service.

Whoever is killed between the two leaves a move that was not carried out. The same decision, taken again, goes on with
that move and records none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pynomaly_pipelines.operations.cache import announce, tags
from pynomaly_pipelines.operations.errors import ChampionMoved
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.promotion import champions
from pynomaly_pipelines.stages.promotion.champions import Move

UNDER_WAY = timedelta(seconds=30)
"""How long after it was recorded a move may be on its way to the registry."""
UNDONE = "not carried out"


@contextmanager
def moving(lake: Lake, pipeline: str, move: Move, since: int) -> Iterator[None]:
    """Record a move, then carry it out in the block; one that fails is recorded as taken back.

    The champion must be `move.before` still: a move that was recorded and left there is this one's beginning.

    Args:
        since: `champions.generation` as of the decision.

    Raises:
        ChampionMoved: another move was recorded meanwhile; the block is not entered.
    """
    if _begun(lake, pipeline, move):
        champions.go_on(lake, pipeline, after=since)
    else:
        champions.record(lake, pipeline, move, after=since)
    try:
        yield
    except BaseException as error:
        back = replace(move, what=UNDONE, version=move.before, before=move.version, reason=f"{move.what}: {error}")
        champions.record(lake, pipeline, back)
        raise
    # Not before: what is cached anew must find the alias where it is now.
    announce(tags.champion(pipeline))


def refuse_under_way(lake: Lake, pipeline: str, champion: int | None) -> None:
    """Refuse to decide while a move that is recorded has not reached the registry yet.

    Raises:
        ChampionMoved: the history's last champion is another than the registry's, and was recorded a moment ago.
    """
    moves = champions.history(lake, pipeline)
    if not moves or moves[-1].version == champion or moves[-1].at is None:
        return
    if datetime.now(UTC) - moves[-1].at < UNDER_WAY:
        raise ChampionMoved(
            f"the champion of {pipeline!r} is being moved to version {moves[-1].version}",
            rule="one move at a time is made",
            fix="wait a moment, look at the champion, then decide again",
        )


def _begun(lake: Lake, pipeline: str, move: Move) -> bool:
    """Whether the last recorded move is this one; the gate's whichever run it was of, a person's by the same one."""
    last = next(reversed(champions.history(lake, pipeline)), None)
    if last is None or (last.what, last.version, last.before) != (move.what, move.version, move.before):
        return False
    return move.what == champions.BY_GATE or last.by == move.by
