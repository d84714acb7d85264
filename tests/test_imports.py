"""Who may import whom: the house's layers, and the libraries that have one room each.

Reads the source, so that an import inside a function counts as much as one at the top.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "pynomaly_pipelines"

# From the roof to the cellar; a module may import its own layer and those below.
LAYERS = (
    ("cli", "definitions", "defs", "examples"),
    ("components", "running", "serving_locally"),
    ("pipeline", "service"),
    ("automation", "presentation", "project", "scaffolding"),
    ("stages",),
    ("resources",),
    ("detection", "specfile", "partitions"),
    ("spec",),
    ("operations",),
)

# Library -> where it may be imported at all.
ROOMS = {
    "mlflow": ("resources.registry", "resources.pyfunc"),
    "pyod": ("detection",),
}
DAGSTER_FREE = ("stages", "detection")
# Seconds each; `import pynomaly_pipelines.definitions` stays light.
HEAVY = frozenset({"great_expectations", "mlflow", "pyod", "sklearn", "matplotlib", "numba"})


@dataclass(frozen=True)
class Import:
    target: str
    line: int
    at_top: bool

    @property
    def library(self) -> str:
        return self.target.split(".")[0]


def violations(module: str, source: str) -> list[str]:
    """What is wrong with the imports of `module`, named from the package's root (`stages.scoring`)."""
    return [f"{module}:{found.line}: {problem}" for found in _imports(source) for problem in _problems(module, found)]


def _problems(module: str, found: Import) -> Iterator[str]:
    if found.library == PACKAGE and found.target not in (PACKAGE, f"{PACKAGE}.__version__"):
        inner = found.target.removeprefix(f"{PACKAGE}.")
        if _layer(inner) < _layer(module):
            yield f"the arrow runs up: {module} must not import {inner}"
    if found.library.startswith("dagster") and _within(module, DAGSTER_FREE):
        yield f"{_room(module)}/ knows no Dagster"
    if found.library in ROOMS and not _within(module, ROOMS[found.library]):
        yield f"{found.library} belongs in {', '.join(ROOMS[found.library])}"
    if found.library in HEAVY and found.at_top:
        yield f"{found.library} takes seconds to import: import it in the function that needs it"


def _imports(source: str) -> Iterator[Import]:
    yield from _walk(ast.parse(source), at_top=True)


def _walk(node: ast.AST, at_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_top) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from _import_from(child, at_top)
        else:
            yield from _walk(child, at_top and not _deferred(child))


def _import_from(node: ast.ImportFrom, at_top: bool) -> Iterator[Import]:
    if node.level:
        yield Import(f"{PACKAGE}.<relative>", node.lineno, at_top)
    elif node.module == PACKAGE:
        yield from (Import(f"{PACKAGE}.{alias.name}", node.lineno, at_top) for alias in node.names)
    else:
        yield Import(str(node.module), node.lineno, at_top)


def _deferred(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return True
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _room(module: str) -> str:
    return module.split(".")[0]


def _layer(module: str) -> int:
    for depth, rooms in enumerate(LAYERS):
        if _room(module) in rooms:
            return depth
    raise AssertionError(f"{module!r} has no layer: add its room to LAYERS, or import it by its full name")


def _within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _modules() -> dict[str, Path]:
    files = (ROOT / PACKAGE).rglob("*.py")
    names = {p.relative_to(ROOT / PACKAGE).with_suffix(""): p for p in files}
    return {".".join(n.parts).removesuffix(".__init__"): p for n, p in names.items() if n != Path("__init__")}


@pytest.mark.parametrize("module", sorted(_modules()))
def test_imports_keep_to_the_layers(module: str) -> None:
    assert violations(module, _modules()[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source", "problem"),
    [
        ("stages.scoring", "from pynomaly_pipelines.pipeline import build", "the arrow runs up"),
        ("stages.scoring", "from pynomaly_pipelines import pipeline", "the arrow runs up"),
        ("operations.health", "def f():\n    import pynomaly_pipelines.resources.tables", "the arrow runs up"),
        ("spec", "from pynomaly_pipelines.stages.scoring import score", "the arrow runs up"),
        ("detection.columns", "import dagster as dg", "knows no Dagster"),
        ("stages.training", "def f():\n    from dagster import asset", "knows no Dagster"),
        ("stages.training", "def f():\n    import mlflow.pyfunc", "mlflow belongs in resources.registry"),
        ("service.app", "def f():\n    from pyod.models.knn import KNN", "pyod belongs in detection"),
        ("detection.members", "from pyod.models.knn import KNN", "takes seconds to import"),
        ("detection.members", "try:\n    import numba\nexcept ImportError:\n    pass", "takes seconds to import"),
        ("detection.members", "class A:\n    import sklearn", "takes seconds to import"),
    ],
)
def test_a_planted_violation_is_caught(module: str, source: str, problem: str) -> None:
    found = violations(module, source)
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pipeline", "import dagster as dg\nfrom pynomaly_pipelines.stages import scoring"),
        ("cli", "from pynomaly_pipelines import __version__\nfrom pynomaly_pipelines import examples"),
        ("resources.registry", "def f():\n    import mlflow"),
        ("detection.members", "def f():\n    from pyod.models.knn import KNN"),
        (
            "stages.plots",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from matplotlib.figure import Figure",
        ),
        ("partitions", "from pynomaly_pipelines.spec import PipelineSpec"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_relative_imports_are_refused() -> None:
    with pytest.raises(AssertionError, match="by its full name"):
        violations("stages.scoring", "from . import reading")
