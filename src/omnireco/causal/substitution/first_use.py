"""Does a new channel take from an old one? An event study on first use, with people who have not used it yet."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_integer,
    check_known,
    check_number,
    check_one_or_more,
    count_of,
)
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.random import stream
from omnireco._core.small import Number, Text, Whole
from omnireco._core.units import DAY_US, HOUR_US
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.parts import Frame
from omnireco.errors import EmptyError, ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Displacement", "displacement"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_MOST_PERIODS = 120
_MOST_CELLS = 200_000_000
_DRAWS = 999


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Displacement:
    """What the first use of a channel does to conversions on another; made by :func:`displacement`.

    Attributes
    ----------
    table : pandas.DataFrame
        ``period effect low high band_low band_high people``: periods since first use (0 is the first), change of the
        outcome per person and period against people who had not used the channel by then, a pointwise interval, and a
        band that holds for all periods together. Periods before 0 show what was different already.
    effect, low, high : float
        Mean over the periods from 1 on (the first one holds the use itself). NaN where it is refused.
    refused : str
        Why there is no effect, or an empty string.
    pre_trend_p : float
        Probability of such differences before the first use if there were none. NaN without enough periods.
    channel, outcome : str
        The channel whose first use is studied, and what it may change, such as ``conversions on branch``.
    period_us : int
        Length of a period, microseconds.
    n_people, n_adopters, left_out : int
        People in the study, those who begin to use the channel during it, and people who were left out (unknown in the
        first period, or users already).
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    """

    table: pd.DataFrame
    effect: float
    low: float
    high: float
    refused: str
    pre_trend_p: float
    channel: str
    outcome: str
    period_us: int
    n_people: int
    n_adopters: int
    left_out: int
    confidence: float

    parts: ClassVar[Parts] = {
        "table": Frame((), ("effect", "low", "high", "band_low", "band_high")),
        **dict.fromkeys(("effect", "low", "high", "pre_trend_p"), Number(missing=True)),
        **dict.fromkeys(("refused", "channel", "outcome"), Text()),
        "period_us": Whole(1),
        **dict.fromkeys(("n_people", "n_adopters", "left_out"), Whole()),
        "confidence": Number(0.0, 1.0),
    }

    def __repr__(self) -> str:
        found = "refused" if self.refused else f"{self.effect:+.4g} ({self.low:+.4g} to {self.high:+.4g})"
        return f"Displacement({self.channel} for {self.outcome}: {found}, {count_of(self.n_adopters, 'adopter')})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    @property
    def verdict(self) -> str:
        """What was found, in words."""
        if self.refused:
            return f"No effect is reported: {self.refused}"
        days = self.period_us / DAY_US
        size = f"{self.effect:+.4g} ({self.low:+.4g} to {self.high:+.4g}) {self.outcome} per person and {days:g} days"
        if self.high < 0:
            return f"{self.channel} takes away: {size}."
        if self.low > 0:
            return f"{self.channel} adds: {size}."
        return f"Neither taking nor adding is shown: {size}."


@says_the_line("om.causal.displacement(data, channel='web', on='store', period='14D')")
def displacement(
    data: Any,
    *,
    channel: str,
    on: str,
    completes: str | Iterable[str] = "purchase",
    period: Any = "28D",
    measure: str = "conversions",
    confidence: float = 0.95,
    seed: int = 0,
    k: int = 5,
) -> Displacement:
    """Estimate what the first use of a channel does to conversions on another: does the web take from the branch.

    People who use the website buy less in the shop; they may be other people. Here everybody is compared with
    themselves before, and with people who began later, over the same weeks.

    Parameters
    ----------
    data : Dataset, EventLog or frame of events
        The events of everybody on all channels.
    channel : str
        The one that people begin to use.
    on : str
        The one that may lose (or gain).
    completes : str or iterable of str
        Events that are conversions.
    period : str or timedelta
        Length of a period; the log needs four at least.
    measure : {"conversions", "value"}
        Whether conversions are counted, or their value is summed. Conversions by default.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    seed : int
        Of the multiplier bootstrap behind the band.
    k : int
        Periods with fewer adopters, or fewer people to compare with, are left out.

    Returns
    -------
    Displacement
        With ``effect`` refused, and the reason, where users and not-yet users differed before (the pre-trend).

    Raises
    ------
    ParameterError
        When a name is unknown, or the log has fewer than four periods.
    EmptyError
        When fewer than ``k`` people begin to use the channel, or to compare with.

    Notes
    -----
    For people g who begin in period g, ``ATT(g, t) = mean(Y_t - Y_(g-1) | g) - mean(Y_t - Y_(g-1) | not by t)``, with
    those who have not begun by t (ever, or yet) as controls, and by ``min`` of both for periods before g; averaged over
    g by size per period since first use. Two-way fixed effects, which take people who began earlier as controls, give
    wrong signs when effects grow. Only people known in the first period count, so that nobody enters the comparison as
    they become a customer. Intervals are by person, from influence functions; the pre-trend is a Wald test over periods
    -2 and earlier. It cannot see a change that comes at the very moment of first use from outside, such as a move to a
    place without a shop: only contacts drawn by lot can (:func:`contact_effects`). Deterministic for a seed;
    O(people periods^2).

    References
    ----------
    Callaway and Sant'Anna (2021), Difference-in-differences with multiple time periods, Journal of Econometrics 225,
    equations 2.7 and 3.5; Sun and Abraham (2021), Estimating dynamic treatment effects in event studies, same volume.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=600, n_items=20, days=120, seed=1).dataset()
    >>> found = displacement(data, channel="web", on="store", period="14D")
    >>> found.n_adopters > 50, -1 in set(found.table["period"])
    (True, True)
    """
    log = dataset_of(data, "displacement", ("events",)).part("events", "displacement")
    require_events(log, "displacement")
    for name, given in (("channel", channel), ("on", on)):
        check_known([given], log.channels.ids, f"displacement: {name}", missing=None)
    if channel == on:
        raise ParameterError("displacement: channel and on are the same. Write channel='web', on='store'.")
    names = check_one_or_more(completes, "completes")
    check_known(names, log.events.ids, "displacement: completes", missing=None)
    length, k = check_duration(period, "period"), check_integer(k, "k", low=1)
    check_choice(measure, "measure", ("conversions", "value"))
    confidence = check_number(confidence, "confidence", above=0.0, high=0.9999)
    if measure == "value" and log.value is None:
        raise ParameterError("displacement: the events have no value. Write measure='conversions'.")
    n_periods = (log.end_us - log.start_us) // length
    if not 4 <= n_periods <= _MOST_PERIODS:
        raise ParameterError(
            f"displacement: the log has {n_periods} whole periods, and 4 to {_MOST_PERIODS} are needed. "
            f"{_advice(log.end_us - log.start_us)}"
        )
    y, begun, people = _panel(log, channel, on, names, length, int(n_periods), measure)
    study = _study(y, begun, k)
    if not study:
        raise EmptyError(
            f"displacement: fewer than k={k} people begin to use the channel during the log, or are there to compare "
            "with. "
            "Take a longer log, or another channel."
        )
    random = stream(check_integer(seed, "seed", low=0), "causal/displacement")
    found = _summary(study, y.shape[0], confidence, random)
    report = Displacement(
        *found,
        channel,
        f"{measure} on {on}",
        length,
        y.shape[0],
        int((begun < n_periods).sum()),
        people - y.shape[0],
        confidence,
    )
    _log.info("displacement: %s", report)
    return report


def _advice(span: int) -> str:
    """Return what to write where periods do not fit into a log."""
    for unit, name in ((DAY_US, "D"), (HOUR_US, "h")):
        if (whole := span // (6 * unit)) >= 1:
            return f"Write period='{whole}{name}'."
    return "The log is too short for any: give a longer one."


def _panel(
    log: EventLog, channel: str, on: str, names: Any, length: int, n: int, measure: str
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return outcomes (people, periods), the period of first use (n for none), and all people there are."""
    when = (log.at - log.start_us) // length
    first_seen = np.full(log.n_users, n)
    np.minimum.at(first_seen, log.user, when)
    uses = log.channel == log.channels.codes([channel])[0]
    begun = np.full(log.n_users, n)
    np.minimum.at(begun, log.user[uses], np.minimum(when[uses], n))
    kept = (first_seen == 0) & (begun > 0)  # somebody who used it in the first period has no time before
    row = np.cumsum(kept) - 1
    if kept.sum() * n > _MOST_CELLS:
        raise ParameterError(
            f"displacement: {int(kept.sum()):,} people times {n} periods are too many. Sample people first."
        )
    done = np.isin(log.event, log.events.codes(list(names))) & (log.channel == log.channels.codes([on])[0])
    rows = np.flatnonzero(done & kept[log.user] & (when < n))
    weight = np.ones(rows.size) if measure == "conversions" else np.nan_to_num(log.value[rows])  # type: ignore[index]
    cell = row[log.user[rows]] * n + when[rows]
    return np.bincount(cell, weight, minlength=int(kept.sum()) * n).reshape(-1, n), begun[kept], log.n_users


