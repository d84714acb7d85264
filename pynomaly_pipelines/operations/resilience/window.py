"""Calls and their faults -> how many of each lie within the last seconds, in bounded memory."""

from __future__ import annotations

SLICES = 10


class Window:
    """Counts in slices of a tenth of the window: exact to one slice. Not locked; its owner is."""

    def __init__(self, seconds: float) -> None:
        self._slice_seconds = seconds / SLICES
        self._slices: dict[int, tuple[int, int]] = {}

    def add(self, now: float, fault: bool) -> tuple[int, int]:
        """Count a call that ended at `now` (monotonic seconds); returns calls and faults of the window up to it."""
        current = int(now // self._slice_seconds)
        if current not in self._slices:
            self._slices = {k: v for k, v in self._slices.items() if k > current - SLICES}
        calls, faults = self._slices.get(current, (0, 0))
        self._slices[current] = (calls + 1, faults + fault)
        return sum(calls for calls, _ in self._slices.values()), sum(faults for _, faults in self._slices.values())

    def clear(self) -> None:
        """Forget everything."""
        self._slices.clear()
