"""Web, app, e-mail and push, simulated around the purchases of real households, and named as simulated.

A grocer's receipts say nothing about what people read at home, so the demo makes it up: sessions before some of the
trips to the shop, sessions of their own, and a year of messages with their answers. Every channel carries the word
``(simulated)`` in its name, so that no table, picture or file can show one of them without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnireco._core.random import stream
from omnireco._core.units import DAY_US, HOUR_US
from omnireco.data.audience import Audience
from omnireco.data.events import EventLog
from omnireco.data.messages import MessageLog

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["APP", "EMAIL", "LAWS", "PUSH", "WEB", "around"]

WEB, APP, EMAIL, PUSH = "web (simulated)", "app (simulated)", "email (simulated)", "push (simulated)"
LAWS = (
    "Web, app, e-mail and push are simulated, and called so wherever they appear: some trips to the shop are preceded "
    "by a session in which part of the basket is viewed, others stand alone; messages go out at 10:00, every third at "
    "an hour drawn by lot whose propensity is recorded, and are answered by those who look at that hour, more often "
    "about what they have bought before. Purchases, coupons and paper mail are as recorded."
)

_VIEWED, _OTHERS = 3, 2  # items of the basket viewed before a trip, and other items
_CARTED = 0.3  # share of the former that is put into a cart
_PRECEDED = 0.6  # share of trips with a session before them, of the keenest
_ALONE = 0.8  # sessions a week without a trip, of the keenest
_RATE = {EMAIL: 0.03, PUSH: 0.06}  # chance of an answer of an average person to a message read at once
_FRESH = {EMAIL: 8.0, PUSH: 2.0}  # hours after which the chance has fallen to a third
_WEEKS, _PER_WEEK = 26, 0.5
_BY_LOT, _HOURS = 1 / 3, np.arange(8, 21)  # a third of the messages leave at one of these hours, drawn evenly
_HABITS = np.array([7.5, 12.5, 20.0])  # when people look: on the way to work, at lunch, in the evening


@dataclass(frozen=True, slots=True)
class _People:
    """What the simulation knows of each household, by the codes of the log."""

    keen: np.ndarray
    on_app: np.ndarray
    hours: np.ndarray


def around(log: EventLog, audience: Audience, *, zone: str, seed: int) -> tuple[EventLog, MessageLog]:
    """Return the log with simulated sessions in it, and simulated messages with their answers.

    Parameters
    ----------
    log : EventLog
        Purchases with a label ``session_id``.
    audience : Audience
        With consents for :data:`EMAIL` and :data:`PUSH`.
    zone : str
        The zone of everybody.
    seed : int
        Equal seeds give equal worlds.
    """
    people = _draw_people(log, zone, seed)
    views = _sessions(log, people, zone, seed)
    sent, answers = _messages(log, audience, people, zone, seed)
    seen = EventLog.from_frame(_frame(log, views + answers))
    return EventLog.concat([log, seen]), MessageLog.from_frame(sent)


# people ---------------------------------------------------------------------------------------------


def _draw_people(log: EventLog, zone: str, seed: int) -> _People:
    """Draw who is keen on screens, on which, and at which hours: a habit, mixed with the hours of their own trips."""
    rng = stream(seed, "demo/around", "people")
    n = log.n_users
    own = np.bincount(log.user * 24 + _local_hour(log.at, zone), minlength=n * 24).reshape(n, 24).astype(np.float64)
    own /= np.maximum(own.sum(axis=1, keepdims=True), 1)
    habit = np.exp(-0.5 * ((np.arange(24) + 0.5 - _HABITS[:, None]) / 1.5) ** 2)
    habit /= habit.sum(axis=1, keepdims=True)
    hours = 0.85 * habit[rng.integers(0, len(_HABITS), n)] + 0.1 * own + 0.05 / 24
    return _People(rng.beta(1.2, 1.8, n), rng.beta(0.7, 0.7, n), hours / hours.sum(axis=1, keepdims=True))


# sessions -------------------------------------------------------------------------------------------

_Rows = list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]]  # user, item, instant, channel is app, event


def _sessions(log: EventLog, people: _People, zone: str, seed: int) -> _Rows:
    """Draw sessions before trips, with part of the basket in view, and sessions of their own."""
    rng = stream(seed, "demo/around", "sessions")
    lines = np.flatnonzero((log.item >= 0) & (log.labels["session_id"][1] >= 0))
    trips, first, trip_of = np.unique(log.labels["session_id"][1][lines], return_index=True, return_inverse=True)
    user, at = log.user[lines[first]], log.at[lines[first]]  # noqa: PD008
    looked = at // DAY_US * DAY_US - rng.integers(0, 3, at.size) * DAY_US + _midnight(zone, at)
    looked += _draw_hour(rng, people.hours[user])
    keep = (rng.random(at.size) < _PRECEDED * people.keen[user]) & (looked < at) & (looked >= log.start_us)
    size = np.bincount(trip_of, minlength=trips.size)
    shown = keep[trip_of] & (rng.random(lines.size) < _VIEWED / np.maximum(size, _VIEWED)[trip_of])
    on_app = rng.random(at.size) < people.on_app[user]
    row = trip_of[shown]
    seconds = rng.integers(0, 900, row.size) * 1_000_000
    rows: _Rows = [(user[row], log.item[lines[shown]], looked[row] + seconds, on_app[row], "view")]
    cart = rng.random(row.size) < _CARTED
    later = looked[row[cart]] + seconds[cart] + 30_000_000
    rows.append((user[row[cart]], log.item[lines[shown]][cart], later, on_app[row[cart]], "add_to_cart"))
    bought = log.item[lines]
    for one, when, mine, many in (
        (user[keep], looked[keep], on_app[keep], _OTHERS),
        (*_alone(rng, log, people, zone), 2 * _OTHERS),
    ):
        who = np.repeat(np.arange(one.size), rng.poisson(many, one.size))
        what = bought[rng.integers(0, bought.size, who.size)]  # what sells is what is looked at
        rows.append((one[who], what, when[who] + rng.integers(0, 900, who.size) * 1_000_000, mine[who], "view"))
    return rows


def _alone(
    rng: np.random.Generator, log: EventLog, people: _People, zone: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw sessions that no trip follows."""
    weeks = (log.end_us - log.start_us) / (7 * DAY_US)
    user = np.repeat(np.arange(log.n_users), rng.poisson(_ALONE * weeks * people.keen))
    day = rng.integers(log.start_us // DAY_US, log.end_us // DAY_US, user.size) * DAY_US
    at = day + _midnight(zone, day) + _draw_hour(rng, people.hours[user])
    inside = (at >= log.start_us) & (at < log.end_us - HOUR_US)
    return user[inside], at[inside], rng.random(int(inside.sum())) < people.on_app[user[inside]]


# messages -------------------------------------------------------------------------------------------


def _messages(log: EventLog, audience: Audience, people: _People, zone: str, seed: int) -> tuple[pd.DataFrame, _Rows]:
    """Draw half a year of messages, their hours with propensities, and who answers when."""
    import pandas as pd

    frames, rows = [], []
    for channel in (EMAIL, PUSH):
        rng = stream(seed, "demo/around", channel)
        code = int(audience.channels.codes([channel])[0])
        agreed = np.flatnonzero(audience.consent[:, code])
        user = log.users.codes(audience.users.ids[agreed])
        week, who = np.nonzero(rng.random((_WEEKS, user.size)) < _PER_WEEK)
        user = user[who]
        day = (log.end_us // DAY_US - 7 * (_WEEKS - week) + rng.integers(0, 5, week.size)) * DAY_US
        by_lot = rng.random(user.size) < _BY_LOT
        hour = np.where(by_lot, rng.choice(_HOURS, user.size), 10)
        sent = day + _midnight(zone, day) + hour * HOUR_US + rng.integers(0, 3600, user.size) * 1_000_000
        item = _offered_items(rng, log, user)
        known = np.isin(user.astype(np.int64) * log.n_items + item, log.user.astype(np.int64) * log.n_items + log.item)
        fresh = np.exp(-np.arange(24) / _FRESH[channel])
        looks = people.hours[user[:, None], (hour[:, None] + np.arange(24)) % 24]
        interest = 0.6 + 0.8 * people.keen[user] + 0.4 * known
        chance = np.clip(_RATE[channel] * 24 / 3 * looks * fresh * interest[:, None], 0, 0.9)
        later = np.cumsum(chance, axis=1)
        luck = rng.random(user.size)
        answered = luck < 1 - np.exp(-later[:, -1])
        delay = (later < -np.log1p(-luck)[:, None]).sum(axis=1)
        at = sent + delay * HOUR_US + rng.integers(60, 3500, user.size) * 1_000_000
        answered &= at < log.end_us - HOUR_US
        frames.append(
            pd.DataFrame(
                {
                    "user_id": log.users.ids[user],
                    "channel": channel,
                    "item_id": log.items.ids[item],
                    "sent_at": _instants(sent),
                    "responded_at": _instants(np.where(answered, at, np.iinfo(np.int64).min)),
                    "propensity": _BY_LOT / len(_HOURS) + np.where(hour == 10, 1 - _BY_LOT, 0.0),
                }
            )
        )
        rows.append(
            (
                user[answered],
                item[answered],
                at[answered] + 20_000_000,
                np.full(answered.sum(), channel == PUSH),
                "view",
            )
        )
    return pd.concat(frames, ignore_index=True), rows


def _offered_items(rng: np.random.Generator, log: EventLog, user: np.ndarray) -> np.ndarray:
    """Return an item for each message: half of them what the person bought before, half what sells."""
    lines = np.flatnonzero(log.item >= 0)
    order = lines[np.argsort(log.user[lines], kind="stable")]
    count = np.bincount(log.user[lines], minlength=log.n_users)
    start = np.r_[0, np.cumsum(count)[:-1]]
    own = log.item[
        order[np.minimum(start[user] + (rng.random(user.size) * count[user]).astype(np.int64), order.size - 1)]
    ]
    popular = log.item[lines[rng.integers(0, lines.size, user.size)]]
    return np.where((rng.random(user.size) < 0.5) & (count[user] > 0), own, popular).astype(np.int64)


# clocks and frames ----------------------------------------------------------------------------------


def _local_hour(at: np.ndarray, zone: str) -> np.ndarray:
    return (at + _shift(zone, at)) // HOUR_US % 24


def _shift(zone: str, at: np.ndarray) -> np.ndarray:
    """Return local less UTC in microseconds."""
    import pandas as pd

    instants = pd.DatetimeIndex(at.astype("datetime64[us]"), tz="UTC")
    local = instants.tz_convert(zone).tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    return np.asarray(local - at, np.int64)


def _midnight(zone: str, at: np.ndarray) -> np.ndarray:
    """Return what the zone's day lies behind that of UTC, by its clock at noon: at night clocks may change."""
    return -_shift(zone, at // DAY_US * DAY_US + 17 * HOUR_US)


def _draw_hour(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    """Draw a time of day for each row of weights, in microseconds."""
    hour = (np.cumsum(weights, axis=1) < rng.random(len(weights))[:, None]).sum(axis=1)
    return np.minimum(hour, 23) * HOUR_US + rng.integers(0, 2700, len(weights)) * 1_000_000


def _frame(log: EventLog, rows: _Rows) -> pd.DataFrame:
    import pandas as pd

    n = sum(len(user) for user, *_ in rows)
    return pd.DataFrame(
        {
            "user_id": log.users.ids[np.concatenate([user for user, *_ in rows])],
            "item_id": log.items.ids[np.concatenate([item for _, item, *_ in rows])],
            "channel": np.where(np.concatenate([app for *_, app, _ in rows]), APP, WEB),
            "event": np.repeat([event for *_, event in rows], [len(user) for user, *_ in rows]),
            "timestamp": _instants(np.concatenate([at for _, _, at, *_ in rows])),
            "value": 0.0,
            **{name: pd.array([None] * n, dtype="Int64") for name in ("store_id", "session_id")},
        }
    )


def _instants(at: np.ndarray) -> pd.Series:
    import pandas as pd

    return pd.Series(at.astype("datetime64[us]")).dt.tz_localize("UTC")
