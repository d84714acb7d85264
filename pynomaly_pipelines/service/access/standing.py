"""An account and its grants -> what it may do now, and until when that is sure to hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.access.tables import Grant

_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Standing:
    """The fields of a `Caller` that come from the database."""

    role: Role
    grants: Mapping[str, frozenset[Permission]]
    granted: frozenset[Permission]
    holds_until: datetime | None


def standing_of(session: Session, account: str, role: Role, at: datetime) -> Standing:
    """What an account of that role may do at that time. A grant of a higher role counts while it lasts."""
    found = session.scalars(sa.select(Grant).where(Grant.account_id == account, *holding(at))).all()
    return standing(found, role)


def holding(at: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """The condition that a grant holds at that time."""
    return (Grant.revoked_at.is_(None), sa.or_(Grant.expires_at.is_(None), Grant.expires_at > at))


def standing(found: Sequence[Grant], role: Role) -> Standing:
    """The same of grants that hold."""
    by_pipeline: dict[str, set[Permission]] = defaultdict(set)
    everywhere: set[Permission] = set()
    for grant in found:
        if grant.role is not None:
            role = max(role, Role(grant.role), key=_RANK.__getitem__)
        elif grant.permission is None:
            continue
        elif grant.pipeline is None:
            everywhere.add(Permission(grant.permission))
        else:
            by_pipeline[grant.pipeline].add(Permission(grant.permission))
    ends = [grant.expires_at for grant in found if grant.expires_at is not None]
    return Standing(
        role,
        {pipeline: frozenset(permissions) for pipeline, permissions in by_pipeline.items()},
        frozenset(everywhere),
        min(ends, default=None),
    )


def at_least(role: Role, other: Role) -> bool:
    """Whether the first role has all that the second has."""
    return _RANK[role] >= _RANK[other]
