"""What all models of a spec share: unknown keys are errors, values stay, and a broken rule names its place."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Unknown keys are errors, values keep their type, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, use_attribute_docstrings=True)


class Broken(ValueError):
    """A rule between several values: where it is broken, and what to do about it."""

    def __init__(self, rule: str, *, at: str, fix: str) -> None:
        self.at = at
        """The attribute to look at."""
        self.fix = fix
        super().__init__(rule)
