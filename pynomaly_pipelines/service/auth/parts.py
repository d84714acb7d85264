"""What logging in and recognising callers need, made once a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pynomaly_pipelines.operations.secrets.process import resolved
from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.auth import lockout, signing_keys, tokens
from pynomaly_pipelines.service.auth.key_encryption import KeyEncryption
from pynomaly_pipelines.service.auth.passwords import Passwords
from pynomaly_pipelines.service.auth.permission_epoch import PermissionEpoch, permission_epoch
from pynomaly_pipelines.service.auth.recognition import Identity, Recognition
from pynomaly_pipelines.service.auth.remembered import Remembered
from pynomaly_pipelines.service.auth.signing_keys import SigningKeys
from pynomaly_pipelines.service.auth.workers import Workers
from pynomaly_pipelines.service.settings import ServiceSettings


@dataclass(frozen=True)
class Lifetimes:
    """How long what is given out holds."""

    access: timedelta
    refresh: timedelta
    session: timedelta


@dataclass(frozen=True)
class Auth:
    """The parts. `clock` gives seconds since 1970."""

    settings: ServiceSettings
    database: Database
    passwords: Passwords
    lockout: lockout.Rule
    lifetimes: Lifetimes
    workers: Workers
    keys: SigningKeys
    token_rule: tokens.Rule
    epoch: PermissionEpoch
    recognition: Recognition
    remembered: Remembered[Identity]
    clock: Callable[[], float] = time.time

    @classmethod
    def of(
        cls, settings: ServiceSettings, database: Database, home: Path, clock: Callable[[], float] = time.time
    ) -> Auth:
        """The parts that the settings describe."""
        encryption = KeyEncryption.of(resolved(settings.key_encryption_key.get_secret_value()), home)
        keys = SigningKeys(database, encryption, signing_keys.Rule.of(settings))
        rule = tokens.Rule.of(settings)
        return cls(
            settings=settings,
            database=database,
            passwords=Passwords(settings),
            lockout=lockout.Rule.of(settings),
            lifetimes=Lifetimes(
                timedelta(seconds=settings.access_token_seconds),
                timedelta(seconds=settings.refresh_token_seconds),
                timedelta(seconds=settings.session_seconds),
            ),
            workers=Workers(settings.password_workers, settings.password_queue),
            keys=keys,
            token_rule=rule,
            epoch=permission_epoch(database, settings.database_statement_seconds),
            recognition=Recognition(database, keys, rule),
            remembered=Remembered(settings.token_cache),
            clock=clock,
        )

    def now(self) -> datetime:
        """The time."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def close(self) -> None:
        """End threads, let go of connections."""
        self.workers.close()
        self.epoch.close()
