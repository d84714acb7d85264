"""What speaks against each row of a table, by the row's position: reasons come in one by one, rows stand or fall."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pynomaly_pipelines.resources.tables import PARTITION
from pynomaly_pipelines.stages.expectations.reports import Refusal

PARTITION_REFUSED = "partition refused"


@dataclass(frozen=True)
class _Reason:
    """One rule that some rows break."""

    kind: str
    positions: np.ndarray
    texts: tuple[str, ...]
    """The distinct texts; one for all rows, as a rule."""
    codes: np.ndarray
    """For each position its text."""


class Verdict:
    """The reasons against each row of a table, in the order they were found; in arrays, as there may be many."""

    def __init__(self, raw: pa.Table) -> None:
        encoded = raw[PARTITION].combine_chunks().dictionary_encode()
        self.keys: list[str] = encoded.dictionary.to_pylist()
        self.partition_of: np.ndarray = encoded.indices.to_numpy(zero_copy_only=False)
        self._reasons: list[_Reason] = []
        self._bad = np.zeros(len(raw), dtype=bool)

    def add(self, positions: np.ndarray, reason: str | Sequence[str], kind: str | None = None) -> None:
        """One reason for all, or one for each; `kind` is what they are counted under."""
        if not len(positions):
            return
        each = [reason] if isinstance(reason, str) else reason
        texts = tuple(dict.fromkeys(each))
        code_of = {text: code for code, text in enumerate(texts)}
        codes = np.resize(np.array([code_of[text] for text in each], dtype=np.int32), len(positions))
        self._reasons.append(_Reason(kind or texts[0], positions, texts, codes))
        self._bad[positions] = True

    def forgive(self, positions: np.ndarray) -> None:
        """Take everything back that was said against these rows."""
        self._bad[positions] = False
        kept = [(r, self._bad[r.positions]) for r in self._reasons]
        self._reasons = [_Reason(r.kind, r.positions[mask], r.texts, r.codes[mask]) for r, mask in kept if mask.any()]

    @property
    def valid(self) -> np.ndarray:
        """Mask of the rows that nothing speaks against."""
        return ~self._bad

    @property
    def kinds(self) -> dict[str, int]:
        """Rows under each kind of reason, most frequent first."""
        counts: Counter[str] = Counter()
        for reason in self._reasons:
            counts[reason.kind] += len(reason.positions)
        return dict(counts.most_common())

    def kinds_in(self, key: str) -> dict[str, int]:
        """The same for one partition."""
        if key not in self.keys:
            return {}
        code, counts = self.keys.index(key), Counter[str]()
        for reason in self._reasons:
            counts[reason.kind] += int(np.count_nonzero(self.partition_of[reason.positions] == code))
        return {kind: count for kind, count in counts.most_common() if count}

    def foremost_in(self, key: str) -> tuple[int, str]:
        """Of the most frequent kind of reason in a partition: how many rows, and the reason of the first of them."""
        kind, count = next(iter(self.kinds_in(key).items()))
        first = next(
            reason.texts[int(codes[0])]
            for reason in self._reasons
            if reason.kind == kind
            and len(codes := reason.codes[self.partition_of[reason.positions] == self.keys.index(key)])
        )
        return count, first

    def only_of(self, kinds: set[str]) -> np.ndarray:
        """Mask of the rows that have reasons, all of these kinds."""
        mask = self._bad.copy()
        for reason in self._reasons:
            if reason.kind not in kinds:
                mask[reason.positions] = False
        return mask

    def reasons(self) -> pa.Array:
        """Every reason against each row that is not valid, list<string>, in the order of the rows."""
        texts = [text for reason in self._reasons for text in reason.texts]
        starts = np.cumsum([0, *(len(reason.texts) for reason in self._reasons)])
        positions = np.concatenate([np.array([], np.int64), *(reason.positions for reason in self._reasons)])
        codes = [r.codes + start for r, start in zip(self._reasons, starts[:-1], strict=True)]
        order = np.argsort(positions, kind="stable")
        values = np.concatenate([np.array([], np.int32), *codes])[order].astype(np.int32)
        strings = pa.DictionaryArray.from_arrays(pa.array(values), pa.array(texts, pa.string())).cast(pa.string())
        offsets = np.concatenate([[0], np.cumsum(np.bincount(positions, minlength=len(self._bad))[self._bad])])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), strings).cast(
            pa.list_(pa.field("element", pa.string()))
        )

    def of(self, key: str) -> np.ndarray:
        """Positions of a partition's rows."""
        return np.flatnonzero(self.partition_of == self.keys.index(key)) if key in self.keys else np.array([], int)

    def count(self, mask: np.ndarray) -> dict[str, int]:
        """Rows of the mask by partition."""
        counts = np.bincount(self.partition_of[mask], minlength=len(self.keys))
        return dict(zip(self.keys, counts.tolist(), strict=True))

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """All rows of refused partitions are quarantined, for that reason also."""
        why: dict[str, list[str]] = {}
        for refusal in refusals:
            why.setdefault(refusal.partition, []).append(f"{refusal.rule}, {refusal.value}")
        for key, rules in why.items():
            self.add(self.of(key), f"{PARTITION_REFUSED}: {'; '.join(rules)}", PARTITION_REFUSED)
