"""A frame's columns -> float64 features, by name and type, as they were at training.

| kind | becomes |
| --- | --- |
| numeric | its value; a missing one becomes the training median |
| boolean | 0 or 1; a missing one becomes the commoner of the two |
| categorical | the information of its value in bits, ``-log2`` of its training frequency |
| datetime | time of day and day of week as points on circles, in UTC |

Categories seen once and new ones share Good's (1953) estimate of the chance to meet a new one. The date itself is no
feature: tomorrow lies beyond every training range.

A column that had missing values at training adds a feature that is 1 where the value is missing. In a column that
had none, a missing value is scored as the most ordinary one: there is nothing to judge it by.
Infinite values are missing at training, and at scoring lie a billion training ranges away.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, cast

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import AnyArray, Bools, Floats, Ints, Objects
from pynomaly_pipelines.operations.errors import NotEnoughData, SignatureError

Kind = Literal["numeric", "categorical", "boolean", "datetime"]

FARTHEST = 1e9
"""Training ranges beyond which values are cut, so that squares and float32 stay finite."""
LARGEST = 1e30
MOST_CATEGORIES = 100_000
USUAL = (0.05, 0.95)
"""Quantiles between which a numeric value is called usual."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Cells = tuple[AnyArray, ...]
"""A scorer's columns as arrays [n] each: float64, NaN where missing (times in seconds since 1970 UTC), or texts."""

# pandas' names for what a column of Python objects holds
_INFERRED: dict[str, Kind] = {
    "string": "categorical",
    "mixed": "categorical",
    "mixed-integer": "categorical",
    "categorical": "categorical",
    "boolean": "boolean",
    "integer": "numeric",
    "floating": "numeric",
    "mixed-integer-float": "numeric",
    "integer-na": "numeric",
    "decimal": "numeric",
    "empty": "numeric",
    "datetime64": "datetime",
    "datetime": "datetime",
    "date": "datetime",
    "timedelta": "numeric",
    "timedelta64": "numeric",
}


