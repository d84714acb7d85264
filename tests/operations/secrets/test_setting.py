"""The grammar of PYNOMALY_SECRETS: what is understood, and what is said of the rest."""

from __future__ import annotations

import pytest

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.secrets.setting import (
    AwsSetting,
    EnvironmentSetting,
    FilesSetting,
    Freshness,
    VaultSetting,
    parse,
)


def test_the_environment_is_the_default() -> None:
    assert parse("environment") == EnvironmentSetting() == parse("")


def test_files() -> None:
    assert parse("files:/run/secrets") == FilesSetting("/run/secrets", Freshness(5.0, 3600.0, 3.0))
    assert parse("files:/a?refresh_seconds=0.5&stale_seconds=0").freshness == Freshness(0.5, 0.0, 3.0)


def test_vault_with_everything() -> None:
    found = parse(
        "vault:https://bao.example:8200/kv/team/pynomaly?role_id_file=/r&secret_id_file=/s&wrapped=yes&approle=machines"
        "&namespace=data&ca_file=/ca.pem&database-url=database/creds/accounts&timeout_seconds=1.5"
    )
    assert found == VaultSetting(
        address="https://bao.example:8200",
        mount="kv",
        path="team/pynomaly",
        role_id_file="/r",
        secret_id_file="/s",
        wrapped=True,
        approle="machines",
        namespace="data",
        ca_file="/ca.pem",
        database_roles=(("database-url", "database/creds/accounts"),),
        freshness=Freshness(30.0, 3600.0, 1.5),
    )


def test_a_mount_with_a_slash() -> None:
    found = parse("vault:https://bao/team/kv/pynomaly?mount=team/kv&token_file=/t")
    assert isinstance(found, VaultSetting)
    assert (found.mount, found.path) == ("team/kv", "pynomaly")


def test_aws() -> None:
    assert parse("aws:eu-central-1/prod/pynomaly") == AwsSetting("eu-central-1", "prod/pynomaly")
    assert parse("aws:us-gov-west-1/p?endpoint=https://vpce").endpoint == "https://vpce"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("keychain", "it is one of environment, files:/folder"),
        ("environment:x", "it is one of"),
        ("files:run/secrets", "the full path of a folder"),
        ("files:/a?colour=red", "there is no option 'colour' here"),
        ("files:/a?refresh_seconds=0", "a number from 0.05 to 86400"),
        ("files:/a?refresh_seconds=often", "a number from 0.05"),
        ("files:/a?refresh_seconds=nan", "a number from 0.05"),
        ("files:/a?stale_seconds=1&stale_seconds=2", "an option is given once"),
        ("vault:bao.example/secret/x", "comes the server's address"),
        ("vault:https://bao:port/secret/x", "comes the server's address"),
        ("vault:https://bao", "followed by a key-value mount and a path"),
        ("vault:https://bao/secret", "followed by a key-value mount and a path"),
        ("vault:http://bao.example/secret/x", "secrets travel over https"),
        ("vault:https://bao/secret/x?role_id_file=/r", "needs role_id_file and secret_id_file"),
        ("vault:https://bao/s/x?role_id_file=/r&secret_id_file=/s&token_file=/t", "there is one way to log in"),
        ("vault:https://bao/s/x?wrapped=yes", "how secret_id_file is read"),
        ("vault:https://bao/s/x?wrapped=1", "wrapped is yes or no"),
        ("vault:https://bao/s/x?database-url=accounts", "names a database role"),
        ("aws:pynomaly", "a region and a prefix"),
        ("aws:eu-central-1", "a region and a prefix"),
    ],
)
def test_what_breaks_a_rule(text: str, rule: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text)
    assert text in str(caught.value)
    assert rule in caught.value.rule
    assert caught.value.fix


@pytest.mark.parametrize("user", ["hvs.token", "app:hushhush"])
def test_credentials_in_the_setting_are_refused_and_not_shown(user: str) -> None:
    with pytest.raises(SettingsError, match="credentials come from files") as caught:
        parse(f"vault:https://{user}@bao/secret/x")
    assert user not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_plain_http_on_this_machine_or_on_demand() -> None:
    assert isinstance(parse("vault:http://127.0.0.1:8200/secret/x"), VaultSetting)
    assert isinstance(parse("vault:http://bao.mesh/secret/x?plain_http=yes"), VaultSetting)
