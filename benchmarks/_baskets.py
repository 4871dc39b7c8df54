"""The published protocol of next baskets, the measures, TIFU-KNN from its formulas, and worlds that are drawn.

Protocol: Li, Jullien, Ariannezhad and de Rijke, "A next basket recommendation reality check", TOIS 2023. People with 3
to 50 baskets; products bought often enough in all but the last baskets; the last basket of each person is the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

__all__ = ["Rules", "Split", "last_baskets", "measure", "tifu_lists", "tifu_search", "world"]

KS = (10, 20)


@dataclass(frozen=True)
class Split:
    """Histories and the baskets to be found, with people and products by code.

    ``history`` has user, item, order (0 for the first basket of a person) and timestamp, a row per product of a basket;
    ``truth`` is a boolean csr matrix of shape (people asked, items), whose rows are ``people``.
    """

    history: pd.DataFrame
    people: np.ndarray
    truth: sp.csr_matrix
    n_users: int
    n_items: int

    @property
    def had(self) -> sp.csr_matrix:
        """What the people asked had before, boolean."""
        found = sp.csr_matrix(
            (np.ones(len(self.history), np.bool_), (self.history["user"], self.history["item"])),
            (self.n_users, self.n_items),
        )
        return found[self.people]

    @property
    def hash(self) -> str:
        """A fingerprint of histories and truth, whatever the order of rows."""
        rows = self.history[["user", "order", "item"]].to_numpy(np.int64)
        rows = rows[np.lexsort(rows.T[::-1])]
        parts = (rows, self.people.astype(np.int64), self.truth.indptr.astype(np.int64), self.truth.indices)
        return sha256(b"".join(np.ascontiguousarray(one, np.int64).tobytes() for one in parts)).hexdigest()[:16]

    def inner(self, most: int, seed: int = 0) -> Split:
        """Return the same without anybody's last basket, which becomes the truth of at most so many drawn people."""
        last = self.history.groupby("user")["order"].transform("max")
        is_last = (self.history["order"] == last) & (last > 0)
        asked = np.intersect1d(self.history.loc[is_last, "user"], self.history.loc[~is_last, "user"])
        if asked.size > most:
            asked = np.sort(np.random.default_rng(seed).choice(asked, most, replace=False))
        return _split(self.history[~is_last], self.history[is_last], asked, self.n_users, self.n_items)


def _split(history: pd.DataFrame, after: pd.DataFrame, people: np.ndarray, n_users: int, n_items: int) -> Split:
    cells = np.ones(len(after), np.bool_), (after["user"].to_numpy(), after["item"].to_numpy())
    return Split(history, people, sp.csr_matrix(cells, (n_users, n_items))[people], n_users, n_items)


def last_baskets(rows: pd.DataFrame, *, least: int = 3, most: int = 50, support: int = 17) -> Split:
    """Return the published split of rows (user_id, item_id, basket, timestamp): basket orders a person's baskets."""
    rows = rows.drop_duplicates(["user_id", "item_id", "basket"])
    order = rows.groupby("user_id")["basket"].rank("dense").astype(np.int64) - 1
    n_baskets = order.groupby(rows["user_id"]).transform("max") + 1
    keep = n_baskets.between(least, most).to_numpy()
    rows, order, n_baskets = rows[keep], order[keep].to_numpy(), n_baskets[keep].to_numpy()
    is_last = order == n_baskets - 1
    often = rows.loc[~is_last, "item_id"].value_counts()
    kept = rows["item_id"].isin(often.index[often >= support]).to_numpy()
    rows, order, is_last = rows[kept], order[kept], is_last[kept]
    both = np.intersect1d(rows.loc[is_last, "user_id"], rows.loc[~is_last, "user_id"])
    user = pd.Categorical(rows["user_id"], categories=both).codes.astype(np.int64)
    item, items = pd.factorize(rows["item_id"], sort=True)
    table = pd.DataFrame({"user": user, "item": item, "order": order, "timestamp": rows["timestamp"].to_numpy()})
    table, is_last = table[user >= 0], is_last[user >= 0]
    return _split(table[~is_last], table[is_last], np.arange(both.size), both.size, len(items))


def measure(lists: np.ndarray, split: Split) -> pd.DataFrame:
    """Return one row of measures per person; ``lists`` (people, 20) holds codes, -1 for none.

    Recall, NDCG (the ideal list runs over the whole basket, as the published code has it), PHR (any hit), then recall
    of what the person had before (repeat) and had not (explore), missing where there was nothing of the kind.
    """
    found = {}
    truth, had = split.truth, split.had
    size = np.diff(truth.indptr)
    repeats = np.diff(truth.multiply(had).tocsr().indptr)
    listed = lists >= 0
    rows = np.repeat(np.arange(len(lists)), lists.shape[1]).reshape(lists.shape)
    codes = np.where(listed, lists, 0)
    hit = np.asarray(truth[rows.ravel(), codes.ravel()]).reshape(lists.shape) & listed
    old = np.asarray(had[rows.ravel(), codes.ravel()]).reshape(lists.shape) & listed
    discount = 1 / np.log2(np.arange(max(size.max(), max(KS))) + 2)
    ideal = np.cumsum(discount)[size - 1]
    for k in KS:
        found[f"recall@{k}"] = hit[:, :k].sum(1) / size
        found[f"ndcg@{k}"] = (hit[:, :k] * discount[:k]).sum(1) / ideal
        found[f"phr@{k}"] = hit[:, :k].any(1).astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[f"repeat@{k}"] = (hit & old)[:, :k].sum(1) / repeats
            found[f"explore@{k}"] = (hit & ~old)[:, :k].sum(1) / (size - repeats)
        found[f"repeats listed@{k}"] = old[:, :k].mean(1)
    return pd.DataFrame(found, index=split.people).replace([np.inf, -np.inf], np.nan)


