"""Real data from installed packages -> files in `landing/<pipeline>/`, as if they had arrived from outside.

Nothing is downloaded. The example pipelines in `defs/` read these folders.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from pynomaly_pipelines.examples import airport_delays, cytology, flights
from pynomaly_pipelines.examples.landing import Progress, place
from pynomaly_pipelines.operations.errors import SourceMissing

NAMES = ("flights", "airport_delays", "cytology")
_MODULES: dict[str, ModuleType] = dict(zip(NAMES, (flights, airport_delays, cytology), strict=True))


def write(project: Path, names: Iterable[str] | None = None, progress: Progress | None = None) -> dict[str, Path]:
    """Write the arrivals of the named examples (by default of all) under `project`; the folder of each.

    Running it again changes nothing: the bytes are the same each time, and a file that holds them is left alone.

    Raises:
        SourceMissing: there is no example of that name, or the package with its data is not installed.
    """
    return {name: _write(project / "landing" / name, _module(name), progress) for name in names or NAMES}


def _module(name: str) -> ModuleType:
    if name not in _MODULES:
        raise SourceMissing(
            f"there is no example {name!r}", rule=f"the examples are {', '.join(NAMES)}", fix="use one of these names"
        )
    return _MODULES[name]


def _write(folder: Path, module: ModuleType, progress: Progress | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for done, (name, content) in enumerate(module.arrivals(), start=1):
        place(folder / name, content)
        if progress is not None:
            progress(folder.name, done, module.FILES)
    return folder
