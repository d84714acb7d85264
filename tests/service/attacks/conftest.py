"""A real service, attacked over real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving import Serving, serving


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One process with short times; every test must leave it serving."""
    folder = tmp_path_factory.mktemp("attacked")
    with serving(
        folder,
        also="tests.service.attacks.echo",
        header_timeout_seconds=3,
        body_timeout_seconds=3,
        connection_limit=4096,
        body_limit_bytes=1_000_000,
        rate_read="1000000/1",
        rate_write="1000000/1",
    ) as found:
        yield found


@pytest.fixture(autouse=True)
def _still_serving(served: Serving) -> Iterator[None]:
    """After every attack an honest request is answered, and nothing was answered with a fault of ours."""
    yield
    assert served.honest()
    unexpected = [line for line in served.lines() if line.get("status", 0) >= 500 and "/failing" not in line["path"]]
    assert unexpected == []
