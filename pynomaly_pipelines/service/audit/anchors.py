"""The end of the log, signed: from time to time, into the database and a file outside it.

A signature is a JWS (RFC 7515) of its own type, so that none can pass for a token. The file has one JSON object a line;
kept where the database's keepers cannot write (another host, a bucket that only takes additions), it shows even a
database that was set back as a whole.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.operations.errors import AuditBroken, SourceMissing
from pynomaly_pipelines.service.audit.chain import Anchor, Verdict, verify
from pynomaly_pipelines.service.audit.entries import moment
from pynomaly_pipelines.service.audit.log import anchors, everything, head
from pynomaly_pipelines.service.audit.tables import ANCHORS

log = logging.getLogger(__name__)


class Keys(Protocol):
    """The service's signing keys, as far as anchors need them."""

    def sign(self, content: bytes) -> tuple[str, str]:
        """Key id and signature of the active key over these bytes."""
        ...

    def signed(self, kid: str, content: bytes, signature: str) -> bool:
        """Whether the signature is of that key, active or retired, over these bytes."""
        ...


def anchor(session: Session, keys: Keys, file: Path | None = None) -> Anchor | None:
    """Sign the end of the log, if it went on since the last anchor; the caller commits."""
    sequence, end = head(session)
    known = session.execute(sa.select(sa.func.max(ANCHORS.c.sequence))).scalar()
    if sequence == 0 or sequence <= (known or 0):
        return None
    unsigned = Anchor(sequence, end, moment(), "", "")
    kid, signature = keys.sign(unsigned.signed)
    made = Anchor(sequence, end, unsigned.at, kid, signature)
    # Another process may have been faster.
    session.execute(
        sa.text(
            "INSERT INTO audit_anchors (sequence, hash, at, kid, signature)"
            " VALUES (:sequence, :hash, :at, :kid, :signature) ON CONFLICT DO NOTHING"
        ),
        asdict(made),
    )
    log.info("audit log anchored at entry %s: %s", sequence, end)
    if file is not None:
        _append(file, made)
    return made


def _append(file: Path, made: Anchor) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # One write: lines of several processes do not mix.
        os.write(handle, (json.dumps(asdict(made)) + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def kept_elsewhere(file: Path) -> list[Anchor]:
    """The anchors of a file.

    Raises:
        AuditBroken: a line is not an anchor.
        SourceMissing: there is no such file.
    """
    found = []
    if not file.exists():
        raise SourceMissing(
            f"there is no file {file}", rule="anchors kept elsewhere are a file", fix="correct the path"
        )
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(Anchor(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise AuditBroken(
                f"line {number} is not an anchor", rule="one JSON object a line, as written", where=str(file),
                fix="find out who changed the file",
            ) from error  # fmt: skip
    return found


def verified(session: Session, keys: Keys, elsewhere: Iterable[Anchor] = ()) -> Verdict:
    """Look through the whole stored log."""
    return verify(
        everything(session),
        [*anchors(session), *elsewhere],
        lambda a: keys.signed(a.kid, a.signed, a.signature),
        head(session)[0],
    )
