"""requirements.lock: whole, hashed, free of addresses, and not older than pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def _declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lists = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    return [Requirement(text) for entries in lists for text in entries]


def _locked() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for block in re.split(r"\n(?=\S)", LOCK):
        if not block.startswith("#"):
            requirement = Requirement(block.split("\\")[0].strip())
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


@pytest.mark.parametrize("declared", _declared(), ids=str)
def test_the_lock_satisfies_what_is_declared(declared: Requirement) -> None:
    pins = _locked().get(canonicalize_name(declared.name), [])
    assert pins, f"{declared.name} is not in requirements.lock. Fix: make lock"
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert declared.specifier.contains(exact.version), f"{declared} but {pin} is locked. Fix: make lock"


def test_every_pin_has_a_hash() -> None:
    blocks = [block for block in re.split(r"\n(?=\S)", LOCK) if not block.startswith("#")]
    assert len(blocks) > 100
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_lock_names_no_address_and_no_folder() -> None:
    assert re.findall(r"\w+://\S*|^\s*-[if].*|(?<!\w)/\w+/\S*", LOCK, flags=re.MULTILINE) == []
