"""Routes that answer what they were sent, so that attacks on bodies need no account. Imported by the served process."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat

from pynomaly_pipelines.service import app, bodies
from pynomaly_pipelines.service.access.requirements import public

router = bodies.router("/echo", "health")


class Row(BaseModel):
    """A strict body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    amount: FiniteFloat
    note: str = ""
    inside: Any = None


@router.post("")
@public("a test")
async def echo(row: Row) -> Row:
    """The row again."""
    return row


@router.get("/failing")
@public("a test")
async def failing() -> None:
    """A fault that nobody thought of."""
    raise ZeroDivisionError("the-inside-of-the-service")


app.ROUTERS = (*app.ROUTERS, router)
