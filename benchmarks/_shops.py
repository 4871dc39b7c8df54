"""Simulated logs of shops, of which it is known why people buy: for learned_weights.py and behaviours.py.

People have a few kinds of goods they like and some staples. A visit shows them goods, most of a kind they like; some
they want: those go into the cart and are bought within hours or days, or not. Favourites are marked long before they
are bought, if ever. Staples are bought again. A feed plays goods that nobody asked for, as views on a channel of its
own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

import omnireco as om

__all__ = ["HAND", "SHOPS", "Shop"]

HAND = {"view": 1.0, "favourite": 3.0, "cart": 4.0, "purchase": 8.0}
EVENTS, CHANNELS = ("view", "cart", "favourite", "purchase"), ("web", "app", "feed")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What a shop is like; ``log()`` draws it."""

    days: float
    users: int = 4_000
    items: int = 2_000
    visits: float = 12.0  # of a person, in the whole time
    again: float = 0.1  # share of visits in which a staple is bought
    wants: float = 0.25  # share of visits in which something is wanted
    bought: float = 0.5  # share of what is wanted that is bought
    after: float = 0.7  # days until it is bought, on average
    stray: float = 0.5  # share of views that are of anything
    feed: float = 0.0  # views of the feed for each other view
    marks: float = 0.05  # favourites for each visit
    marked: float = 30.0  # days until a favourite is bought, on average
    seed: int = 0

    def log(self) -> om.EventLog:
        """Return the events of everybody."""
        return om.EventLog.from_frame(self.frame())

    def frame(self) -> pd.DataFrame:
        """Return the events as a frame."""
        random = np.random.default_rng(self.seed)
        n, kinds = self.users, max(8, self.items // 40)
        kind_of = random.integers(0, kinds, self.items)
        order = np.argsort(kind_of, kind="stable")
        first, size = (
            np.searchsorted(kind_of[order], np.arange(kinds)),
            np.maximum(1, np.bincount(kind_of, minlength=kinds)),
        )
        likes, staples = random.integers(0, kinds, (n, 3)), np.empty((n, 4), np.int64)

        def of_kind(kind: np.ndarray) -> np.ndarray:  # the first of a kind are the popular ones
            return order[
                np.minimum(first[kind] + (size[kind] * random.random(kind.size) ** 2.5).astype(int), self.items - 1)
            ]

        for column in range(4):
            staples[:, column] = of_kind(likes[np.arange(n), random.integers(0, 3, n)])
        lively = random.gamma(1.5, 1 / 1.5, n)
        user = np.repeat(np.arange(n), random.poisson(self.visits * lively))
        at = random.uniform(0, self.days, user.size)
        liked = likes[user, random.integers(0, 3, user.size)]
        place = np.where(random.random(user.size) < 0.6, 0, 1)
        rows: list[tuple[np.ndarray, ...]] = []

        def add(who: np.ndarray, what: np.ndarray, event: int, when: np.ndarray, channel: np.ndarray) -> None:
            rows.append((who, what, np.full(who.size, event), when, channel))

        views = 1 + random.geometric(1 / 6, user.size)
        visit = np.repeat(np.arange(user.size), views)
        seen = np.where(
            random.random(visit.size) < self.stray, random.integers(0, self.items, visit.size), of_kind(liked[visit])
        )
        add(user[visit], seen, 0, at[visit] + random.uniform(0, 0.02, visit.size), place[visit])
        fed = np.flatnonzero(random.random(visit.size) < self.feed)
        played = (self.items * random.random(fed.size) ** 3).astype(int)
        add(user[visit[fed]], played, 0, at[visit[fed]] + random.uniform(0, 0.1, fed.size), np.full(fed.size, 2))
        want = np.flatnonzero(random.random(user.size) < self.wants)
        what = of_kind(liked[want])
        add(user[want], what, 0, at[want] + 0.021, place[want])
        add(user[want], what, 1, at[want] + 0.022, place[want])
        buys = random.random(want.size) < self.bought
        add(
            user[want[buys]],
            what[buys],
            3,
            at[want[buys]] + 0.023 + random.exponential(self.after, buys.sum()),
            place[want[buys]],
        )
        mark = np.flatnonzero(random.random(user.size) < self.marks)
        what = of_kind(liked[mark])
        add(user[mark], what, 2, at[mark] + 0.024, place[mark])
        buys = random.random(mark.size) < 0.6
        add(
            user[mark[buys]],
            what[buys],
            3,
            at[mark[buys]] + random.exponential(self.marked, buys.sum()),
            place[mark[buys]],
        )
        back = np.flatnonzero(random.random(user.size) < self.again)
        add(user[back], staples[user[back], random.integers(0, 4, back.size)], 3, at[back] + 0.025, place[back])
        who, item, event, when, channel = (np.concatenate(part) for part in zip(*rows, strict=True))
        keep = when < self.days
        names = {"event": (EVENTS, event[keep]), "channel": (CHANNELS, channel[keep])}
        stamps = np.datetime64("2025-03-03", "us") + (when[keep] * 86_400e6).astype("timedelta64[us]")
        frame = pd.DataFrame(
            {"user_id": who[keep], "item_id": item[keep], "timestamp": pd.DatetimeIndex(stamps, tz="UTC")}
        )
        return frame.assign(
            **{name: pd.Categorical.from_codes(code, categories) for name, (categories, code) in names.items()}
        )


SHOPS: dict[str, tuple[Shop, str]] = {  # and the horizon that its owner would take
    "10 days, people buy again": (Shop(days=10, visits=9, again=0.3), "1D"),
    "10 days, seldom again": (Shop(days=10, visits=9, again=0.01, bought=0.4, after=0.3), "1D"),
    "9 days, mostly views": (
        Shop(days=9, visits=14, again=0.03, wants=0.12, stray=0.3, users=6_000, items=6_000),
        "1D",
    ),
    "30 days, people buy again": (Shop(days=30, visits=14, again=0.3), "5D"),
    "30 days, seldom again, a feed": (Shop(days=30, visits=14, again=0.01, feed=1.0), "5D"),
    "6 months, people buy again, a feed": (Shop(days=182, visits=30, again=0.25, feed=1.0), "14D"),
    "6 months, favourites long before": (Shop(days=182, visits=30, again=0.02, marks=0.2, wants=0.1, marked=60), "14D"),
}
