"""What rules become: checked rows and offers, and the prices that they start from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from omnireco.errors import ParameterError
from omnireco.planning.rows import Choices, Rows
from omnireco.planning.rules import Constraint

__all__ = ["EACH", "checked", "least_of", "offers_of", "warm_prices"]

EACH = "each person"


def least_of(rows: Rows) -> np.ndarray:
    """Return the floors of rows, 0 for none."""
    return np.zeros(np.asarray(rows.limit).size) if rows.least is None else np.asarray(rows.least, np.float64)


def checked(rule: Constraint, rows: Any, n: int) -> Rows:
    """Return a constraint's rows when they are rows of a packing problem over ``n`` touches."""
    if not isinstance(rows, Rows):
        raise ParameterError(
            f"{rule.name}.rows must return Rows. Got {type(rows).__name__}. Write return Rows(row=, touch=, weight=, "
            "limit=)."
        )
    row, touch, weight, limit = (np.asarray(a) for a in (rows.row, rows.touch, rows.weight, rows.limit))
    least = least_of(rows)
    floors = least.shape == limit.shape
    problems = [
        (not row.shape == touch.shape == weight.shape == (row.size,), "row, touch and weight differ in length"),
        (limit.ndim != 1, "limit is not one-dimensional"),
        (row.size > 0 and (row.min() < 0 or row.max() >= limit.size), "row points outside limit"),
        (touch.size > 0 and (touch.min() < 0 or touch.max() >= n), "touch points outside the touches"),
        (not np.isfinite(weight).all(), "a weight is missing or not finite"),
        (_never_full(row, weight, limit.size), "no weight of a row is above 0"),
        (not (limit >= 0).all(), "a limit is negative or missing"),
        (not floors, "least and limit differ in shape"),
        (floors and not (np.isfinite(least).all() and (least >= 0).all()), "a floor is negative or not finite"),
        (floors and bool((least > limit).any()), "a floor is above its limit"),
        (
            floors and not (np.isfinite(limit) | (least > 0)).all(),
            "a limit is infinite where there is no floor either",
        ),
        (rows.labels is not None and len(rows.labels) != limit.size, "there is not one label per limit"),
    ]
    wrong = [what for bad, what in problems if bad]
    if wrong:
        raise ParameterError(
            f"{rule.name}.rows does not describe a packing problem over {n} touches: {'; '.join(wrong)}. "
            "Return Rows(row=, touch=, weight=, limit=): sums of weights of sent touches that stay below limits, and "
            "above floors where least= is given."
        )
    return rows


def _never_full(row: np.ndarray, weight: np.ndarray, n_rows: int) -> bool:
    """Return whether a row has weights below 0 alone: the sign is a mistake, as such a row never binds."""
    inside = row.shape == weight.shape and row.size and row.min() >= 0 and row.max() < n_rows
    if not inside or not (weight < 0).any():
        return False
    most = np.full(n_rows, -np.inf)
    np.maximum.at(most, row, weight)
    return bool((most[np.unique(row)] < 0).any())


def offers_of(rule: Constraint, choices: Any, n: int) -> Choices | None:
    """Return a constraint's choices when there is one group and one option per touch."""
    if choices is None:
        return None
    if not isinstance(choices, Choices):
        raise ParameterError(
            f"{rule.name}.choices must return Choices or None. Got {type(choices).__name__}. Write return "
            "Choices(group=, option=)."
        )
    group, option = np.asarray(choices.group), np.asarray(choices.option)
    shaped = group.shape == option.shape == (n,)
    whole = np.issubdtype(group.dtype, np.integer) and np.issubdtype(option.dtype, np.integer)
    problems = [
        (not shaped, f"group and option need one entry per touch, {n}"),
        (not whole, "group and option must be whole numbers"),
        (bool(shaped and whole and ((option < 0) & (group >= 0)).any()), "a touch of a group has no option"),
    ]
    wrong = [what for bad, what in problems if bad]
    if wrong:
        raise ParameterError(
            f"{rule.name}.choices does not say which offer each touch carries: {'; '.join(wrong)}. "
            "Return Choices(group=, option=): codes from 0, and group -1 for a touch without an offer."
        )
    return choices


def warm_prices(rules: Sequence[Constraint], compiled: Sequence[Rows], warm: Iterable[Any]) -> np.ndarray | None:
    """Return what each row starts from: the price of the same row, of that hour, or the mean of the constraint."""
    lines = list(warm)
    if not lines:
        return None
    known: dict[tuple[str, ...], list[float]] = {}
    for line in lines:
        for key in _keys(line.constraint, line.row):
            known.setdefault(key, []).append(float(line.price))
    parts = []
    for rule, rows in zip(rules, compiled, strict=True):
        labels = (EACH,) * np.asarray(rows.limit).size if rows.labels is None else rows.labels
        parts.append([_first_known(known, _keys(rule.name, label)) * rows.unit for label in labels])
    return np.concatenate([np.empty(0), *(np.array(part, np.float64) for part in parts)])


def _keys(constraint: str, row: str) -> list[tuple[str, ...]]:
    """Return by what a price is known, the nearest first; a date in a label is yesterday's."""
    hour = re.sub(r"\d{4}-\d{2}-\d{2}", "", row)
    return [(constraint, row), (constraint, hour, "any day"), (constraint,)]


def _first_known(known: dict[tuple[str, ...], list[float]], keys: list[tuple[str, ...]]) -> float:
    """Return the mean price of the first key that is known; 0 for none."""
    return next((float(np.mean(known[key])) for key in keys if key in known), 0.0)
