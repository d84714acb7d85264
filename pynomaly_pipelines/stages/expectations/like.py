"""SQL's LIKE patterns become regular expressions: Great Expectations has LIKE for databases only."""

from __future__ import annotations

import re
from typing import Any


def as_regex(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """`expect_…_like_pattern…` and its arguments as the expectation on regular expressions that says the same."""
    rest = {k: v for k, v in arguments.items() if k not in ("like_pattern", "like_pattern_list", "escape")}
    escape = arguments.get("escape")
    if "like_pattern_list" in arguments:
        rest["regex_list"] = [regex(pattern, escape) for pattern in arguments["like_pattern_list"]]
    else:
        rest["regex"] = regex(arguments["like_pattern"], escape)
    return name.replace("like_pattern", "regex"), rest


def regex(pattern: str, escape: str | None = None) -> str:
    """`%` is any text, `_` any one character, what follows `escape` itself; case counts, and the whole text."""
    parts, literal = [], False
    for character in pattern:
        if literal or character not in ("%", "_", escape):
            parts.append(re.escape(character))
            literal = False
        elif character == escape:
            literal = True
        else:
            parts.append(".*" if character == "%" else ".")
    return f"^(?s:{''.join(parts)})$"
