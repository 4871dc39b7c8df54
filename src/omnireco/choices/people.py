"""Features of people in a Dataset: one label each, or a row of numbers each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from omnireco._core.checks import shown
from omnireco.data.asking.requests import label_of
from omnireco.data.dataset import Dataset
from omnireco.data.vocabulary import NONE, Vocabulary, unite
from omnireco.errors import ParameterError, SchemaError

__all__ = ["labels_of", "numbers_of", "per_row"]

Labels = tuple[Vocabulary, Vocabulary, np.ndarray]
Numbers = tuple[Vocabulary, np.ndarray]


def labels_of(data: Dataset, name: str, where: str) -> Labels:
    """Return people, the values of an attribute, and the code of each person's value (-1 for none).

    An attribute of the audience, or the columns ``name=value`` of ``data.attributes``.

    Raises
    ------
    ParameterError
        When the data has no such attribute.
    SchemaError
        When somebody has several values of it.
    """
    audience, table = data.audience, data.attributes
    if audience is not None and name in audience.attributes:
        values, code = audience.attributes[name]
        return audience.users, values, code.astype(np.int64)
    columns, start = _columns(data, name), len(name) + 1
    if table is None or not columns.size:
        raise ParameterError(f"{where}: the data has no attribute {shown(name)}. {_where_to_write(data, name)}")
    held = table.csr[:, columns] != 0
    count = np.diff(held.indptr)
    if (several := int((count > 1).sum())) > 0:
        raise SchemaError(f"{where}: {several:,} people have several values of {shown(name)}. Each has one or none.")
    code = np.full(len(table.users), NONE, np.int64)
    code[count == 1] = held.indices
    values, place = Vocabulary.encode([str(table.items.ids[column])[start:] for column in columns], name)
    return table.users, values, np.append(place.astype(np.int64), NONE)[code]


def numbers_of(data: Dataset, names: tuple[str, ...] | None, where: str) -> Numbers:
    """Return people and a row of numbers for each, (n_users, m); all of ``data.attributes`` where nothing is named.

    An attribute of the audience has a column of zeros and ones per value. Who stands in one table only has zeros in
    the columns of the other.

    Raises
    ------
    ParameterError
        When the data has no such attribute.
    """
    parts = list(_tables(data, names, where))
    if not parts:
        return Vocabulary(np.empty(0, np.int64)), np.empty((0, 0))
    users, rows = unite([part[0] for part in parts], "user_id")
    found, left = np.zeros((len(users), sum(part[1].shape[1] for part in parts))), 0
    for row, (_, table) in zip(rows, parts, strict=True):
        found[row, left : left + table.shape[1]] = table
        left += table.shape[1]
    return users, found


def per_row(value: Any, n: int, name: str) -> tuple[Vocabulary, np.ndarray]:
    """Return one name for all rows, or one per row, coded; missing is -1."""
    if isinstance(value, type):
        raise ParameterError(f"{name} must be a name, or one per person. Got {shown(value)}.")
    if value is not None and not isinstance(value, (str, bytes)) and hasattr(value, "__len__") and len(value) != n:
        raise ParameterError(f"{name} has {len(value):,} values for {n:,} people. Give one, or one per person.")
    return label_of(value, n, name)


def _tables(data: Dataset, names: tuple[str, ...] | None, where: str) -> Iterator[Numbers]:
    table = data.attributes
    if names is None and table is not None:
        yield table.users, table.csr.toarray().astype(np.float64)
    for name in names or ():
        if table is not None and (columns := _columns(data, name, whole=True)).size:
            yield table.users, table.csr[:, columns].toarray().astype(np.float64)
            continue
        users, values, code = labels_of(data, name, where)
        yield users, (code[:, None] == np.arange(len(values))).astype(np.float64)


def _columns(data: Dataset, name: str, *, whole: bool = False) -> np.ndarray:
    """Return columns of ``data.attributes``: those called ``name=value``, or ``name`` itself."""
    if data.attributes is None:
        return np.empty(0, np.int64)
    called = map(str, data.attributes.items.ids.tolist())
    return np.flatnonzero([one == name if whole else one.startswith(f"{name}=") for one in called])


def _where_to_write(data: Dataset, name: str) -> str:
    if data.audience is None:
        return "Give people with it: om.Dataset(..., audience=om.Audience.from_frame(people, attributes=[...]))."
    known = ", ".join(map(repr, data.audience.attributes)) or "none"
    return f"The audience has {known}. Keep it there: om.Audience.from_frame(people, attributes=[{shown(name)}])."
