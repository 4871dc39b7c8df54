"""Touches with more to them: further columns, an offer of several, a shop of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_kind, check_mapping, check_number, name_rows
from omnireco._core.parts import NEVER
from omnireco.data.asking.touches import Touches
from omnireco.data.frames.columns import open_frame
from omnireco.data.places.stores import Nearby
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError, SchemaError
from omnireco.planning.inputs import allowed, check_rules
from omnireco.planning.joining import Valued
from omnireco.planning.offers.book import Offers
from omnireco.planning.rules import Constraint, Eligibility, OncePerItem
from omnireco.planning.sources import Sources
from omnireco.planning.touch_value import in_range

__all__ = ["Expanded", "near_shops", "with_columns", "with_offers"]

_KEYS = ("user_id", "item_id", "channel")
_OURS = ("value", "probability", "send_at", "send_at_local", "made_of", "rank", "score")


class Expanded(NamedTuple):
    """The parts of a set of candidates that has more to it; ``kept`` are the positions that pass the new rules."""

    touches: Touches
    value: np.ndarray
    probability: np.ndarray | None
    labels: dict[str, tuple[Vocabulary, np.ndarray]]
    left_out: dict[str, int]
    implied: tuple[Constraint, ...]
    kept: np.ndarray
    sources: Sources
    terms: dict[str, np.ndarray]


def with_columns(found: Valued, frame: Any, columns: Mapping[str, str] | None) -> Expanded:
    """Return candidates with further columns, looked up by person, item and channel, where the frame names them."""
    where = "Candidates.with_columns"
    if columns is not None:
        columns = check_mapping(columns, "columns", "{'position': 'progress'}")
    names = [str(name) for name in open_frame(frame, where, needed=()).others]
    back = {str(theirs): str(ours) for ours, theirs in ({} if columns is None else columns).items()}
    names = [back.get(name, name) for name in names]
    keys = [name for name in _KEYS if name in names]
    more = [name for name in names if name not in keys]
    if not keys or not more:
        raise SchemaError(
            f"{where}: the frame needs user_id, item_id or channel to be looked up by, and a further column. It has "
            f"{', '.join(map(repr, names)) or 'no columns'}."
        )
    if taken := [name for name in more if name in _OURS]:
        raise SchemaError(
            f"{where}: {taken[0]} is what candidates are made of, and no further column. Drop it: "
            f"frame.drop(columns={taken[0]!r})."
        )
    opened = open_frame(frame, where, needed=keys, optional=more, columns=columns)
    row = _rows(found.touches, opened, keys, where)
    labels, terms = dict(found.labels), dict(found.terms)
    for name in more:
        if not name.endswith("_id") and _is_number(opened.columns[name]):
            terms[name] = np.append(in_range(opened.numbers(name, allow_missing=True), name, where), np.nan)[row]
            labels.pop(name, None)
        else:
            known, code = opened.ids(name, allow_missing=True)
            labels[name] = known, np.append(code, np.int32(NONE))[row].astype(np.int32)
            terms.pop(name, None)
    everything = np.arange(len(found))
    parts = (found.touches, found.value, found.probability, labels, dict(found.left_out), found.implied)
    return Expanded(*parts, everything, found.sources, terms)


def with_offers(
    found: Valued, offers: Offers, eligibility: Iterable[Eligibility], *, plain: bool, value_terms: bool
) -> Expanded:
    """Return a touch for every offer that it may carry, with the value it has with that offer."""
    check_kind(offers, Offers, "Candidates.with_offers: offers", "om.planning.Offers.from_frame(frame)")
    rules = check_rules(eligibility)
    t = found.touches
    goods = np.append(match(t.items, offers.items, ("the touches", "the offers"), column="item_id"), np.int32(NONE))
    about = np.where(offers.item == NONE, -2, goods[offers.item])
    rows, given = [np.arange(len(t))] if plain else [], [np.full(len(t), NONE, np.int32)] if plain else []
    for code in range(len(offers)):
        open_now = np.ones(len(t), np.bool_) if about[code] == -2 else t.item == about[code]
        begin, end = int(offers.valid_from[code]), int(offers.valid_until[code])
        open_now &= t.send_at >= begin
        open_now &= (end == NEVER) | (t.send_at < end)
        mine = np.flatnonzero(open_now)
        rows.append(mine)
        given.append(np.full(mine.size, code, np.int32))
    row = np.concatenate([np.empty(0, np.int64), *rows])
    offer = np.concatenate([np.empty(0, np.int32), *given])
    lift, cost = (
        np.append(getattr(offers, name), usual)[offer] for name, usual in (("lift", 1.0), ("reward_cost", 0.0))
    )
    value, chance, terms = _lifted(found, row, lift, value_terms)
    answers = terms["increment"] if chance is None and "increment" in terms else chance
    paid = cost > 0
    if answers is None and paid.any():
        raise ParameterError(
            "Candidates.with_offers: a reward is paid on a response, and these touches have no probability. Give the "
            "frame a column probability, or offers without reward_cost."
        )
    expected = (
        np.where(paid, np.nan_to_num(answers, nan=1.0) * cost, 0.0) if answers is not None else np.zeros(row.size)
    )
    value = value - expected
    terms["reward_cost"] = terms.get("reward_cost", np.zeros(row.size)) + expected
    for name, usual in (("price", np.nan), ("points", 0.0)):
        terms[name] = np.append(getattr(offers, name), usual)[offer]
    label = {"offer_id": (offers.offers, offer)}
    return _expanded(found, row, label, value, chance, terms, rules, {})


def near_shops(
    found: Valued,
    nearby: Nearby,
    eligibility: Iterable[Eligibility],
    *,
    decay_km: float | None,
    channels: Sequence[str] | None,
) -> Expanded:
    """Return a touch for every shop near its person, worth less the farther away."""
    check_kind(nearby, Nearby, "Candidates.with_shops: nearby", "shops.near(homes, k=3)")
    if decay_km is not None:
        check_number(decay_km, "decay_km", above=0.0)
    rules = check_rules(eligibility)
    t = found.touches
    covered = t.on(channels, "Candidates.with_shops: channels")
    person = match(nearby.users, t.users, ("the homes", "the touches"))[t.user]
    store = np.concatenate([nearby.store, np.full((1, nearby.store.shape[1]), NONE, np.int32)])[person]
    far = np.concatenate([nearby.distance, np.full((1, nearby.store.shape[1]), np.inf)])[person]
    one, rank = np.nonzero((store != NONE) & covered[:, None])
    rest = np.flatnonzero(~covered)
    row = np.concatenate([one, rest])
    distance = np.concatenate([far[one, rank], np.full(rest.size, np.nan)])
    with np.errstate(over="ignore"):  # endlessly many times the decay: a response of probability 0
        times = np.nan_to_num(distance, nan=0.0) / (np.inf if decay_km is None else decay_km)
    decay = np.exp(-times)
    value, chance, terms = _lifted(found, row, decay, True)
    terms["distance_km"] = distance
    label = {"store_id": (nearby.stores, np.concatenate([store[one, rank], np.full(rest.size, NONE, np.int32)]))}
    lost = int((covered & (store == NONE).all(axis=1)).sum())
    return _expanded(found, row, label, value, chance, terms, rules, {"no shop near": lost})


def _lifted(
    found: Valued, row: np.ndarray, lift: np.ndarray, has_terms: bool
) -> tuple[np.ndarray, np.ndarray | None, dict[str, np.ndarray]]:
    """Return value, probability and terms of some rows when a response is so many times as probable.

    What a touch earns, and a reward that is paid on a response, grow with it; its other costs stay. Where terms are not
    known the value is all it earns.
    """
    value = found.value[row]
    chance = None if found.probability is None else np.minimum(found.probability[row] * lift, 1.0)
    terms = {name: known[row] for name, known in found.terms.items()}
    paid = terms.get("reward_cost", np.zeros(row.size))
    earned = (
        terms["increment"] * terms["margin"] - paid if {"increment", "margin"} <= set(terms) and has_terms else value
    )
    if "increment" in terms:
        terms["increment"] = terms["increment"] * lift
    if "reward_cost" in terms:
        terms["reward_cost"] = paid * lift
    return value + (lift - 1.0) * np.where(np.isnan(earned), value, earned), chance, terms


def _expanded(
    found: Valued,
    row: np.ndarray,
    label: dict[str, tuple[Vocabulary, np.ndarray]],
    value: np.ndarray,
    chance: np.ndarray | None,
    terms: dict[str, np.ndarray],
    rules: tuple[Eligibility, ...],
    lost: dict[str, int],
) -> Expanded:
    labels = {name: (known, codes[row]) for name, (known, codes) in found.labels.items()} | label
    numbers = {"value": value, **({} if chance is None else {"probability": chance}), **terms}
    touches = replace(found.touches.take(row), numbers=numbers, labels=labels)
    left_out = dict(found.left_out)
    for reason, n in lost.items():
        left_out[reason] = left_out.get(reason, 0) + n
    kept = allowed(touches, rules, left_out)
    implied = (
        found.implied
        if any(isinstance(rule, OncePerItem) for rule in found.implied)
        else (OncePerItem(), *found.implied)
    )
    sources = replace(found.sources, rules=(*found.sources.rules, *rules))
    return Expanded(touches, value, chance, labels, left_out, implied, kept, sources, terms)


def _rows(touches: Touches, opened: Any, keys: list[str], where: str) -> np.ndarray:
    """Return the row of the frame of each touch, -1 for none; two rows for one are an error."""
    own = {
        "user_id": (touches.users, touches.user),
        "item_id": (touches.items, touches.item),
        "channel": (touches.channels, touches.channel),
    }
    theirs, ours = np.zeros(opened.n_rows, np.int64), np.zeros(len(touches), np.int64)
    strange = np.zeros(opened.n_rows, np.bool_)
    for name in keys:
        known, code = own[name]
        vocabulary, given = opened.names(name) if name == "channel" else opened.ids(name)
        place = match(known, vocabulary, ("the touches", "the frame"), column=name)[given]
        strange |= place == NONE
        theirs = theirs * max(1, len(known)) + place
        ours = ours * max(1, len(known)) + code
    rows = np.flatnonzero(~strange)
    order = rows[np.argsort(theirs[rows], kind="stable")]
    sorted_keys = theirs[order]
    if (again := np.diff(sorted_keys) == 0).any():
        repeated = np.zeros(opened.n_rows, np.bool_)
        repeated[order[1:][again]] = True
        raise SchemaError(
            f"{where}: {', '.join(keys)} are listed again in {name_rows(repeated)}. Keep one row of each: "
            f"frame.drop_duplicates({keys!r})."
        )
    if not order.size:
        return np.full(len(touches), NONE, np.int64)
    spot = np.minimum(np.searchsorted(sorted_keys, ours), order.size - 1)
    return np.where(sorted_keys[spot] == ours, order[spot], NONE)


def _is_number(column: Any) -> bool:
    import pyarrow.types as pt

    kind = column.type
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind))
