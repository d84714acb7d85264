"""What a user may write under `aggregate:`: SQL that makes of events the rows to watch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pynomaly_pipelines.spec.strict import Strict


class Aggregation(Strict):
    """SQL over the events of one partition; its result is what is validated, learnt from and scored.

    It sees one table, `events`: the rows of `raw` that could be read, without the product's own columns. Times are
    moments in the pipeline's time zone. It can read no files and no network.
    """

    sql: str = Field(min_length=1)
    """One SELECT in DuckDB's SQL, such as `select date_trunc('hour', ts) as hour, shop, count(*) as orders from events
    group by all`."""
    time: str = Field(min_length=1)
    """Column with the time of an event; `time` is the column of the result."""
    memory_mb: Annotated[int, Field(ge=64)] = 512
    """About how much memory (MiB) a query may take; what needs more goes to disk."""
