"""The login page: from this host alone, and no other site's form can stand in for it."""

from __future__ import annotations

import re

import pytest

from pynomaly_pipelines.service.access.permissions import Role
from tests.service.conftest import ClientAs


def test_the_page_and_what_it_is_made_of_come_from_here(client_as: ClientAs) -> None:
    client = client_as(Role.VIEWER)
    page = client.get("/login")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert parts == ["/login/login.css", "/login/login.js"]
    for part in parts:
        assert client.get(part).status_code == 200
    assert not re.search(r"https?://", page.text)


def test_nothing_inline_may_run_and_nobody_may_frame_it(client_as: ClientAs) -> None:
    policy = client_as(Role.VIEWER).get("/login").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("file", ["login.py", "%2e%2e%5capp.py"])
def test_no_other_file_is_served(client_as: ClientAs, file: str) -> None:
    assert client_as(Role.VIEWER).get(f"/login/{file}").status_code in (400, 404)
