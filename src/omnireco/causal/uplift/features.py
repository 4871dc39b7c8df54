"""Columns of a frame as numbers: as they are, gaps filled and marked, or one column per level of a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco._core.checks import count_of, shown
from omnireco.errors import SchemaError

__all__ = ["Feature", "encoded", "learned", "names_of"]

_MOST_LEVELS = 200


@dataclass(frozen=True, slots=True)
class Feature:
    """How one column becomes numbers.

    Attributes
    ----------
    name : str
    levels : tuple of str
        Levels of a text column, one column each; empty for numbers.
    fill : float
        What stands for a missing number: the mean of those known when it was learned.
    gaps : bool
        Whether there were missing numbers, which a column ``"<name> missing"`` then marks.
    """

    name: str
    levels: tuple[str, ...] = ()
    fill: float = 0.0
    gaps: bool = False


def columns_of(frame: Any, names: Iterable[str], where: str) -> dict[str, np.ndarray]:
    """Return columns of any eager frame as numpy: float64 with NaN for gaps, or texts with "" for gaps."""
    import narwhals as nw
    import pandas as pd

    try:
        table = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise SchemaError(f"{where} takes a frame of pandas, polars or pyarrow. Got {type(frame).__name__}.") from None
    found: dict[str, np.ndarray] = {}
    for name in names:
        if name not in table.columns:
            have = ", ".join(map(repr, table.columns)) or "none"
            raise SchemaError(f"{where}: the frame has no column {shown(name)}; it has {have}.")
        column = pd.Series(table.get_column(name).to_pandas())
        if pd.api.types.is_datetime64_any_dtype(column):
            raise SchemaError(
                f"{where}: {name} holds times. Give a number that was known then, such as days since: "
                f"(start - frame[{name!r}]).dt.days."
            )
        column = _as_numbers(column)
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
            values = column.to_numpy(np.float64, na_value=np.nan)
            if np.isinf(values).any():
                raise SchemaError(f"{where}: {name} holds {int(np.isinf(values).sum()):,} infinite numbers.")
            found[name] = values
        else:
            found[name] = np.where(column.isna(), "", column.astype(str)).astype(object)
    return found


def _as_numbers(column: Any) -> Any:
    """Return a column of Python numbers among gaps as numbers: pandas keeps those as objects."""
    import numbers

    import pandas as pd

    if column.dtype != object:
        return column
    known = column[~column.isna()]
    if not len(known) or not all(isinstance(one, (numbers.Real, np.bool_)) for one in known):
        return column
    return pd.Series(np.array([np.nan if pd.isna(one) else float(one) for one in column], np.float64))


def learned(columns: dict[str, np.ndarray], where: str) -> tuple[Feature, ...]:
    """Return how each column becomes numbers."""
    made = []
    for name, values in columns.items():
        if values.dtype != object:
            known = values[~np.isnan(values)]
            if not known.size and values.size:
                raise SchemaError(f"{where}: {name} is missing in all {values.size:,} rows. Leave it out of features=.")
            made.append(Feature(name, (), float(known.mean()) if known.size else 0.0, bool(known.size < values.size)))
            continue
        levels = tuple(sorted(set(values.tolist())))
        if len(levels) > _MOST_LEVELS:
            raise SchemaError(
                f"{where}: {name} has {len(levels):,} different texts, and {_MOST_LEVELS} is the most. Is it an id? "
                "Leave it out of features=, or join rare ones."
            )
        made.append(Feature(name, levels))
    return tuple(made)


def encoded(features: Iterable[Feature], columns: dict[str, np.ndarray], where: str) -> np.ndarray:
    """Return the columns as numbers, float64 (n, d); what was never seen is an error."""
    parts: list[np.ndarray] = []
    for feature in features:
        values = columns[feature.name]
        if (values.dtype == object) != bool(feature.levels):
            raise SchemaError(
                f"{where}: {feature.name} held {'texts' if feature.levels else 'numbers'} when the effects were "
                f"learned, and holds {'texts' if values.dtype == object else 'numbers'} now. Cast it."
            )
        if feature.levels:
            place = {level: at for at, level in enumerate(feature.levels)}
            code = np.array([place.get(value, -1) for value in values.tolist()], np.int64)
            if bad := int((code < 0).sum()):
                raise SchemaError(
                    f"{where}: {feature.name} holds a text in {count_of(bad, 'row')} that was not there when the "
                    f"effects were learned; known are {len(feature.levels):,} texts. Leave those rows out."
                )
            parts.append((code[:, None] == np.arange(1, len(feature.levels))).astype(np.float64))
            continue
        missing = np.isnan(values)
        if missing.any() and not feature.gaps:
            raise SchemaError(
                f"{where}: {feature.name} is missing in {count_of(int(missing.sum()), 'row')}, and never was when the "
                "effects were learned. Fill it in upstream, or leave those rows out."
            )
        parts.append(np.where(missing, feature.fill, values)[:, None])
        if feature.gaps:
            parts.append(missing.astype(np.float64)[:, None])
    return np.concatenate(parts, axis=1) if parts else np.empty((0, 0))


def names_of(features: Iterable[Feature]) -> tuple[str, ...]:
    """Return the names of the columns of numbers."""
    found: list[str] = []
    for feature in features:
        if feature.levels:
            found += [f"{feature.name}={level or '(missing)'}" for level in feature.levels[1:]]
        else:
            found += [feature.name, *([f"{feature.name} missing"] if feature.gaps else [])]
    return tuple(found)
