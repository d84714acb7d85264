"""What a user may write under `drift:`; with all defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    PositiveInt,
)

from pynomaly_pipelines.spec.strict import Strict
from pynomaly_pipelines.spec.types import OpenShare, Share

DriftKind = Literal["features", "scores", "quality"]


class Drift(Strict):
    """When new partitions count as different from those the champion was trained on, and what follows.

    Differences are held against how much training partitions differ from each other, so that ordinary ups and downs,
    however many rows show them, are no drift.
    """

    enabled: bool = True
    """Look for drift in every partition that is scored; needs a `partition` that is not `whole`."""
    alpha: OpenShare = 0.01
    """Chance that a partition raises any false alarm at all, all columns and tests together."""
    min_effect: Annotated[float, Field(ge=0.0)] = 0.1
    """Smallest change of a distribution that counts, as population stability index; 0.1 is called moderate."""
    min_share: Share = 0.02
    """Smallest change of a share that counts: of missing, new or quarantined values."""
    min_ratio: Annotated[float, Field(ge=1.0)] = 1.5
    """Smallest change of the number of rows, or of the alert rate, that counts, as a factor up or down."""
    lasting: PositiveInt = 3
    """Partitions in a row in which the same column must drift before it lasts."""
    retrain: bool = True
    """Train a challenger when drift lasts."""
    retrain_on: tuple[DriftKind, ...] = ("features", "scores")
    """Kinds that train; by default not `quality`: a broken feed is to be mended, not learnt."""
    forget: bool = True
    """A training for drift leaves out what came before it began, where enough rows came since."""
    cooldown: PositiveInt = 7
    """Partitions after a training for drift before there may be another."""
    min_partitions: Annotated[int, Field(ge=5)] = 8
    """Fewest training partitions that say how much partitions differ; with fewer, drift is not judged."""
    min_rows: PositiveInt = 100
    """Rows (series: points) needed to judge; smaller partitions are judged together with those just before them."""
    max_rows: PositiveInt = 100_000
    """Most rows of a partition that are looked at; more are sampled."""
