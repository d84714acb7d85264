"""The resources all pipelines share, from the environment."""

import dagster as dg

from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.resources.configurable import resources


@dg.definitions
def shared() -> dg.Definitions:
    """Lake, registry, and runs that stay in one process: a step of its own would import everything again."""
    return dg.Definitions(resources=resources(Settings.from_environment()), executor=dg.in_process_executor)
