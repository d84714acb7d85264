"""The database's signing keys: one that signs, one that comes next, and those that still verify.

A key is published (JWKS) before it signs and after it signed, so that nobody who keeps a copy of the published keys
meets a token of an unknown one. It rotates when it is old enough, in whichever process issues a token first, or by
command.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from sqlalchemy.orm import Session

from pynomaly_pipelines.service.accounts.database import Database
from pynomaly_pipelines.service.accounts.tables import SigningKey, now
from pynomaly_pipelines.service.auth.key_encryption import KeyEncryption
from pynomaly_pipelines.service.auth.permission_epoch import read_epoch
from pynomaly_pipelines.service.settings import ServiceSettings

NEXT, ACTIVE, RETIRED = "next", "active", "retired"
_RSA_BITS = 2048
_KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RS256": RSAKey, "ES256": ECKey, "Ed25519": OKPKey}


@dataclass(frozen=True)
class Verifier:
    """A public key, the one algorithm it is for, and how long it counts."""

    key: Key
    algorithm: str
    expires_at: datetime | None


@dataclass(frozen=True)
class Signer:
    """The private key that signs now."""

    kid: str
    algorithm: str
    key: Key


@dataclass(frozen=True)
class Rule:
    """What keys are made and how long they do what."""

    algorithm: str
    rotated_after: timedelta
    overlap: timedelta
    """How long a retired key verifies: as long as a token it signed can hold."""

    @classmethod
    def of(cls, settings: ServiceSettings) -> Rule:
        """The settings' rule."""
        holds = settings.access_token_seconds + settings.token_leeway_seconds
        return cls(settings.signing_algorithm, timedelta(days=settings.key_rotation_days), timedelta(seconds=holds))


class SigningKeys:
    """The keys as this process knows them; read anew whenever the permission epoch has moved."""

    def __init__(self, database: Database, encryption: KeyEncryption, rule: Rule) -> None:
        """Nothing is read yet."""
        self._database = database
        self._encryption = encryption
        self._rule = rule
        self._lock = threading.Lock()
        self._read_at: int | None = None
        self._verifiers: Mapping[str, Verifier] = {}
        self._signer: Signer | None = None

    def verifiers(self, epoch: int) -> Mapping[str, Verifier]:
        """`kid` -> public key, as of this epoch or later."""
        with self._lock:
            if self._read_at != epoch:
                with self._database.reading() as session:
                    # First the epoch: what changes after it moves it on, and this is read again.
                    self._read_at = read_epoch(session)
                    rows = session.scalars(sa.select(SigningKey)).all()
                self._verifiers = {row.kid: _verifier(row) for row in rows}
            return self._verifiers

    def signer(self, at: datetime | None = None) -> Signer:
        """The key that signs now; made when there is none, rotated when it is due."""
        moment = at or now()
        with self._database.reading() as session:
            row = session.scalar(sa.select(SigningKey).where(SigningKey.state == ACTIVE))
        if row is None or (row.activated_at is not None and moment - row.activated_at >= self._rule.rotated_after):
            row = self.rotate(moment, unless_newer_than=row.kid if row else "")
        held = self._signer
        if held is None or held.kid != row.kid:
            private = json.loads(self._encryption.decrypt(row.private_jwk, row.kid))
            held = self._signer = Signer(row.kid, row.algorithm, _KINDS[row.algorithm].import_key(private))
        return held

    def rotate(
        self, at: datetime | None = None, *, unless_newer_than: str | None = None, compromised: bool = False
    ) -> SigningKey:
        """Retire the active key, have the next one sign, make another next one: the active key now.

        Args:
            at: now, by default.
            unless_newer_than: only if this key is still the active one, so that of several processes one rotates.
            compromised: the keys of before verify nothing any more, and the next one is not used either.
        """
        moment = at or now()
        # Made outside the transaction: an RSA key takes a second at worst.
        fresh = [self._made(moment), self._made(moment)]
        with self._database.writing() as session:
            return self._rotate(session, moment, fresh, unless_newer_than, compromised)

    def _rotate(
        self, session: Session, at: datetime, fresh: list[SigningKey], expected: str | None, compromised: bool
    ) -> SigningKey:
        _alone(session)
        rows = {row.state: row for row in session.scalars(sa.select(SigningKey).where(SigningKey.state != RETIRED))}
        active, following = rows.get(ACTIVE), rows.get(NEXT)
        if expected is not None and active is not None and active.kid != expected:
            return active
        if active is not None:
            _retire(active, at if compromised else at + self._rule.overlap)
        if following is not None and compromised:
            _retire(following, at)
        if compromised:
            session.execute(sa.update(SigningKey).where(SigningKey.state == RETIRED).values(expires_at=at))
        # One statement after the other: at no moment may two keys be active.
        session.flush()
        chosen = following if following is not None and not compromised else fresh.pop()
        chosen.state, chosen.activated_at = ACTIVE, at
        session.add(chosen)
        session.flush()
        session.add(fresh.pop())
        session.execute(sa.delete(SigningKey).where(SigningKey.state == RETIRED, SigningKey.expires_at <= at))
        return chosen

    def published(self, at: datetime | None = None) -> list[dict[str, Any]]:
        """The public keys that verify or will verify (RFC 7517), the signing one first."""
        moment = at or now()
        with self._database.reading() as session:
            rows = session.scalars(sa.select(SigningKey).order_by(SigningKey.state, SigningKey.created_at)).all()
        return [
            {**json.loads(row.public_jwk), "kid": row.kid, "alg": row.algorithm, "use": "sig"}
            for row in rows
            if row.expires_at is None or row.expires_at > moment
        ]

    def _made(self, at: datetime) -> SigningKey:
        algorithm = self._rule.algorithm
        key = _new(algorithm)
        kid = key.thumbprint()
        return SigningKey(
            kid=kid,
            algorithm=algorithm,
            state=NEXT,
            public_jwk=json.dumps(key.as_dict(private=False)),
            private_jwk=self._encryption.encrypt(json.dumps(key.as_dict(private=True)), kid),
            created_at=at,
        )


def _alone(session: Session) -> None:
    """Other processes that rotate wait; SQLite's write lock does that by itself."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(sa.text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"))


def _retire(key: SigningKey, until: datetime) -> None:
    key.state, key.expires_at, key.private_jwk = RETIRED, until, ""


def _new(algorithm: str) -> RSAKey | ECKey | OKPKey:
    if algorithm == "RS256":
        return RSAKey.generate_key(_RSA_BITS)
    return ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")


def _verifier(row: SigningKey) -> Verifier:
    return Verifier(_KINDS[row.algorithm].import_key(json.loads(row.public_jwk)), row.algorithm, row.expires_at)
