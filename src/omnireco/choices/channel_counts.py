"""Channel counts of a Dataset: responses and trials, groups of people, and stated preferences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.checks import check_known
from omnireco.choices.people import labels_of
from omnireco.data.dataset import Dataset
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import EmptyError, SchemaError
from omnireco.timing.machines import answers_of_people

__all__ = ["counts_of", "groups_of", "stated_channels"]

_EVERYTHING = "everything"


def counts_of(data: Dataset, on: str, kinds: str | None) -> tuple[Any, ...]:
    """Return users, channels, kinds, and one row per message or event: codes, successes, trials."""
    log: Any = data.messages if on == "messages" else data.events
    if not len(log):
        raise EmptyError(f"ChannelPreference.fit: there are no {on}.")
    n = len(log)
    if kinds is None:
        known, kind = Vocabulary(np.array([_EVERYTHING], object)), np.zeros(n, np.int64)
    elif kinds == "event":
        known, kind = log.events, log.event.astype(np.int64)
    else:
        goods: Any = data.catalog
        if goods.category is None:
            raise SchemaError("kinds: the catalogue has no category. Add the column to Catalog.from_frame.")
        row = match(goods.items, log.items, ("the catalogue", "the log"), column="item_id")
        item = np.where(log.item >= 0, row[log.item] if len(row) else NONE, NONE)
        known, code = goods.category[0], np.append(goods.category[1], NONE)
        kind = code[item].astype(np.int64)
    rows = np.flatnonzero(kind >= 0)
    if not rows.size:
        raise EmptyError("ChannelPreference.fit: no message or event has an item with a category.")
    done, n_machine = np.ones(rows.size), 0
    if on == "messages":
        answered_at, n_machine = answers_of_people(log)
        done = (answered_at[rows] != NEVER).astype(np.float64)
    codes = (log.user[rows], log.channel[rows], kind[rows])
    return log.users, log.channels, known, *codes, done, np.ones(rows.size), n_machine


def groups_of(data: Dataset, name: str | None, users: Vocabulary) -> tuple[Vocabulary, np.ndarray]:
    """Return the groups and the group of each user, -1 for none."""
    if name is None:
        return Vocabulary(np.empty(0, object)), np.full(len(users), NONE, np.int64)
    people, names, code = labels_of(data, name, "ChannelPreference: groups")
    return names, np.append(code, NONE)[match(people, users, ("the audience", "the log"))]


def stated_channels(
    data: Dataset, declared: Any, users: Vocabulary, channels: Vocabulary, kinds: Vocabulary, *, missing: str
) -> np.ndarray:
    """Return which channel was declared, bool (n_users, n_channels, n_kinds); people outside the log are left out."""
    stated = np.zeros((len(users), len(channels), len(kinds)), np.bool_)
    by_kind: Any = declared
    if not isinstance(by_kind, Mapping):
        by_kind = {None: by_kind or ()}
    elif by_kind:
        check_known(by_kind, kinds.ids, "ChannelPreference declared: kinds", missing=missing)
    for kind, attributes in by_kind.items():
        if kind is not None and kind not in kinds:
            continue
        about = slice(None) if kind is None else int(kinds.codes([kind])[0])
        for name in attributes:
            people, named, code = labels_of(data, name, "ChannelPreference: declared")
            check_known(named.ids, channels.ids, "ChannelPreference declared: channels", missing=missing)
            column = np.append(channels.codes(named.ids, missing="none"), NONE)[code]
            row = match(users, people, ("the log", "the audience"))
            ok = (row >= 0) & (column >= 0)
            stated[row[ok], column[ok], about] = True
    return stated