@dataclass(frozen=True)
class Column:
    """Name and kind of a column that a scorer reads."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class _Encoding(ABC):
    """How one column becomes features, and what is usual in it."""

    name: str
    missing_share: float
    kind: ClassVar[Kind]

    @property
    @abstractmethod
    def width(self) -> int:
        """Features without the one for missing values."""

    @property
    def features(self) -> int:
        """Features this column becomes."""
        return self.width + (self.width > 0 and self.missing_share > 0)

    def encode(self, cells: AnyArray) -> Floats:
        """Cells [n], as `cells` gives them -> float64[n, features]."""
        body, missing = self._body(cells)
        if self.features == self.width:
            return body
        return np.column_stack([body, missing.astype(np.float64)])

    @abstractmethod
    def cells(self, values: pd.Series) -> AnyArray:
        """The column as an array [n] of `cell_type`: float64, NaN where missing, or texts, None where missing."""

    @abstractmethod
    def _body(self, cells: AnyArray) -> tuple[Floats, Bools]: ...

    @property
    def cell_type(self) -> np.dtype[Any]:
        """What its cells are."""
        return np.dtype(np.float64)

    @abstractmethod
    def usual(self) -> str:
        """What is usual in this column, for people."""


@dataclass(frozen=True)
class Numeric(_Encoding):
    """A numeric or boolean column. `median` is None where training saw no value at all: it then has no feature."""

    median: float | None
    low: float
    high: float
    usual_low: float
    usual_high: float
    kind: ClassVar[Kind] = "numeric"

    @classmethod
    def learn(cls, name: str, values: pd.Series) -> Numeric:
        x = _numbers(name, values)
        known = x[np.isfinite(x)]
        if known.size == 0:
            return cls(name, 1.0, None, 0.0, 0.0, 0.0, 0.0)
        known = np.clip(known, -LARGEST, LARGEST)
        low, middle, high = (float(q) for q in np.quantile(known, [USUAL[0], 0.5, USUAL[1]]))
        if cls.kind == "boolean":
            middle = float(middle >= 0.5)
        far = FARTHEST * max(float(np.ptp(known)), abs(middle), 1.0)
        lowest, highest = max(known.min() - far, -LARGEST), min(known.max() + far, LARGEST)
        return cls(name, 1.0 - known.size / x.size, middle, float(lowest), float(highest), low, high)

    @property
    def width(self) -> int:
        return 0 if self.median is None else 1

    def cells(self, values: pd.Series) -> Floats:
        return _numbers(self.name, values)

    def _body(self, cells: Floats) -> tuple[Floats, Bools]:
        missing = np.isnan(cells)
        if self.median is None:
            return np.empty((cells.size, 0)), missing
        return np.clip(np.where(missing, self.median, cells), self.low, self.high)[:, None], missing

    def usual(self) -> str:
        if self.median is None:
            return "always missing"
        if self.usual_low == self.usual_high:
            return f"{self.usual_low:.4g}"
        return f"{self.usual_low:.4g} … {self.usual_high:.4g}"


@dataclass(frozen=True)
class Boolean(Numeric):
    """Two values, coded 0 and 1."""

    kind: ClassVar[Kind] = "boolean"

    def usual(self) -> str:
        names = {0.0: "False", 1.0: "True"}
        if self.median is None:
            return "always missing"
        return " or ".join(dict.fromkeys([names[self.usual_low], names[self.usual_high]]))


@dataclass(frozen=True)
class Categorical(_Encoding):
    """bits: the information of each value seen more than once; `new_bits` that of any other."""

    bits: dict[str, float]
    new_bits: float
    usual_bits: float
    kind: ClassVar[Kind] = "categorical"

    @classmethod
    def learn(cls, name: str, values: pd.Series) -> Categorical:
        keys = _keys(name, values)
        counts = pd.Series(keys).value_counts(dropna=True).iloc[:MOST_CATEGORIES]
        known = int((~_absent(keys)).sum())
        if known == 0:
            return cls(name, 1.0, {}, 0.0, 0.0)
        kept = counts[counts > 1].sort_index().sort_values(ascending=False, kind="stable")
        total = known + 1.0
        # Good (1953): values seen once estimate the chance of a new one; half a row where there are none.
        new = (known - int(kept.sum()) + 0.5) / total
        bits = {str(key): float(-np.log2(count / total)) for key, count in kept.items()}
        share = 1.0 - known / max(keys.size, 1)
        return cls(name, share, bits, float(-np.log2(min(new, 1.0))), next(iter(bits.values()), 0.0))

    @property
    def width(self) -> int:
        return 1 if self.missing_share < 1.0 else 0

    @property
    def cell_type(self) -> np.dtype[Any]:
        return np.dtype(object)

    def cells(self, values: pd.Series) -> Objects:
        return _keys(self.name, values)

    def _body(self, cells: Objects) -> tuple[Floats, Bools]:
        missing = _absent(cells)
        if self.width == 0:
            return np.empty((cells.size, 0)), missing
        codes, distinct = pd.factorize(cells)
        table = np.array([self.bits.get(str(key), self.new_bits) for key in distinct] + [self.usual_bits])
        return table[codes][:, None], missing

    def usual(self) -> str:
        if not self.bits:
            return "no value twice" if self.width else "always missing"
        return ", ".join(list(self.bits)[:3]) + (", …" if len(self.bits) > 3 else "")


@dataclass(frozen=True)
class Datetime(_Encoding):
    """clock, weekday: whether training rows differ in the time of day, in the day of the week."""

    clock: bool
    weekday: bool
    described: str
    kind: ClassVar[Kind] = "datetime"

    @classmethod
    def learn(cls, name: str, values: pd.Series) -> Datetime:
        seconds, missing = _seconds(name, values)
        known = seconds[~missing]
        clock = np.unique(known % 86_400).size > 1
        weekday = np.unique(known // 86_400 % 7).size > 1
        return cls(name, float(missing.mean()), clock, weekday, _usual_times(known))

    @property
    def width(self) -> int:
        return 2 * (self.clock + self.weekday)

    def cells(self, values: pd.Series) -> Floats:
        """Seconds since 1970 UTC."""
        seconds, missing = _seconds(self.name, values)
        return np.where(missing, np.nan, seconds)

    def _body(self, cells: Floats) -> tuple[Floats, Bools]:
        missing = np.isnan(cells)
        seconds = np.where(missing, 0.0, cells)
        turns = []
        if self.clock:
            turns.append(seconds % 86_400 / 86_400)
        if self.weekday:
            turns.append(seconds // 86_400 % 7 / 7)
        waves = [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]
        body = np.column_stack(waves) if waves else np.empty((seconds.size, 0))
        body[missing] = 0.0
        return body, missing

    def usual(self) -> str:
        return self.described


def _usual_times(seconds: Floats) -> str:
    """Times of day between the usual quantiles, and the weekdays that hold a twentieth of the rows or more."""
    if seconds.size == 0:
        return "always missing"
    low, high = np.quantile(seconds % 86_400, USUAL) // 60
    shares = np.bincount((seconds // 86_400 % 7).astype(np.int64), minlength=7) / seconds.size
    # day 0, 1970-01-01, was a Thursday
    days = [name for name, share in zip(WEEKDAYS[3:] + WEEKDAYS[:3], shares, strict=True) if share >= 0.05]
    ordered = [name for name in WEEKDAYS if name in days]
    clock = f"{int(low // 60):02}:{int(low % 60):02} … {int(high // 60):02}:{int(high % 60):02} UTC"
    return clock if len(ordered) in (0, 7) else f"{clock}, {' '.join(ordered)}"


_KINDS: dict[Kind, type[_Encoding]] = {
    "numeric": Numeric,
    "boolean": Boolean,
    "categorical": Categorical,
    "datetime": Datetime,
}


@dataclass(frozen=True)
class Encoder:
    """The columns of a training frame, and how each becomes features."""

    encodings: tuple[_Encoding, ...]
    owners: Ints = field(init=False, compare=False, repr=False)
    plain: Floats | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        counts = [encoding.features for encoding in self.encodings]
        object.__setattr__(self, "owners", np.repeat(np.arange(len(counts)), counts))
        plain = [e for e in self.encodings if type(e) is Numeric and e.features == 1]
        rows = np.array([[e.median, e.low, e.high] for e in plain], dtype=np.float64).T
        object.__setattr__(self, "plain", rows if len(plain) == len(counts) else None)

    @classmethod
    def learn(cls, frame: pd.DataFrame) -> Encoder:
        """Kinds, medians and frequencies of a training frame."""
        _check_frame(frame)
        if frame.shape[0] == 0 or frame.shape[1] == 0:
            raise NotEnoughData(
                f"a frame of {frame.shape[0]} rows and {frame.shape[1]} columns",
                rule="Training needs at least one row and one column.",
                fix="check the partition and the list of feature columns",
            )
        return cls(tuple(_learn(str(name), frame[name]) for name in frame.columns))

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(Column(e.name, e.kind) for e in self.encodings)

    @property
    def features(self) -> int:
        return int(self.owners.size)

    def encode(self, frame: pd.DataFrame) -> Floats:
        """float64[n, features], columns found by name; SignatureError for missing, doubled or retyped ones."""
        x = self._numbers_at_once(frame)
        return self.encode_cells(self.cells(frame)) if x is None else self._clipped(x)

    def cells(self, frame: pd.DataFrame) -> Cells:
        """The columns as arrays [n] each, in the order of the encodings; SignatureError as `encode`."""
        self._check_columns(frame)
        return tuple(encoding.cells(frame[encoding.name]) for encoding in self.encodings)

    def encode_cells(self, cells: Cells) -> Floats:
        """As `encode`, of arrays instead of a frame; SignatureError where one has another length or type."""
        rows = self._check_cells(cells)
        if self.plain is not None:
            return self._clipped(np.column_stack(cells))
        out = np.empty((rows, self.features))
        place = 0
        for encoding, column in zip(self.encodings, cells, strict=True):
            out[:, place : place + encoding.features] = encoding.encode(column)
            place += encoding.features
        return out

    def _check_columns(self, frame: pd.DataFrame) -> None:
        _check_frame(frame)
        missing = [e.name for e in self.encodings if e.name not in frame.columns]
        if missing:
            raise SignatureError(
                f"missing {'columns' if len(missing) > 1 else 'column'} {', '.join(missing)}",
                rule=f"The model was fitted on {', '.join(e.name for e in self.encodings)}.",
                fix="give the frame these columns, or train again without them",
            )

    def _check_cells(self, cells: Cells) -> int:
        """The number of rows. Compiled code will read these arrays by offset."""
        shapes = {column.shape for column in cells}
        types = [column.dtype for column in cells]
        if len(shapes) != 1 or cells[0].ndim != 1 or types != [e.cell_type for e in self.encodings]:
            raise SignatureError(
                f"{len(cells)} arrays of shapes {sorted(shapes)} and types {', '.join(map(str, types))}",
                rule=f"The model reads {len(self.encodings)} arrays of one length and of its columns' types.",
                fix="make them with `Encoder.cells`",
            )
        return int(cells[0].size)

    def _numbers_at_once(self, frame: pd.DataFrame) -> Floats | None:
        """The columns float64[n, columns] where each is numeric without gaps at training, and a float64 now."""
        self._check_columns(frame)
        if self.plain is None or not (frame.dtypes == np.float64).all():
            return None
        places = frame.columns.get_indexer(pd.Index([e.name for e in self.encodings]))
        return frame.to_numpy()[:, places]

    def _clipped(self, x: Floats) -> Floats:
        assert self.plain is not None
        medians, low, high = self.plain
        return np.clip(np.where(np.isnan(x), medians, x), low, high)

    def usual(self) -> Objects:
        """object[columns]: what is usual in each column, for people."""
        return np.array([e.usual() for e in self.encodings], dtype=object)

    def state(self) -> list[dict[str, Any]]:
        """JSON values from which `from_state` rebuilds the encoder."""
        return [{"kind": e.kind, **asdict(e)} for e in self.encodings]

    @classmethod
    def from_state(cls, state: Sequence[dict[str, Any]]) -> Encoder:
        return cls(tuple(_rebuild(dict(values)) for values in state))


def _rebuild(values: dict[str, Any]) -> _Encoding:
    kind = _KINDS[cast(Kind, values.pop("kind"))]
    return kind(**{f.name: values[f.name] for f in fields(kind)})


def _check_frame(frame: pd.DataFrame) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise SignatureError(
            f"rows came as {type(frame).__name__}",
            rule="Columns are found by name, so rows come as a pandas DataFrame.",
            fix="pass pandas.DataFrame(rows, columns=[…])",
        )
    if not frame.columns.is_unique:
        doubled = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        raise SignatureError(
            f"{', '.join(doubled)} occurs more than once among the columns",
            rule="Column names are unique.",
            fix="rename or drop the repeated columns",
        )


def _learn(name: str, values: pd.Series) -> _Encoding:
    kind = kind_of(name, values)
    return cast(Any, _KINDS[kind]).learn(name, values)  # type: ignore[no-any-return]


def kind_of(name: str, values: pd.Series) -> Kind:
    """The kind of a column by its type and, for Python objects, by its values."""
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_complex_dtype(dtype):
        raise _retyped(name, "complex numbers", "numbers, text, booleans or times")
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return "numeric"
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return "datetime"
    if isinstance(dtype, pd.CategoricalDtype):
        return "categorical"
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred not in _INFERRED:
        raise _retyped(name, f"values of kind '{inferred}'", "numbers, text, booleans or times")
    return _INFERRED[inferred]


def _retyped(name: str, found: str, expected: str) -> SignatureError:
    return SignatureError(
        f"{found} in a column of {expected}",
        rule="A column keeps the type it had at training.",
        fix="convert the column before scoring, or train again on the new type",
        where=f"column {name}",
    )


def _numbers(name: str, values: pd.Series) -> Floats:
    """float64[n], NaN where missing; SignatureError for anything that is not a number."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iufb":
        return values.to_numpy(dtype=np.float64)
    if pd.api.types.is_timedelta64_dtype(dtype):
        return cast(Floats, values.dt.total_seconds().to_numpy(dtype=np.float64))
    kind = kind_of(name, values)
    if kind not in ("numeric", "boolean") and not values.isna().all():
        raise _retyped(name, f"{kind} values", "numbers")
    if pd.api.types.infer_dtype(values, skipna=True) == "timedelta":
        return cast(Floats, pd.to_timedelta(values).dt.total_seconds().to_numpy(dtype=np.float64))
    return cast(Floats, pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan))


def _keys(name: str, values: pd.Series) -> Objects:
    """object[n] of texts, None where missing; 1 and 1.0 are one value: a gap makes a column of 1 one of 1.0."""
    kind = kind_of(name, values)
    if kind == "datetime":
        raise _retyped(name, "times", "categories")
    absent = values.isna().to_numpy()
    raw = values.to_numpy(dtype=object)
    out = np.empty(raw.size, dtype=object)
    out[~absent] = [_key(value) for value in raw[~absent]]
    return out


def _key(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _absent(keys: Objects) -> Bools:
    return np.array([key is None for key in keys], dtype=bool)


def _seconds(name: str, values: pd.Series) -> tuple[Floats, Bools]:
    """Seconds since 1970 UTC, float64[n], 0 where missing, and where it is missing."""
    if kind_of(name, values) != "datetime" and not values.isna().all():
        raise _retyped(name, f"{kind_of(name, values)} values", "times")
    times = pd.to_datetime(values, utc=True, errors="coerce")
    missing = times.isna().to_numpy()
    micro = times.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    return np.where(missing, 0.0, micro / 1e6), missing
