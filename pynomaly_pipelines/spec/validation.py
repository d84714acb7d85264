"""What a user may write under `expectations:` and `validation:`; with all defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from pynomaly_pipelines.spec.strict import Strict
from pynomaly_pipelines.spec.types import Share, Short

Severity = Literal["error", "warn"]


class Expectation(Short, Strict):
    """One Great Expectations expectation under its own name, written `- expect_…: {column: …, …}`."""

    name: str = Field(pattern=r"^(un)?expect[a-z_]+$")
    """Its name in Great Expectations."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Its arguments there."""
    severity: Severity = "error"
    """`error` quarantines the row (or blocks the partition, for a table-level expectation); `warn` only shows."""

    @model_validator(mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, dict) or "name" in value:
            return value
        if len(value) != 1:
            raise ValueError("an expectation is one mapping: `expect_column_values_to_not_be_null: {column: amount}`")
        ((name, given),) = value.items()
        if not isinstance(given, dict | None):
            raise ValueError(f"the arguments of {name} are a mapping such as `{{column: amount}}`, not {given!r}")
        arguments = dict(given or {})
        severity = arguments.pop("severity", "error")
        return {"name": name, "arguments": arguments, "severity": severity}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns its arguments name."""
        names = [self.arguments.get(key) for key in ("column", "column_A", "column_B")]
        return tuple(str(n) for n in [*names, *self.arguments.get("column_list", ())] if n is not None)


class Validation(Strict):
    """When a partition as a whole is refused."""

    max_quarantined: Share = 0.2
    """Largest share of a partition's rows that may be quarantined before the partition is refused."""
    min_rows: Annotated[int, Field(ge=0)] = 1
    """Fewest valid rows a partition may have."""
    docs: Annotated[int, Field(ge=0)] = 400
    """Partitions whose page of Data Docs is kept, the latest ones; 0 writes none."""
