"""Who may give what to whom: the rules of grants and of decisions, apart from where they are stored."""

from __future__ import annotations

from collections.abc import Collection

from pynomaly_pipelines.operations.errors import Conflict, Forbidden, Unprocessable
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import INSTALLATION, PER_PIPELINE, Permission, Role
from pynomaly_pipelines.service.access.standing import at_least


def refuse_to_oneself(caller: Caller, account: str, *others: str) -> None:
    """Nobody decides on what concerns himself.

    Raises:
        Forbidden: the caller is the account, or one of the others who may not.
    """
    if caller.account in (account, *others):
        raise Forbidden(
            f"{caller.name!r} cannot decide on access that {caller.name!r} asked for or is to have",
            rule="a second person decides: neither who asked nor who is to have it",
            fix="have somebody else with the permission 'access:decide' or 'grants:manage' do it",
        )


def refuse_to_give_more_than_held(
    caller: Caller, permissions: Collection[Permission], pipeline: str | None, role: Role | None = None
) -> None:
    """Nobody gives what he does not have.

    Raises:
        Forbidden: the caller lacks one of the permissions there, or the role.
    """
    lacking = [p.value for p in sorted(permissions) if not caller.may(p, pipeline)]
    if role is not None and not (at_least(caller.role, role) and caller.all_pipelines):
        lacking.append(f"role {role.value}")
    if lacking:
        raise Forbidden(
            f"{caller.name!r} does not have {', '.join(lacking)}" + (f" on {pipeline!r}" if pipeline else ""),
            rule="nobody gives what he does not have himself",
            fix="have an admin do it",
        )


def refuse_what_does_not_fit(permissions: Collection[Permission], pipeline: str | None, sees_all: bool) -> None:
    """A permission on one pipeline must be one that there is for pipelines, and the account must be able to use it.

    Raises:
        Unprocessable: it is not for single pipelines.
        Conflict: it shows all pipelines, and the account is limited to some.
    """
    whole = [p.value for p in sorted(permissions) if p not in PER_PIPELINE]
    if pipeline is not None and whole:
        raise Unprocessable(
            f"{', '.join(whole)} cannot be granted for the pipeline {pipeline!r}",
            rule=f"for single pipelines there are {', '.join(sorted(PER_PIPELINE))}",
            fix="leave `pipeline` out",
        )
    useless = [p.value for p in sorted(permissions) if p in INSTALLATION]
    if useless and not sees_all:
        raise Conflict(
            f"the account is limited to granted pipelines, and {', '.join(useless)} would show it all",
            rule="these permissions are for accounts that see every pipeline",
            fix="lift the limit first, or grant less",
        )
