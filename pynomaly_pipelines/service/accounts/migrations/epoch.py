"""Triggers that count the permission epoch up, whoever changes a row: this program, another version, or a person with
an SQL prompt. Every process asks for the epoch with each request; that is how changes bite on the next one."""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

_FUNCTION = "pynomaly_count_epoch"
_EVENTS = ("insert", "update", "delete")


def create_counter() -> None:
    """The function that PostgreSQL's triggers call; SQLite's hold the statement themselves."""
    if not _sqlite():
        op.execute(
            f"CREATE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$ "  # nosec B608 (names of our own)
            "BEGIN UPDATE permission_epoch SET epoch = epoch + 1 WHERE id = 1; RETURN NULL; END $$"
        )


def drop_counter() -> None:
    """Undo `create_counter`."""
    if not _sqlite():
        op.execute(f"DROP FUNCTION {_FUNCTION}()")


def watch(table: str, *, update_of: Sequence[str] = (), events: Sequence[str] = _EVENTS) -> None:
    """From now on, a change of the table's rows counts the epoch up; of updates, those of these columns if any."""
    for event in events:
        columns = f" OF {', '.join(update_of)}" if event == "update" and update_of else ""
        head = f"CREATE TRIGGER {_name(table, event)} AFTER {event.upper()}{columns} ON {table}"
        if _sqlite():
            counting = "BEGIN UPDATE permission_epoch SET epoch = epoch + 1 WHERE id = 1; END"
            op.execute(f"{head} {counting}")
        else:
            # Once a statement, not once a row.
            op.execute(f"{head} FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()")


def unwatch(table: str, *, events: Sequence[str] = _EVENTS) -> None:
    """Undo `watch`."""
    for event in events:
        op.execute(f"DROP TRIGGER {_name(table, event)}" + ("" if _sqlite() else f" ON {table}"))


def _name(table: str, event: str) -> str:
    return f"epoch_{table}_{event}"


def _sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
