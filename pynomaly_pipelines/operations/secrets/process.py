"""The store of this process, as PYNOMALY_SECRETS says, and what pipelines ask it for."""

from __future__ import annotations

import atexit
import functools
import os

from pynomaly_pipelines.operations.errors import SecretMissing, SettingsError
from pynomaly_pipelines.operations.secrets.aws import Aws
from pynomaly_pipelines.operations.secrets.environment import Environment
from pynomaly_pipelines.operations.secrets.files import Files
from pynomaly_pipelines.operations.secrets.provider import Provider
from pynomaly_pipelines.operations.secrets.secret import SecretName
from pynomaly_pipelines.operations.secrets.setting import AwsSetting, FilesSetting, Setting, VaultSetting, parse
from pynomaly_pipelines.operations.secrets.store import SecretStore
from pynomaly_pipelines.operations.secrets.vault import Vault
from pynomaly_pipelines.operations.settings import Settings

_REFERENCE = "secret:"


def secret_store(setting: str) -> SecretStore:
    """The store that a value of PYNOMALY_SECRETS names. Nothing is asked of it yet.

    Raises:
        SettingsError: the value breaks a rule.
        SecretError: the client library is not installed.
    """
    parsed = parse(setting)
    return SecretStore(_provider(parsed), parsed.freshness)


def _provider(setting: Setting) -> Provider:
    match setting:
        case FilesSetting():
            return Files(setting)
        case VaultSetting():
            return Vault(setting)
        case AwsSetting():
            return Aws(setting)
        case _:
            return Environment()


def process_store() -> SecretStore:
    """The one that everything in this process shares; closed at its end."""
    return _shared(Settings.from_environment().secrets, os.getpid())


@functools.cache
def _shared(setting: str, _process: int) -> SecretStore:
    # A forked process has a store of its own: threads, connections and leases are not inherited.
    store = secret_store(setting)
    atexit.register(store.close)
    return store


def variable(name: str, *, purpose: str) -> str:
    """The secret that a pipeline's YAML names as an environment variable, from the store of this process.

    Raises:
        SettingsError: the store does not have it.
        SecretError: the store can't be asked.
    """
    wanted = SecretName.of_variable(name)
    try:
        return process_store().current(wanted).reveal()
    except SecretMissing as error:
        raise missing(wanted, error, purpose) from None


def missing(wanted: SecretName, error: SecretMissing, purpose: str) -> SettingsError:
    """What to say of a variable in YAML that nothing is behind."""
    return SettingsError(
        error.problem,
        rule=f"it holds {purpose}",
        fix=f"set {wanted.variable} for every process that runs pipelines (in other stores of secrets it is called "
        f"{wanted.name}), or name another in defs.yaml",
    )


def resolved(text: str) -> str:
    """A setting that may be a reference: `secret:registry-url` becomes that secret's value, other texts stay.

    Raises:
        SecretError: it can't be had.
    """
    if not text.startswith(_REFERENCE):
        return text
    return process_store().get(text.removeprefix(_REFERENCE)).reveal()
