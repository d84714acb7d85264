"""The account behind a request, with what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pynomaly_pipelines.service.access.permissions import OF_ROLE, PER_PIPELINE, Permission, Role


@dataclass(frozen=True)
class Caller:
    """Who is asking. Made by `auth.authentication`, asked by `access.requirements`."""

    account: str
    """Id of the account."""
    name: str
    """What the account logs in with, for audit and logs."""
    role: Role
    all_pipelines: bool = True
    """Whether the role holds for every pipeline, or for those with a grant only."""
    grants: Mapping[str, frozenset[Permission]] = field(default_factory=dict)
    """Pipeline -> what was granted there beyond the role."""
    scopes: frozenset[Permission] | None = None
    """What the API key was limited to; None: all that the account may do."""

    def sees(self, pipeline: str) -> bool:
        """Whether the pipeline exists as far as this caller is concerned."""
        return self.all_pipelines or pipeline in self.grants

    def may(self, permission: Permission, pipeline: str | None = None) -> bool:
        """Whether it may do this, on this pipeline if one is named."""
        if self.scopes is not None and permission not in self.scopes:
            return False
        by_role = permission in OF_ROLE[self.role]
        if pipeline is None or permission not in PER_PIPELINE:
            return by_role
        return self.sees(pipeline) and (by_role or permission in self.grants.get(pipeline, frozenset()))
