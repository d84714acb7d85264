"""A new password -> accepted, or refused with what is wrong (NIST SP 800-63B-4, 3.1.1.2).

Length, a list of common passwords, words of the context, an estimate of strength. No rules of composition, no forced
change: both lead to worse passwords.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence

from pynomaly_pipelines.operations.errors import Unprocessable
from pynomaly_pipelines.service.auth.passwords import MOST_BYTES, normalised

PRODUCT = ("pynomaly", "pipelines", "dagster", "mlflow", "anomaly")
_ESTIMATED = 72
"""Characters zxcvbn takes; more are accepted, they are only not estimated."""
_SHORTEST_WORD = 4


def check(password: str, name: str, *, length: int, strength: int) -> None:
    """Accept it silently.

    Args:
        password: the new one.
        name: of the account.
        length: fewest characters.
        strength: least estimate of zxcvbn, 0 to 4.

    Raises:
        Unprocessable: it is too short, too long, common, made of the name or product, or easily guessed.
    """
    text = normalised(password)
    problem = _shape(text, length) or _common(text, name) or _weak(text, name, strength)
    if problem:
        raise Unprocessable(
            f"the password {problem}",
            rule=f"{length} characters or more of any kind, up to {MOST_BYTES} bytes, not among common passwords, not "
            "made of the account's or the product's name, hard to guess",
            fix="take several words that do not belong together, or have a password manager make one",
        )


def _shape(text: str, length: int) -> str:
    if len(text) < length:
        return f"has {len(text)} characters"
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return f"has more than {MOST_BYTES} bytes"
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        return "has control characters"
    return ""


def _common(text: str, name: str) -> str:
    plain = text.casefold()
    # A common password with figures or signs around it, or several times, is as common.
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain)
    repeated = re.fullmatch(r"(.+?)\1+", plain)
    if {plain, core, repeated.group(1) if repeated else plain} & common():
        return "is among the common ones"
    left = plain
    for word in sorted(_context(name), key=len, reverse=True):
        left = left.replace(word, "")
    if left != plain and len(re.sub(r"[\W\d_]", "", left)) < _SHORTEST_WORD * 2:
        return "is little more than the name of the account or the product"
    return ""


def _weak(text: str, name: str, strength: int) -> str:
    from zxcvbn import zxcvbn

    estimate = zxcvbn(text[:_ESTIMATED], user_inputs=[name, *_context(name)])
    if estimate["score"] >= strength:
        return ""
    warning = estimate["feedback"]["warning"].rstrip(".")
    return "is easily guessed" + (f": {warning[0].lower()}{warning[1:]}" if warning else "")


def _context(name: str) -> Sequence[str]:
    parts = re.split(r"[^0-9a-z]+", name.casefold())
    return [word for word in (name.casefold(), *parts, *PRODUCT) if len(word) >= _SHORTEST_WORD]


@functools.cache
def common() -> frozenset[str]:
    """Some thirty thousand passwords from leaks, the most frequent ones, in lower case."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])