@dataclass(frozen=True)
class Rules:
    """Parameters of TIFU-KNN, by the names of its paper."""

    groups: int = 7
    within: float = 0.9
    between: float = 0.7
    neighbors: int = 300
    alpha: float = 0.7


GRID: dict[str, tuple[Any, ...]] = {
    "groups": (1, 2, 3, 5, 7, 11, 15, 19, 23),
    "within": (0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    "between": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    "neighbors": (100, 300, 500, 700, 900, 1100, 1300),
    "alpha": tuple(round(0.1 * n, 1) for n in range(11)),
}


def tifu_vectors(split: Split, rules: Rules) -> sp.csr_matrix:
    """Return everybody's vector: baskets decayed within a group, groups decayed, the mean over groups."""
    user, place = split.history["user"].to_numpy(), split.history["order"].to_numpy()
    place = split.history.groupby("user")["order"].rank("dense").to_numpy().astype(np.int64) - 1  # none is empty
    count = np.zeros(split.n_users, np.int64)
    np.maximum.at(count, user, place + 1)
    count = count[user]
    real = np.minimum(count, rules.groups)
    size = count / real
    small = np.floor(size).astype(np.int64)  # the earlier groups have so many baskets, the last ones one more
    n_small = real - np.round((size - small) * real).astype(np.int64)
    larger = np.where(size > small, small + 1, small)
    early = place < n_small * small
    group = np.where(early, place // small, n_small + (place - n_small * small) // larger)
    group = np.minimum(group, real - 1)
    weight = rules.within ** (count - 1.0 - place) * rules.between ** (rules.groups - 1.0 - group)
    weight = weight / np.where(early, small, larger) / real
    return sp.csr_matrix((weight, (user, split.history["item"].to_numpy())), (split.n_users, split.n_items))


def _parts(split: Split, rules: Rules, sizes: tuple[int, ...]) -> Iterator[tuple[slice, np.ndarray, list[np.ndarray]]]:
    """Yield own vectors and the plain means of the nearest people by Euclidean distance, for several numbers."""
    vectors = tifu_vectors(split, rules)
    square = np.asarray(vectors.multiply(vectors).sum(1)).ravel()
    transposed = vectors.T.tocsr()
    step = max(1, min(256, int(4e7 / max(split.n_users, split.n_items))))
    most = min(max(sizes), split.n_users - 1)
    for start in range(0, split.people.size, step):
        asked = split.people[start : start + step]
        far = square[None, :] - 2 * (vectors[asked] @ transposed).toarray()
        far[np.arange(asked.size), asked] = np.inf
        near = np.argpartition(far, most - 1, axis=1)[:, :most]
        near = np.take_along_axis(near, np.argsort(np.take_along_axis(far, near, 1), axis=1, kind="stable"), 1)
        means = []
        for n in sizes:
            n = min(n, most)
            pick = sp.csr_matrix(
                (np.full(asked.size * n, 1 / n), near[:, :n].ravel(), np.arange(0, asked.size * n + 1, n)),
                (asked.size, split.n_users),
            )
            means.append((pick @ vectors).toarray())
        yield slice(start, start + asked.size), vectors[asked].toarray(), means


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the codes of the k largest, by (score down, code up) but for ties at the end."""
    some = np.argpartition(-scores, min(k, scores.shape[1] - 1), axis=1)[:, :k]
    some.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)


def tifu_lists(split: Split, rules: Rules, k: int = max(KS)) -> np.ndarray:
    """Return the k products of TIFU-KNN for the people asked."""
    lists = np.full((split.people.size, k), -1, np.int64)
    for rows, own, (mean,) in _parts(split, rules, (rules.neighbors,)):
        lists[rows, : min(k, split.n_items)] = top(rules.alpha * own + (1 - rules.alpha) * mean, k)
    return lists


def tifu_search(split: Split, *, sweeps: int = 2, metric: str = "ndcg@10") -> tuple[Rules, float, int]:
    """Return the best rules of the grid on a split by coordinate descent, its value, and how many were tried.

    Neighbors and alpha are searched together at every step, since they cost little once neighbors are found.
    """
    seen: dict[tuple[Any, ...], tuple[float, Rules]] = {}
    tried = 0

    def value(rules: Rules) -> tuple[float, Rules]:
        nonlocal tried
        key = (rules.groups, rules.within, rules.between)
        if key not in seen:
            cells = list(product(range(len(GRID["neighbors"])), GRID["alpha"]))
            lists = {cell: np.full((split.people.size, max(KS)), -1, np.int64) for cell in cells}
            for rows, own, means in _parts(split, rules, GRID["neighbors"]):
                best_own = top(own, 2 * max(KS))
                for n, mean in enumerate(means):  # the best of the sum are among the best of its two terms
                    some = np.sort(np.concatenate([best_own, top(mean, 2 * max(KS))], axis=1), axis=1)
                    mine, theirs = (np.take_along_axis(one, some, 1) for one in (own, mean))
                    again = np.diff(some, axis=1, prepend=-1) == 0
                    for alpha in GRID["alpha"]:
                        score = np.where(again, -1.0, alpha * mine + (1 - alpha) * theirs)
                        lists[n, alpha][rows] = np.take_along_axis(some, top(score, max(KS)), 1)
            tried += len(cells)
            found = [(float(measure(one, split)[metric].mean()), cell) for cell, one in lists.items()]
            best, (n, alpha) = max(found, key=lambda pair: pair[0])
            seen[key] = best, Rules(*key, GRID["neighbors"][n], alpha)
        return seen[key]

    best = value(Rules())
    for _ in range(sweeps):
        before = best
        for name in ("within", "groups", "between"):
            options = [value(_with(best[1], name, one)) for one in GRID[name]]
            best = max([best, *options], key=lambda pair: pair[0])
        if best == before:
            break
    return best[1], best[0], tried


def _with(rules: Rules, name: str, value: Any) -> Rules:
    return Rules(**{**rules.__dict__, name: value})


def world(kind: str, n_people: int = 3_000, n_items: int = 1_500, *, mean: float = 12.0, seed: int = 0) -> pd.DataFrame:
    """Return rows of a drawn shop: "repeat", "explore" or "seasonal", as ``last_baskets`` takes them.

    Everybody belongs to one of 30 tastes, which are distributions over products. "repeat": nine of ten products come
    from an own list of 5 to 40; "explore": three of ten; "seasonal": seven of ten, but the own list is renewed by a
    quarter every quarter of a year, and the shop's products rise and fall with the season.
    """
    rng = np.random.default_rng(seed)
    again = {"repeat": 0.9, "explore": 0.3, "seasonal": 0.7}[kind]
    popular = 1 / np.arange(1, n_items + 1) ** 0.9
    tastes = np.array([np.cumsum(popular * rng.gamma(0.3, size=n_items)) for _ in range(30)])
    tastes /= tastes[:, -1:]
    phase = rng.random(n_items)
    taste = rng.integers(30, size=n_people)
    n_baskets = np.clip(rng.geometric(1 / mean, n_people) + 2, 3, 50)
    user = np.repeat(np.arange(n_people), n_baskets)
    place = np.arange(user.size) - np.repeat(np.cumsum(n_baskets) - n_baskets, n_baskets)
    gap = rng.gamma(2.0, 5.0, user.size) * np.repeat(rng.gamma(3.0, 1 / 3, n_people), n_baskets)
    day = np.cumsum(gap)
    day -= np.repeat(day[np.cumsum(n_baskets) - n_baskets], n_baskets)
    day += np.repeat(rng.random(n_people) * 60, n_baskets)
    size = rng.poisson(np.repeat(rng.gamma(2.0, 3.0, n_people), n_baskets)) + 1
    basket = np.repeat(np.arange(user.size), size)
    who, when = user[basket], day[basket]

    def fresh(people: np.ndarray) -> np.ndarray:
        found = np.empty(people.size, np.int64)
        share = rng.random(people.size)
        for one in range(30):
            mine = np.flatnonzero(taste[people] == one)
            found[mine] = np.searchsorted(tastes[one], share[mine])
        return np.minimum(found, n_items - 1)

    n_own = rng.integers(5, 41, n_people)
    quarters = int(day.max() // 91) + 1 if kind == "seasonal" else 1
    own = np.zeros((quarters, n_people, 40), np.int64)
    own[0] = fresh(np.repeat(np.arange(n_people), 40)).reshape(n_people, 40)
    for quarter in range(1, quarters):
        renewed = rng.random((n_people, 40)) < 0.25
        drawn = fresh(np.repeat(np.arange(n_people), 40)).reshape(n_people, 40)
        own[quarter] = np.where(renewed, drawn, own[quarter - 1])
    place_in_list = np.floor(n_own[who] * rng.random(who.size) ** 1.7).astype(np.int64)
    quarter = np.minimum((when // 91).astype(np.int64), quarters - 1)
    item = np.where(rng.random(who.size) < again, own[quarter, who, place_in_list], fresh(who))
    if kind == "seasonal":  # a product out of season is often left out
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * (when / 182 - phase[item]))
        stay = rng.random(who.size) < 0.15 + 0.85 * wave
        who, item, basket, when = who[stay], item[stay], basket[stay], when[stay]
    stamp = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta((when * 86_400).astype(np.int64), unit="s")
    return pd.DataFrame({"user_id": who, "item_id": item, "basket": place[basket], "timestamp": stamp})
