"""The landing folder of all examples, written once."""

from pathlib import Path

import pytest

from pynomaly_pipelines import examples


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    examples.write(folder)
    return folder
