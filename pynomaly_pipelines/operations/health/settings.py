"""`PYNOMALY_HEALTH_…` variables -> how long checks may take, and from which figures on something is amiss."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.settings import variables

PREFIX = "PYNOMALY_HEALTH_"
Percent = Annotated[float, Field(ge=0, le=100)]


class HealthSettings(BaseModel):
    """Each field is one variable: `timeout_seconds` is PYNOMALY_HEALTH_TIMEOUT_SECONDS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_seconds: Annotated[
        float, Field(gt=0, le=60, description="How long each built-in check may take; Redis' own is shorter.")
    ] = 3.0
    daemon_silent_seconds: Annotated[
        float,
        Field(gt=0, description="Without a heartbeat for so long, Dagster's daemon counts as down."),
    ] = 90.0
    disk_degraded_percent: Annotated[Percent, Field(description="With less free disk the state is degraded.")] = 10.0
    disk_failed_percent: Annotated[Percent, Field(description="With less free disk the check fails.")] = 2.0
    memory_degraded_percent: Annotated[
        Percent, Field(description="With less available memory the state is degraded.")
    ] = 10.0
    memory_failed_percent: Annotated[Percent, Field(description="With less available memory the check fails.")] = 2.0

    @classmethod
    def from_environment(cls) -> HealthSettings:
        """Read the variables.

        Raises:
            SettingsError: one is unknown or outside its bounds.
        """
        given = {name.removeprefix(PREFIX).lower(): value for name, value in variables(PREFIX).items()}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingsError(
                f"the environment variable {PREFIX}{str(first['loc'][0]).upper()} is {first['input']!r}",
                rule=str(first["msg"]),
                fix="correct it, or remove it to have the default",
            ) from error
