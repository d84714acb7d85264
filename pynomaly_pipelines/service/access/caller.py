"""The account behind a request, with what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pynomaly_pipelines.service.access.permissions import INSTALLATION, OF_ROLE, PER_PIPELINE, Permission, Role


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
    granted: frozenset[Permission] = frozenset()
    """What was granted without naming a pipeline."""
    scopes: frozenset[Permission] | None = None
    """What the API key was limited to; None: all that the account may do."""
    holds_until: datetime | None = None
    """When the first of the grants ends: until then this may be kept, then it is made anew. None: no end is set."""

    def sees(self, pipeline: str) -> bool:
        """Whether the pipeline exists as far as this caller is concerned."""
        return self.all_pipelines or pipeline in self.grants

    def may(self, permission: Permission, pipeline: str | None = None) -> bool:
        """Whether it may do this, on this pipeline if one is named.

        Without a name, what can be granted for single pipelines counts only if it is held for all that are seen.
        """
        if self.scopes is not None and permission not in self.scopes:
            return False
        if not self.all_pipelines and permission in INSTALLATION:
            return False
        everywhere = permission in OF_ROLE[self.role] or permission in self.granted
        if pipeline is None or permission not in PER_PIPELINE:
            return everywhere
        return self.sees(pipeline) and (everywhere or permission in self.grants.get(pipeline, frozenset()))

    def may_somewhere(self, permission: Permission) -> bool:
        """Whether it may do this on any pipeline at all. A list then holds only what `may` allows one by one."""
        return self.may(permission) or any(self.may(permission, pipeline) for pipeline in self.grants)
