"""Does today look like the data that the model was fitted on? Scores, inputs, unknown items and age, against chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.checks import check_integer, check_kind, check_number, count_of, from_microseconds
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, counts, declare, numbers
from omnireco._core.small import INSTANT, Plain, Table
from omnireco._core.units import DAY_US
from omnireco.data.dataset import Dataset
from omnireco.data.vocabulary import NONE
from omnireco.errors import EmptyError, ParameterError
from omnireco.files.registering import register
from omnireco.models.base import Model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Profile", "drift", "profile"]

_BINS = 10
_TELLING = 0.1  # the usual mark of a change that matters


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Profile:
    """How scores and inputs are distributed in some data, in counts of many people: nobody can be found in it.

    Parameters
    ----------
    edges : ndarray of shape (9,), float64
        Deciles of the best scores, by which other profiles are counted too.
    table : mapping of str to ndarray of int64
        Counts of the best scores, of events per active person, of event types, channels, and known and unknown items.
    names : mapping of str to tuple of str
        What is counted in each table.
    until_us : int
        The end of the data.
    """

    edges: np.ndarray
    table: Mapping[str, np.ndarray]
    names: Mapping[str, tuple[str, ...]]
    until_us: int

    parts: ClassVar[Parts] = {
        "edges": numbers("edges"),
        "table": Table(counts("n")),
        "names": Plain(Mapping[str, tuple[str, ...]]),
        "until_us": INSTANT,
    }

    def __post_init__(self) -> None:
        declare(self)
        object.__setattr__(self, "table", ReadOnly(self.table))
        object.__setattr__(self, "names", ReadOnly(self.names))

    def __repr__(self) -> str:
        people, events = int(self.table["score"].sum()), int(self.table["event"].sum())
        until = from_microseconds(self.until_us).date()
        return f"Profile({count_of(people, 'person', 'people')}, {count_of(events, 'event')}, until {until})"

    _repr_html_ = shown_html


def profile(model: Any, data: Dataset, *, like: Profile | None = None, days: int = 7, people: int = 2000) -> Profile:
    """Return how scores and inputs are distributed in the last days of some data.

    Parameters
    ----------
    model : any fitted recommender
        What the service answers with.
    data : Dataset
        The data whose last days are looked at.
    like : Profile, optional
        Of the training data: its deciles are used, so that both can be compared.
    days : int, default 7
        How many of the last days are looked at.
    people : int, default 2000
        Of how many of those who did something in them the best score is asked, evenly spaced.

    Raises
    ------
    EmptyError
        When nothing happened in these days.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=60, n_items=20, days=60, seed=1).dataset()
    >>> model = om.ALS(factors=8, seed=7, weights=om.Weights(half_life="30D")).fit(data)
    >>> om.live.profile(model, data)
    Profile(51 people, 531 events, until 2025-03-06)
    """
    check_kind(model, Model, "model", "om.ALS().fit(data)")
    check_kind(data, Dataset, "data", "om.Dataset(log)")
    check_kind(like, Profile, "like", "om.live.profile(model, past)", none=True)
    since = data.end_us - check_integer(days, "days", low=1) * DAY_US
    log = data.part("events", "profile")
    rows = np.flatnonzero((log.at >= since) & (log.at < data.end_us))
    if not rows.size:
        raise EmptyError(f"profile: nothing happened in the last {days} days of the data. Look at more: days=30.")
    who = np.unique(log.user[rows])
    some = who[np.linspace(0, who.size - 1, min(check_integer(people, "people", low=1), who.size)).astype(int)]
    found = model.recommend(data.requests(log.users.ids[some]), k=1)
    best = found.scores[found.codes[:, 0] != NONE, 0].astype(np.float64)
    inner = np.linspace(0, 1, _BINS + 1)[1:-1]
    edges = np.quantile(best, inner) if like is None else like.edges
    lengths = np.bincount(log.user[rows], minlength=log.n_users)[some]  # a whole history grows without any drift
    known = model.items.codes(log.items.ids, missing="none") != NONE
    item = log.item[rows]
    strange = int((~known[item[item != NONE]]).sum())
    tables = {
        "score": (
            np.bincount(np.searchsorted(edges, best), minlength=_BINS),
            [f"decile {n + 1}" for n in range(_BINS)],
        ),
        "activity": (np.bincount(np.log2(lengths + 1).astype(int), minlength=1), None),
        "event": (np.bincount(log.event[rows], minlength=len(log.events)), log.events.ids),
        "channel": (np.bincount(log.channel[rows], minlength=len(log.channels)), log.channels.ids),
        "item": (np.array([int((item != NONE).sum()) - strange, strange]), ["known", "unknown"]),
    }
    named = {
        name: tuple(map(str, labels if labels is not None else [f"{2**n - 1} or more" for n in range(table.size)]))
        for name, (table, labels) in tables.items()
    }
    return Profile(edges, {name: table.astype(np.int64) for name, (table, _) in tables.items()}, named, data.end_us)


def drift(before: Profile, after: Profile, *, level: float = 0.001) -> pd.DataFrame:
    """Return how far one profile lies from another, and whether that is more than chance and enough to matter.

    Parameters
    ----------
    before, after : Profile
        Of the training data, and of now: ``profile(model, now, like=before)``.
    level : float, default 0.001
        The chance of a false alarm per row.

    Returns
    -------
    pandas.DataFrame
        ``what psi chance alarm``: the population stability index, what chance alone would reach, and whether the index
        exceeds it and 0.1. One more row, ``age``, has the days between both ends as ``psi``.

    Raises
    ------
    ParameterError
        When scores were counted by other deciles, or ``after`` ends sooner than ``before``.

    Notes
    -----
    ``psi = sum (a - b) log(a / b)`` over the shares of both, with half a count added to each. Without any change it is
    distributed like ``(1/n + 1/m)`` times chi-square with one degree of freedom less than there are shares; people have
    several events, so for events the number of people would be fairer, and an alarm there says less. Deterministic.

    References
    ----------
    Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
    Validation 14, 2020. The mark of 0.1: Siddiqi, "Credit Risk Scorecards", Wiley 2006.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=60, n_items=20, days=60, seed=1).dataset()
    >>> past = data.before("2025-02-15")
    >>> model = om.ALS(factors=8, seed=7, weights=om.Weights(half_life="30D")).fit(past)
    >>> then = om.live.profile(model, past)
    >>> om.live.drift(then, om.live.profile(model, data, like=then))["what"].tolist()
    ['score', 'activity', 'event', 'channel', 'item', 'age']
    """
    import pandas as pd
    from scipy.stats import chi2

    for name, one in (("before", before), ("after", after)):
        check_kind(one, Profile, name, "om.live.profile(model, data)")
    check_number(level, "level", above=0, high=0.5)
    if not np.array_equal(before.edges, after.edges):
        raise ParameterError(
            "drift: after counts scores by its own deciles, in which no drift shows. Write after = "
            "om.live.profile(model, data, like=before)."
        )
    if after.until_us < before.until_us:
        raise ParameterError(
            f"drift: after ends at {from_microseconds(after.until_us).isoformat()}, before that of before. Turn them "
            "round: drift(after, before)."
        )
    rows = []
    for what in before.table:
        labels = list(dict.fromkeys((*before.names[what], *after.names[what])))
        both = [_over(labels, one.names[what], one.table[what]) for one in (before, after)]
        held = (both[0] + both[1]) > 0
        sizes = [max(1.0, float(part.sum())) for part in both]
        shares = [(part[held] + 0.5) / (part[held] + 0.5).sum() for part in both]
        psi = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
        chance = float(chi2.ppf(1 - level, max(1, int(held.sum()) - 1)) * (1 / sizes[0] + 1 / sizes[1]))
        rows.append((what, psi, chance, psi > max(chance, _TELLING)))
    rows.append(("age", (after.until_us - before.until_us) / DAY_US, np.nan, False))
    return pd.DataFrame(rows, columns=["what", "psi", "chance", "alarm"])


def _over(labels: list[str], names: tuple[str, ...], table: np.ndarray) -> np.ndarray:
    place = {name: at for at, name in enumerate(labels)}
    found = np.zeros(len(labels))
    for name, count in zip(names, table.tolist(), strict=True):
        found[place[name]] += count
    return found


register(Profile, name="live-profile")