def _study(y: np.ndarray, begun: np.ndarray, k: int) -> dict[int, tuple[float, np.ndarray, int]]:
    """Return per period since first use: the effect, everybody's influence on it (n,), and how many adopters."""
    n, periods = y.shape
    sums: dict[int, tuple[float, np.ndarray, int]] = {}
    for g in range(1, periods):
        mine = begun == g
        size = int(mine.sum())
        if size < k:
            continue
        for t in range(periods):
            e = t - g
            if e == -1:
                continue
            others = begun > max(t, g)
            if others.sum() < k:
                continue
            change = y[:, t] - y[:, g - 1]
            a, b = change[mine].mean(), change[others].mean()
            influence = np.zeros(n)
            influence[mine] = (change[mine] - a) * (n / size)
            influence[others] -= (change[others] - b) * (n / others.sum())
            total, whole, people = sums.get(e, (0.0, np.zeros(n), 0))
            sums[e] = total + size * (a - b), whole + size * influence, people + size
    return {e: (total / people, whole / people, people) for e, (total, whole, people) in sorted(sums.items())}


def _summary(
    study: dict[int, tuple[float, np.ndarray, int]], n: int, confidence: float, random: np.random.Generator
) -> tuple[Any, float, float, float, str, float]:
    """Return the table, the effect with its interval, why it is refused, and the p-value of the pre-trend."""
    import pandas as pd
    from scipy.special import gammaincc, ndtri

    z = float(ndtri((1 + confidence) / 2))
    at = np.array(list(study))
    effect = np.array([study[e][0] for e in study])
    influence = np.stack([study[e][1] for e in study], axis=1)
    error = np.sqrt((influence**2).sum(axis=0)) / n
    wide = np.maximum(error, 1e-300)
    most = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        signs = random.integers(0, 2, n) * 2.0 - 1.0
        most[draw] = np.abs(signs @ influence / n / wide).max()
    critical = max(z, float(np.quantile(most, confidence)))
    table = pd.DataFrame(
        {
            "period": at,
            "effect": effect,
            "low": effect - z * error,
            "high": effect + z * error,
            "band_low": effect - critical * error,
            "band_high": effect + critical * error,
            "people": [study[e][2] for e in study],
        }
    )
    zero = {name: [0.0] for name in ("effect", "low", "high", "band_low", "band_high")}
    base = pd.DataFrame({"period": [-1]} | zero)
    base["people"] = table["people"].max()
    table = pd.concat([table, base], ignore_index=True).sort_values("period", ignore_index=True)
    before, after = np.flatnonzero(at <= -2), np.flatnonzero(at >= 1)
    p = float("nan")
    if before.size:
        part = influence[:, before]
        cover = part.T @ part / n**2
        value = float(effect[before] @ np.linalg.pinv(cover) @ effect[before])
        p = float(gammaincc(np.linalg.matrix_rank(cover) / 2, value / 2)) if np.any(cover) else float("nan")
    refused = ""
    if not after.size:
        refused = "nobody is observed for a whole period after their first use. Take shorter periods."
    elif np.isnan(p):
        refused = "no period before the first use can be compared, so nothing shows that users were like the others."
    elif p < 0.05:
        refused = (
            f"users and people who had not begun differed before the first use already (pre-trend, p = {p:.2g}), so "
            "what "
            "follows is not its effect. The table shows it."
        )
    if refused:
        return table, float("nan"), float("nan"), float("nan"), refused, p
    people = np.array([study[int(e)][2] for e in at[after]], np.float64)
    weight = people / people.sum()
    mean = float(weight @ effect[after])
    half = z * float(np.sqrt(((influence[:, after] @ weight) ** 2).sum()) / n)
    return table, mean, mean - half, mean + half, "", p
