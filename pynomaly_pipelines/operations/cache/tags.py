"""The names under which cached values are invalidated."""


def champion(pipeline: str) -> str:
    """What depends on the version that scores: invalidated by promotion and rollback."""
    return f"champion:{pipeline}"


def data(pipeline: str) -> str:
    """What depends on a pipeline's tables: invalidated by each partition written."""
    return f"data:{pipeline}"
