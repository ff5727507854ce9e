"""A table of cells or features as arrays: what obs and var are while scgx works.

pandas would cost 0.6 s at start-up, and its string types differ between its versions; a command needs
an index, a few columns and a way to take rows. `to_pandas` is there for who wants more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.registry import suggest

if TYPE_CHECKING:
    import pandas as pd


class Categorical(NamedTuple):
    """Codes into categories; code -1 is missing."""

    codes: np.ndarray
    categories: np.ndarray
    ordered: bool = False


class Nullable(NamedTuple):
    """Numbers or booleans with a mask; where the mask is true the value is missing."""

    values: np.ndarray
    mask: np.ndarray


Column = np.ndarray | Categorical | Nullable


def categorical(values: Iterable[object], categories: Iterable[str] | None = None) -> Categorical:
    """Strings (None = missing) as a categorical with sorted categories, or those given, in order."""
    array = np.array([None if v is None else str(v) for v in values], dtype=object)
    present = array[[v is not None for v in array]] if len(array) else array
    known = sorted(set(present)) if categories is None else list(categories)
    position = {name: i for i, name in enumerate(known)}
    codes = np.array([-1 if v is None else position[v] for v in array], dtype=np.int64)
    small = np.int8 if len(known) < 128 else np.int16 if len(known) < 32768 else np.int32
    return Categorical(codes.astype(small), np.array(known, dtype=object))


def length(column: Column) -> int:
    """Number of rows of a column of any kind."""
    return len(column[0]) if isinstance(column, Categorical | Nullable) else len(column)


def take(column: Column, rows: np.ndarray) -> Column:
    """Rows of a column of any kind."""
    if isinstance(column, Categorical):
        return column._replace(codes=column.codes[rows])
    if isinstance(column, Nullable):
        return Nullable(column.values[rows], column.mask[rows])
    return column[rows]


@dataclass(frozen=True)
class Frame:
    """An index of n names and columns of n values; immutable by convention."""

    index: np.ndarray
    columns: Mapping[str, Column] = field(default_factory=dict)
    index_name: str = "_index"

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Column:
        if name not in self.columns:
            raise DataError(f"no column {name!r}", fix=suggest(name, list(self.columns)))
        return self.columns[name]

    def take(self, rows: np.ndarray) -> Frame:
        """The rows given, in the order given (integers or a mask)."""
        columns = {name: take(column, rows) for name, column in self.columns.items()}
        return Frame(self.index[rows], columns, self.index_name)

    def with_column(self, name: str, values: Column) -> Frame:
        """A copy with one more column, or one replaced in place."""
        if length(values) != len(self):
            raise ValueError(f"column {name!r} has {length(values)} rows, not {len(self)}")
        return Frame(self.index, {**self.columns, name: values}, self.index_name)

    def without(self, names: Iterable[str]) -> Frame:
        """A copy that lacks the columns named."""
        gone = set(names)
        kept = {name: column for name, column in self.columns.items() if name not in gone}
        return Frame(self.index, kept, self.index_name)

    def strings(self, name: str) -> np.ndarray:
        """A column of any kind as str; None where a value is missing."""
        column = self[name]
        if isinstance(column, Categorical):
            words = np.array([_word(c) for c in column.categories] + [None], dtype=object)
            return words[column.codes]
        if isinstance(column, Nullable):
            words = np.array([_word(v) for v in column.values.tolist()], dtype=object)
            words[column.mask] = None
            return words
        return np.array([_word(v) for v in column.tolist()], dtype=object)

    def numbers(self, name: str) -> np.ndarray:
        """A column as float64, NaN where missing; words that are no numbers are a `DataError`."""
        column = self[name]
        if isinstance(column, np.ndarray) and column.dtype.kind in "iufb":
            return column.astype(np.float64)
        if isinstance(column, Nullable):
            return np.where(column.mask, np.nan, column.values.astype(np.float64))
        words = self.strings(name)
        try:
            return np.array([np.nan if w in (None, "") else float(w) for w in words], np.float64)
        except ValueError as error:
            raise DataError(f"column {name!r} is not numeric: {error}") from None

    def to_pandas(self) -> pd.DataFrame:
        """The same as a pandas DataFrame (categoricals stay categorical)."""
        import pandas as pd

        def series(column: Column) -> object:
            if isinstance(column, Categorical):
                return pd.Categorical.from_codes(
                    column.codes, pd.Index(column.categories), ordered=column.ordered
                )
            if isinstance(column, Nullable):
                kind = "boolean" if column.values.dtype == bool else column.values.dtype.name
                values = pd.array(
                    column.values, dtype=kind.capitalize() if kind[0] in "iuf" else kind
                )
                values[column.mask] = pd.NA
                return values
            return column

        data = {name: series(column) for name, column in self.columns.items()}
        return pd.DataFrame(data, index=pd.Index(self.index, dtype=object))

    @classmethod
    def from_pandas(cls, table: pd.DataFrame) -> Frame:
        """A DataFrame as a Frame; strings of either pandas version become objects."""
        columns: dict[str, Column] = {}
        for name in table.columns:
            values = table[name]
            if values.dtype.name == "category":
                categories = values.cat.categories.to_numpy(dtype=object)
                codes = values.cat.codes.to_numpy()
                columns[str(name)] = Categorical(codes, categories, bool(values.cat.ordered))
            elif values.dtype.kind in "iufb" and isinstance(values.dtype, np.dtype):
                columns[str(name)] = values.to_numpy()
            elif values.dtype.kind in "iub":
                mask = values.isna().to_numpy()
                raw = values.fillna(values.dtype.type(0)).to_numpy(dtype=values.dtype.type)
                columns[str(name)] = Nullable(raw, mask)
            else:
                missing = values.isna().to_numpy()
                words = np.array([None if m else str(v) for v, m in zip(values, missing)], object)
                columns[str(name)] = words
        return cls(np.array([str(name) for name in table.index], dtype=object), columns)


def _word(value: object) -> str | None:
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
