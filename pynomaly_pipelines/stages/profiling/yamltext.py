"""Values become text for a YAML file that people read and edit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import numpy as np

_SPECIAL = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def flow(value: object) -> str:
    """A value inside a flow mapping; plain where that is safe, lists and mappings in brackets."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(float(value))
    text = str(value)
    plain = re.fullmatch(r"[A-Za-z_/][A-Za-z0-9_./%-]*( [A-Za-z0-9_./%-]+)*", text) and text.lower() not in _SPECIAL
    return text if plain or not isinstance(value, str) else _quoted(text)


def _quoted(text: str) -> str:
    """In double quotes; what does not print is escaped as YAML has it, which JSON does not."""
    plain = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in plain)


def number(value: float) -> str:
    """Six significant digits, never with an exponent, which YAML would take for text."""
    text = f"{value:.6g}"
    if "e" not in text:
        return text if float(text) == value or value != int(value) else str(int(value))
    return str(int(value)) if value == int(value) else f"{value:.12f}".rstrip("0")


def outward(value: float, *, down: bool) -> float:
    """Rounded to two digits, away from the data: down for the lower end of a range, up for the upper."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - 1)
    return float((np.floor if down else np.ceil)(value / unit) * unit)
