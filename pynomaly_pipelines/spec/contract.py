"""What a user may write under `contract:`: what becomes of data whose columns are not those agreed on."""

from __future__ import annotations

from typing import Literal

from pynomaly_pipelines.spec.strict import Strict

Response = Literal["accept", "quarantine", "fail"]


class Contract(Strict):
    """What becomes of a file whose columns are not those the pipeline knows, by declaration or from earlier files.

    `accept` takes it and changes the contract, `quarantine` sets the rows aside with the reason, `fail` refuses the
    partitions of the file and lets the others go on. Every deviation is shown in the check `contract` of `raw`.
    """

    new_column: Response = "accept"
    """A column nobody knew: kept, null in older rows, and no feature of a model before the next training. The default
    does no harm: the rows are whole, and the champion does not look at it."""
    lost_column: Response = "quarantine"
    """A column that every file had is not there. The default keeps a model from scoring rows in which it would see
    nothing; `accept` makes it null, and optional from now on."""
    changed_type: Response = "quarantine"
    """Values that are not of their column's type. The default sets aside the rows that can't be read, and no others;
    `accept` makes an integer a number, and a column that is mostly text a text, where nothing needs it otherwise."""
