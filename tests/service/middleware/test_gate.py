"""Trusted networks and names."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.middleware.gate import address_check
from pynomaly_pipelines.service.settings import ServiceSettings, read_settings


def test_addresses_in_networks_of_both_families() -> None:
    inside = address_check(["10.0.0.0/8", "fd00::/8"])
    assert inside("10.255.0.1")
    assert inside("fd12::1")
    assert not inside("11.0.0.1")
    assert not inside("not an address")
    assert not address_check([])("10.0.0.1")


def test_what_is_no_network_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match="trusted_proxies"):
        address_check(["10.0.0.1/8"])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.example.org", 404),
        ("api.example.org:8443", 404),
        ("API.EXAMPLE.ORG", 404),
        ("a.svc.local", 404),
        ("svc.local", 400),
        ("evilsvc.local", 400),
        ("api.example.org.evil", 400),
        ("", 400),
    ],
)
def test_names_and_subdomains(host: str, expected: int) -> None:
    settings = ServiceSettings(trusted_hosts=("api.example.org", "*.svc.local"))
    client = TestClient(create_app(settings), raise_server_exceptions=False)
    assert client.get("/nothing", headers={"host": host}).status_code == expected
    # Orchestrators ask by address.
    assert client.get("/health/live", headers={"host": "10.1.2.3:8000"}).status_code == 200


def test_a_wrong_setting_is_named_and_its_value_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_SERVICE_PORT", "top-private")
    with pytest.raises(SettingsError, match="PYNOMALY_SERVICE_PORT") as refused:
        read_settings()
    assert "top-private" not in str(refused.value)
    monkeypatch.setenv("PYNOMALY_SERVICE_PORT", "80")
    monkeypatch.setenv("PYNOMALY_SERVICE_TRUSTED_HOSTS", "localhost")
    with pytest.raises(SettingsError, match="trusted_hosts"):
        read_settings()
