"""Nothing of a known secret is left in texts, log lines and errors."""

from __future__ import annotations

import io
import json
import logging

import pytest

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.redaction import RedactingFilter, redact, redact_all, redacted_event, remember
from pynomaly_pipelines.operations.secrets import Secret

PASSWORD = "k7/Qz:w n%é"  # pragma: allowlist secret
QUOTED = "k7%2FQz%3Aw%20n%25%C3%A9"


def test_a_value_known_is_blotted_out() -> None:
    Secret("api-key", "pn_live_4f9c", "1")
    assert redact("key pn_live_4f9c was used, pn_live_4f9c") == "key *** was used, ***"
    assert redact("nothing here") == "nothing here"


def test_of_two_values_the_longer_goes_first() -> None:
    remember("tower-of-salt")
    remember("tower-of")
    assert redact("tower-of-salt and tower-of") == "*** and ***"


def test_the_password_of_a_url_in_every_form_it_is_written() -> None:
    Secret("database-url", f"postgresql+psycopg://app:{QUOTED}@db:5432/accounts", "1")
    assert redact(f"driver says: {PASSWORD}!") == "driver says: ***!"
    assert redact(f"url holds {QUOTED}") == "url holds ***"
    assert redact("k7%2FQz%3Aw+n%25%C3%A9") == "***"
    assert redact("app on db:5432") == "app on db:5432"


def test_urls_with_a_password_nobody_has_told_of() -> None:
    shown = redact("connect to mysql://root:whoknows@db/x failed")  # pragma: allowlist secret
    assert shown == "connect to mysql://root:***@db/x failed"
    untouched = "see http://host:8080/a?mail=me@example.org and mailto:me@example.org"
    assert redact(untouched) == untouched


def test_private_parts_of_keys_but_not_their_names() -> None:
    keys = {"keys": [{"kty": "OKP", "kid": "2026-11-key-one", "d": "nWGxne_9WmC6hEr0", "x": "11qYAYKxCrfVS_7T"}]}
    Secret("signing-keys", json.dumps(keys), "1")
    assert redact("kid 2026-11-key-one d nWGxne_9WmC6hEr0 x 11qYAYKxCrfVS_7T") == (
        "kid 2026-11-key-one d *** x 11qYAYKxCrfVS_7T"
    )


def test_lines_of_a_pem_file() -> None:
    line = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v"
    name = "PRIVATE " + "KEY"
    Secret("tls-key", f"-----BEGIN {name}-----\n{line}\n-----END {name}-----\n", "1")
    assert redact(f"bad line {line}") == "bad line ***"


def test_a_short_value_is_no_secret() -> None:
    remember("abc")
    assert redact("abcdef") == "abcdef"


def test_memory_is_bounded() -> None:
    for number in range(700):
        remember(f"rotated-{number:05d}")
    assert redact("rotated-00000 rotated-00699") == "rotated-00000 ***"


def test_errors_of_the_product_show_none() -> None:
    Secret("smtp-url", "smtps://bot:verysecretword@mail", "1")  # pragma: allowlist secret
    error = SettingsError("verysecretword is wrong", rule="not verysecretword", fix="no verysecretword")
    assert "verysecretword" not in f"{error} {error!r} {error.problem} {error.rule} {error.fix}"


def test_structlog_events_all_the_way_down() -> None:
    remember("deepvalue")
    event = {"event": "a deepvalue", "list": ["deepvalue", 1], "tuple": ("deepvalue",), "map": {"k": {"deepvalue": 2}},
             "error": ValueError("deepvalue")}  # fmt: skip
    assert redacted_event(None, "info", event) == {
        "event": "a ***", "list": ["***", 1], "tuple": ("***",), "map": {"k": {"***": 2}},
        "error": "ValueError('***')",
    }  # fmt: skip
    assert redact_all(3.5) == 3.5


def test_log_lines_with_arguments_and_tracebacks() -> None:
    remember("loggedvalue")
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("test_redaction")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        raise ConnectionError("refused loggedvalue")
    except ConnectionError:
        logger.exception("for %s and %d", "loggedvalue", 7)
    logger.removeHandler(handler)
    assert "loggedvalue" not in written.getvalue()
    assert "for *** and 7" in written.getvalue()
    assert "ConnectionError: refused ***" in written.getvalue()


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import OrderedDict

    from pynomaly_pipelines.operations import redaction

    monkeypatch.setattr(redaction, "_known", OrderedDict())
    monkeypatch.setattr(redaction, "_longest_first", ())
