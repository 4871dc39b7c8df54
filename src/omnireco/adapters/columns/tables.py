"""Rows that were read as columns, and their union with the rows that the rules read, in the order of the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco.adapters.columns.fields import codes_of
from omnireco.adapters.people import ZONE, Fact

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Chunk", "distinct", "united", "zone_facts"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one kind: their records, ascending, and a column of each field.

    A column is an Arrow array of texts, an array of microseconds (int64) or of numbers (float64), or one value of all.
    """

    record: np.ndarray
    columns: dict[str, Any]

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.record.size

    def listed(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Yield the record and some values of each row."""
        columns = [self.columns[name] for name in names]
        lists = [[part] * len(self) if isinstance(part, str) else part.tolist() for part in columns]
        yield from zip(self.record.tolist(), *lists, strict=True)

    @property
    def stated(self) -> bool:
        """Whether a price of an event is stated; ``bare`` are the events that sell nothing."""
        return not bool((np.isnan(self.columns["value"]) | self.columns["bare"]).all())

    def rows(self, kept: np.ndarray) -> Chunk:
        """Return some rows, by a mask."""
        import pyarrow as pa

        def some(column: Any) -> Any:
            if isinstance(column, np.ndarray):
                return column[kept]
            return column.filter(pa.array(kept)) if isinstance(column, pa.Array) else column

        return Chunk(self.record[kept], {name: some(column) for name, column in self.columns.items()})


def united(rest: pd.DataFrame, chunks: Sequence[Chunk]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows of a frame and of chunks in the order of their records, and the place of each row of the frame.

    The types are those that pandas gives to a frame of all rows: it is as if the rules had made them all.
    """
    import pandas as pd

    records = [rest["record"].to_numpy(np.int64), *(chunk.record for chunk in chunks)]
    record = np.concatenate(records)
    order = np.argsort(record, kind="stable") if len(rest) or not _ascending(record) else None
    lengths = [len(chunk) for chunk in chunks]
    found = {"record": record if order is None else record[order]}
    for name in rest.columns.drop("record"):
        parts = [chunk.columns[name] for chunk in chunks]
        found[name] = _column(rest[name], parts, lengths, order)
    place = np.arange(len(rest)) if order is None else np.argsort(order, kind="stable")[: len(rest)]
    return pd.DataFrame(found), place


def _ascending(record: np.ndarray) -> bool:
    return bool((record[1:] >= record[:-1]).all())


def _column(rest: pd.Series, parts: list[Any], lengths: list[int], order: np.ndarray | None) -> Any:
    import pandas as pd

    kind = next((part.dtype for part in parts if isinstance(part, np.ndarray)), None)
    if kind == np.int64:
        return _times(rest, parts, order)
    if kind is not None:
        values = np.concatenate([rest.to_numpy(np.float64, na_value=np.nan), *parts])
        return values if order is None else values[order]
    texts = _texts(rest, parts, lengths)
    if texts is None:
        values = np.concatenate(
            [rest.to_numpy(object), *(_objects(*pair) for pair in zip(parts, lengths, strict=True))]
        )
        return pd.Series(values if order is None else values[order], dtype=object)
    texts = texts if order is None else texts.take(order)
    if texts.null_count == len(texts):
        return pd.Series([None] * len(texts), dtype=object)
    kind = pd.Series(["a"]).dtype
    return pd.Series(pd.array(texts, dtype=kind))


def _texts(rest: pd.Series, parts: list[Any], lengths: list[int]) -> Any:
    """Return a column as Arrow's texts where pandas holds texts so, and the rules made nothing but texts."""
    import pandas as pd
    import pyarrow as pa

    if pd.Series(["a"]).dtype == object or not (pd.isna(rest).all() or rest.dtype == pd.Series(["a"]).dtype):
        return None
    own = [] if rest.empty else [pa.array(rest.to_numpy(object), pa.large_string(), from_pandas=True)]
    large = [_arrow(part, n).cast(pa.large_string()) for part, n in zip(parts, lengths, strict=True)]
    return pa.chunked_array([*own, *large], pa.large_string())


def _arrow(part: Any, n: int) -> Any:
    import pyarrow as pa

    return part if isinstance(part, pa.Array) else pa.repeat(pa.scalar(part, pa.string()), n)


def _objects(part: Any, n: int) -> np.ndarray:
    if part is None or isinstance(part, str):
        return np.full(n, part, object)
    code, texts = codes_of(part)
    return np.array([*texts.to_pylist(), None], object)[code]


def _times(rest: pd.Series, parts: list[np.ndarray], order: np.ndarray | None) -> pd.Series:
    """Return times, of the finer of two units where the rules read finer ones."""
    import pandas as pd

    own = pd.Series(pd.to_datetime(np.concatenate(parts), unit="us", utc=True))
    if len(rest):
        unit = "ns" if "ns" in (rest.dt.unit, own.dt.unit) else own.dt.unit
        own = pd.concat([rest.dt.as_unit(unit), own.dt.as_unit(unit)], ignore_index=True)
    return own if order is None else own.iloc[order].reset_index(drop=True)


def distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame without rows that repeat another, as ``drop_duplicates`` does, by the codes of its columns."""
    import pandas as pd

    key, size = np.zeros(len(frame), np.int64), 1
    for name in frame:
        code, values = pd.factorize(frame[name])
        if size * (len(values) + 1) >= 2**62:
            key, found = pd.factorize(key)
            size = len(found)
        key, size = key * (len(values) + 1) + code + 1, size * (len(values) + 1)
    return frame[~pd.Series(key, index=frame.index).duplicated()].reset_index(drop=True)


def zone_facts(chunks: Sequence[Chunk]) -> list[Fact]:
    """Return the zones of persons as facts, of each zone of a person the newest instant."""
    import pyarrow as pa

    record, at = (
        np.concatenate(parts) for parts in zip(*((one.record, one.columns["at"]) for one in chunks), strict=True)
    )
    (user, users), (zone, zones) = (
        codes_of(pa.chunked_array([one.columns[name] for one in chunks]).combine_chunks())
        for name in ("user_id", "timezone")
    )
    order = np.lexsort([at, zone, user])
    rows = order[np.append((np.diff(user[order]) != 0) | (np.diff(zone[order]) != 0), True)]
    first = record[np.unique(user, return_index=True)[1]]  # the order of people is that of their first records
    names, places = (np.array(one.to_pylist(), object) for one in (users, zones))
    columns = (first[user[rows]], names[user[rows]], at[rows], places[zone[rows]])
    lists = zip(*(column.tolist() for column in columns), strict=True)
    return [Fact(number, who, ZONE, when, where) for number, who, when, where in lists]
