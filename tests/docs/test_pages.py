"""The pages: every pipeline shown is valid, every table of words and commands is the product's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from pynomaly_pipelines import specfile
from pynomaly_pipelines.spec import PipelineSpec

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def _blocks(language: str) -> list[tuple[str, str]]:
    """Name (`page:line`) and text of each fenced block in that language."""
    pattern = re.compile(rf"^```{language}\b[^\n]*\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    return [
        (f"{page.relative_to(ROOT)}:{text[: found.start()].count(chr(10)) + 1}", found.group(1))
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for found in pattern.finditer(text)
    ]


@pytest.mark.parametrize(("place", "text"), [pytest.param(*block, id=block[0]) for block in _blocks("yaml")])
def test_every_yaml_is_a_valid_pipeline_or_a_part_of_one(place: str, text: str, tmp_path: Path) -> None:
    document = yaml.safe_load(text)
    if "type" not in document:
        # A part: it must be valid in the smallest pipeline there is.
        smallest = {"source": {"type": "csv", "path": "a.csv"}, "time": "at"}
        document = {"type": specfile.COMPONENT, "attributes": {**smallest, **document}}
    file = tmp_path / "shown" / "defs.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    (entry,) = specfile.read(file)
    assert entry.problems == ()
    assert isinstance(entry.spec, PipelineSpec)


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in specfile.find(ROOT / "pynomaly_pipelines" / "defs")))
def test_every_pipeline_of_the_package_is_on_the_examples_page(folder: str) -> None:
    assert f"\n## {folder}\n" in (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")


def test_every_make_target_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    shown = {
        name for _, text in _blocks("console") for name in re.findall(r"^\$ make ([a-z-]+)", text, flags=re.MULTILINE)
    }
    assert shown
    assert shown <= targets


def _commands() -> list[str]:
    """Each `pynomaly …` shown, in a console block or in the text."""
    found = [
        line for _, text in _blocks("console") for line in re.findall(r"^\$ (pynomaly [^\n]+)", text, re.MULTILINE)
    ]
    for page in PAGES:
        found += re.findall(r"`(pynomaly [a-z][^`\n]*)`", page.read_text(encoding="utf-8"))
    return sorted(set(found))


@pytest.mark.parametrize("line", _commands())
def test_every_command_shown_is_one_the_program_takes(line: str) -> None:
    from pynomaly_pipelines.cli import main

    _, name, *arguments = shlex.split(line)
    assert name in main.commands
    command = main.commands[name]
    if isinstance(command, click.Group) and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    # Parses the arguments as the program would, without running anything.
    command.make_context(name, arguments, resilient_parsing=False)


def test_every_page_is_in_the_navigation() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = set(re.findall(r"[\w/-]+\.md", str(navigation)))
    assert listed == {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}


def test_quoted_defaults_are_the_specs() -> None:
    shown = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    spec = PipelineSpec.model_validate({"source": {"type": "csv", "path": "a.csv"}})
    assert f"the last {spec.training.window} partitions" in shown
    assert f"about one ordinary row in {round(1 / spec.alert_rate)} may alert" in shown
