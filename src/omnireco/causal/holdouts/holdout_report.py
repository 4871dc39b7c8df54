"""People who were held out against those who were not: what the messages earned, with intervals."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_instant,
    check_integer,
    check_kind,
    check_known,
    check_number,
    check_one_or_more,
    count_of,
    from_microseconds,
)
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.small import INSTANT, Number, Text, Whole
from omnireco.causal.holdouts.holdout import Holdout
from omnireco.causal.paths.lift_tests import LiftTests
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.columns import open_frame
from omnireco.data.messages import MessageLog
from omnireco.data.parts import Frame
from omnireco.data.vocabulary import NONE, match
from omnireco.errors import DataWarning, EmptyError, ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CAVEAT", "EVERYBODY", "HoldoutReport", "holdout_report"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_FEW = 20  # outcomes that differ from the usual one, under which a group's own variance is not trusted
_SUSPICIOUS = 0.001  # probability under which the groups are not those of the lot
_SKEWED = 0.2  # skewness of a difference from which a group's own variance is not trusted
EVERYBODY = "everybody"
_UNKNOWN = "(unknown)"
CAVEAT = (
    "It is taken for granted that people do not influence each other: where those held out hear of an offer from "
    "others, the effect is understated; where a stock or a call centre is shared, they gain from what is not used, or "
    "lose, and no comparison of people shows it. Then draw households, shops or hours (om.causal.switchback)."
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HoldoutReport:
    """What messages earned, by the people who got none; made by :func:`holdout_report`.

    Attributes
    ----------
    table : pandas.DataFrame
        ``segment outcome treated holdout effect low high lift lift_low lift_high total total_low total_high adjusted
        skewed n_treated n_holdout``: means per person of those who may get messages and of those held out, the
        difference with its interval, that relative to the holdout, and over all treated people; ``skewed`` where few
        people make most of the difference. A row per outcome (``converted``, ``conversions``, ``value``), of everybody
        first, then of each segment; NaN where a segment has fewer than ``k`` people on a side, or would follow from
        the others.
    n_treated, n_holdout : int
        People who could get messages, and people held out.
    ratio_p : float
        Probability of groups at least as uneven by chance: below 0.001 they are not those that were drawn.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    experiment : str
        The name of the experiment, as the holdout has it.
    start_us, end_us : int
        When outcomes counted, UTC microseconds.
    """

    table: pd.DataFrame
    n_treated: int
    n_holdout: int
    ratio_p: float
    confidence: float
    experiment: str
    start_us: int
    end_us: int

    parts: ClassVar[Parts] = {
        "table": Frame(("segment", "outcome"), ("treated", "holdout", "effect", "low", "high", "lift")),
        "n_treated": Whole(),
        "n_holdout": Whole(),
        "ratio_p": Number(0.0, 1.0),
        "confidence": Number(0.0, 1.0),
        "experiment": Text(),
        "start_us": INSTANT,
        "end_us": INSTANT,
    }

    def __repr__(self) -> str:
        return (
            f"HoldoutReport({count_of(self.n_treated, 'person', 'people')} treated, {self.n_holdout:,} held out, "
            f"{self.verdict.split('. ')[0]})"
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    @property
    def caveat(self) -> str:
        """What a holdout takes for granted."""
        return CAVEAT

    def lift_tests(self, channel: str, *, spend: float, base_spend: float = 0.0, outcome: str = "value") -> LiftTests:
        """Return the test as one that marketing-mix models are calibrated with.

        Parameters
        ----------
        channel : str
            On which the messages were sent.
        spend : float
            What they cost: spent on those treated, and not on those held out.
        base_spend : float
            What was spent on the channel anyway.
        outcome : {"value", "conversions", "converted"}
            Which outcome to pass on: money, conversions, or people who converted.

        Returns
        -------
        LiftTests
            One test: the total over all treated people, with the standard error of its interval.

        Raises
        ------
        ParameterError
            When the outcome was not measured or has no interval.

        Examples
        --------
        >>> import omnireco as om
        >>> data = om.simulate(n_users=300, n_items=20, days=60, seed=1).dataset()
        >>> drawn = om.causal.Holdout.draw(data.users, share=0.5, seed=7)
        >>> report = holdout_report(drawn, data.events, start="2025-02-01", within="14D")
        >>> report.lift_tests("email", spend=40.0, outcome="converted").to_frame()["spend"].tolist()
        [40.0]
        """
        import pandas as pd
        from scipy.special import ndtri

        row = self._row(outcome, "lift_tests")
        half = (row["total_high"] - row["total_low"]) / 2
        if not half > 0:
            raise ParameterError(f"lift_tests: {outcome} has no interval, so no standard error. Take another outcome=.")
        frame = pd.DataFrame(
            {
                "channel": [channel],
                "start_at": [from_microseconds(self.start_us)],
                "end_at": [from_microseconds(self.end_us)],
                "lift": [row["total"]],
                "standard_error": [half / ndtri((1 + self.confidence) / 2)],
                "spend": [check_number(spend, "spend")],
                "base_spend": [check_number(base_spend, "base_spend", low=0.0)],
            }
        )
        return LiftTests.from_frame(frame)

    def _row(self, outcome: str, where: str) -> dict[str, Any]:
        """Return what the test found of everybody, by outcome; refuse groups that are not those of the lot."""
        table = self.table[self.table["segment"] == EVERYBODY].set_index("outcome")
        check_choice(outcome, f"{where}: outcome", table.index.tolist())
        if self.ratio_p < _SUSPICIOUS:
            raise ParameterError(
                f"{where}: the groups are not as large as the lot would make them, so the test says nothing. Find out "
                "who was lost: holdout.to_frame()."
            )
        return {str(name): value for name, value in table.loc[outcome].items()}

    @property
    def verdict(self) -> str:
        """What the test shows, in words."""
        if self.ratio_p < _SUSPICIOUS:
            return (
                "No verdict: the groups are not as large as the lot would make them, so somebody was lost on one side. "
                "Find out who before anything else"
            )
        row = self.table.iloc[0]
        if np.isnan(row["low"]):
            return (
                f"no effect can be shown: within each group everybody has the same outcome ({row['outcome']}), "
                f"so nothing "
                "says how far chance alone might take them"
            )
        size = f"{row['effect']:+.4g} ({row['low']:+.4g} to {row['high']:+.4g}) {row['outcome']} per person"
        if row["low"] > 0:
            return f"messages earn {size}"
        if row["high"] < 0:
            return f"messages cost {size}"
        return f"no effect shown: {size}"


@says_the_line("om.causal.holdout_report(om.causal.Holdout.draw(log.users, share=0.5), log, start='2025-03-01')")
def holdout_report(
    holdout: Holdout,
    data: Any,
    *,
    start: Any,
    within: Any = "28D",
    completes: str | Iterable[str] = "purchase",
    before: Any = "fit",
    segments: Any = None,
    confidence: float = 0.95,
    k: int = 5,
) -> HoldoutReport:
    """Compare people who were held out with those who were not: what messages earned.

    Parameters
    ----------
    holdout : Holdout
        ``plan.holdout``, or one that was drawn or read.
    data : Dataset, EventLog or frame of events
        Everybody's events, before and after ``start``. Somebody without any did nothing, and counts.
    start : datetime, date or str
        When messages began.
    within : str or timedelta
        Until when outcomes count, from ``start`` on. It must lie inside the data.
    completes : str or iterable of str
        Events that are conversions.
    before : str, timedelta, "fit" or None
        The same outcome in the time of this length before ``start`` takes away what was different before (CUPED).
        ``"fit"``: as long as ``within``, or as the data reaches back. None: not used.
    segments : frame, optional
        ``user_id`` and ``segment`` (a text), one row per person, known before ``start``: each segment by itself too.
        Intervals are not corrected for how many there are.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    k : int
        Groups of fewer people are refused.

    Returns
    -------
    HoldoutReport

    Raises
    ------
    ParameterError
        When the window reaches past the data or begins before it, or an event is unknown.
    SchemaError
        When somebody has two segments.
    EmptyError
        When a group has fewer than ``k`` people.

    Warns
    -----
    DataWarning
        When few people make most of the difference in value (``skewed``), or people held out got messages.

    Notes
    -----
    By intention to treat: everybody counts in the group of the lot, whether a message reached them or not. Comparing
    those who got a message with the others would compare the reachable with the unreachable. CUPED: ``y - b (x - mean
    x)`` with b pooled over both groups; intervals are Welch's; a group in which fewer than 20 people (and half of it)
    differ from the usual outcome, such as bought anything, is given the variance of both, if that is greater, and
    there is no interval where everybody in each group is alike. Money is often heavy-tailed: a small holdout then
    mostly misses the few large orders, and looks poorer and surer of it than it is (Welch's 95 % intervals covered 72
    to 92 % there). Where the difference has a skewness above 0.2 (of both groups' deviations together), either group
    has at least the variance of both together: 95 % intervals then covered 90 to 100 % in simulated worlds with one
    in ten held out (``tests/unit/test_holdout_report.py``), 97 % and more where messages do nothing. Where a shared
    stock or budget is freed by the held out, the treated gain from it, and the effect is too large: see
    :func:`switchback`. Deterministic; O(events).

    References
    ----------
    Deng, Xu, Kohavi and Walker (2013), CUPED; Gordon, Moakler and Zettelmeyer (2023), Close enough? A large-scale
    exploration of non-experimental approaches to advertising measurement, Marketing Science 42.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=300, n_items=20, days=60, seed=1).dataset()
    >>> drawn = om.causal.Holdout.draw(data.users, share=0.3, seed=7)
    >>> report = holdout_report(drawn, data.events, start="2025-02-01", within="14D")
    >>> report.table["outcome"].tolist(), report.verdict.split(":")[0]
    (['converted', 'conversions', 'value'], 'no effect shown')
    """
    check_kind(holdout, Holdout, "holdout_report: holdout", "om.causal.Holdout.draw(data.users.ids, share=0.1)")
    known = dataset_of(data, "holdout_report", ("events",))
    log = known.part("events", "holdout_report")
    require_events(log, "holdout_report")
    begin, span = check_instant(start, "start"), check_duration(within, "within")
    if begin + span > known.end_us:
        raise ParameterError(
            f"holdout_report: the window ends at {from_microseconds(begin + span).isoformat()}, after the data, which "
            f"ends at {known.end.isoformat()}. Give a shorter one, within=..., or wait."
        )
    if begin < log.start_us:
        raise ParameterError(
            f"holdout_report: start {from_microseconds(begin).isoformat()} lies before the data, which begins at "
            f"{from_microseconds(log.start_us).isoformat()}: nothing is known of what people did then. Write a "
            f"later start."
        )
    confidence = check_number(confidence, "confidence", above=0.0, high=0.9999)
    names = check_one_or_more(completes, "completes")
    check_known(names, log.events.ids, "holdout_report: completes", missing=None)
    k = check_integer(k, "k", low=1)
    held = holdout.held
    sizes = int((~held).sum()), int(held.sum())
    k = max(2, k)  # one person has no variance
    if min(sizes) < k:
        raise EmptyError(
            f"holdout_report: {sizes[0]:,} people are treated and {sizes[1]:,} held out; with fewer than k={k} in a "
            "group nothing is said. Hold out a greater share, or wait for more people."
        )
    back = 0
    if before is not None:
        room = max(0, begin - log.start_us)
        back = (
            min(span, room)
            if isinstance(before, str) and before == "fit"
            else min(check_duration(before, "before"), room)
        )
    after = _outcomes(log, holdout, names, begin, begin + span)
    earlier = _outcomes(log, holdout, names, begin - back, begin) if back else None
    rows = []
    for segment, people, shown_ in _parts_of(holdout, segments, k):
        for name, y in after.items():
            x = None if earlier is None else earlier[name][people]
            found = compared(y[people], held[people], x, confidence) if shown_ else dict.fromkeys(_NUMBERS, np.nan)
            counts = (int((~held[people]).sum()), int(held[people].sum())) if shown_ else (np.nan, np.nan)
            flags = {} if shown_ else {"adjusted": False, "skewed": False}
            sizes_of = dict(zip(_SIZES, counts, strict=True))
            rows.append({"segment": segment, "outcome": name, **found, **flags, **sizes_of})
    import pandas as pd

    table = pd.DataFrame(rows).astype(dict.fromkeys(_SIZES, np.float64))
    uneven = _uneven(sizes, holdout.share)
    report = HoldoutReport(table, *sizes, uneven, float(confidence), holdout.experiment, begin, begin + span)
    first = table[(table["segment"] == EVERYBODY) & (table["outcome"] == "value")]
    if first["skewed"].any():
        warnings.warn(
            "holdout_report: few people make most of the difference in value, and another lot would make another. Its "
            "interval is widened for it and may still be too narrow; look at conversions too, hold out a greater "
            "share, or cap the value of an order before.",
            DataWarning,
            stacklevel=3,
        )
    _warn_of_leaks(holdout, known.messages, begin, begin + span, k)
    _log.info("holdout_report: %d treated, %d held out", *sizes)
    return report


def _warn_of_leaks(holdout: Holdout, messages: MessageLog | None, start: int, end: int, k: int) -> None:
    """Warn when people who were held out got messages all the same."""
    if messages is None:
        return
    inside = messages.user[(messages.sent_at >= start) & (messages.sent_at < end)]
    reached = np.unique(match(holdout.users, messages.users, ("holdout", "messages"))[inside])
    leaked = int(holdout.held[reached[reached != NONE]].sum())
    if leaked:
        number = f"{leaked:,}" if leaked >= k else f"fewer than {k}"
        warnings.warn(
            f"holdout_report: {number} of {int(holdout.held.sum()):,} people held out got messages between start and "
            "the end of the window. The effect is that of being in a group, and less than that of messages. Keep them "
            "out of every plan (om.plan(..., holdout=plan.holdout)); where those messages were of another kind, "
            "leave them out of the data: om.Dataset(events).",
            DataWarning,
            stacklevel=4,
        )


_NUMBERS = (
    *("treated", "holdout", "effect", "low", "high", "lift", "lift_low", "lift_high"),
    *("total", "total_low", "total_high"),
)
_SIZES = ("n_treated", "n_holdout")


def _parts_of(holdout: Holdout, segments: Any, k: int) -> list[tuple[str, np.ndarray, bool]]:
    """Return everybody and each segment: its name, who is in it, and whether it is shown."""
    found: list[tuple[str, np.ndarray, bool]] = [(EVERYBODY, np.arange(len(holdout)), True)]
    if segments is None:
        return found
    opened = open_frame(segments, "holdout_report: segments", needed=("user_id", "segment"))
    users, user = opened.ids("user_id")
    known, segment = opened.names("segment", allow_missing=True)
    if len(users) < user.size:
        raise SchemaError(
            "holdout_report: segments lists people twice. Keep one row each: frame.drop_duplicates('user_id')."
        )
    for name, what in ((EVERYBODY, "all"), (_UNKNOWN, "those who are in none")):
        if name in known.ids.tolist():
            raise ParameterError(f"holdout_report: a segment is called {name!r}, the name of {what}. Rename it.")
    row = match(holdout.users, users, ("holdout", "segments"))[user]
    code = np.full(len(holdout), len(known), np.int64)
    code[row[row != NONE]] = np.where(segment < 0, len(known), segment)[row != NONE]
    sizes = [np.bincount(code[side], minlength=len(known) + 1) for side in (~holdout.held, holdout.held)]
    everyone = np.sum(sizes, axis=0)
    hide = (np.minimum(*sizes) < k) & (everyone > 0)
    while hide.any() and (hide.sum() < 2 or min(one[hide].sum() for one in sizes) < k):
        left = np.flatnonzero(~hide & (everyone > 0))  # what is hidden must not follow from everybody
        if not left.size:
            break
        hide[left[np.argmin(everyone[left])]] = True
    names = [*(str(one) for one in known.ids), _UNKNOWN]
    people = [np.flatnonzero(code == at) for at in range(len(names))]
    return found + [(names[at], people[at], not hide[at]) for at in range(len(names)) if people[at].size]


def _outcomes(log: EventLog, holdout: Holdout, names: Any, start: int, end: int) -> dict[str, np.ndarray]:
    """Return what each person of the experiment did in a window."""
    rows = np.flatnonzero(np.isin(log.event, log.events.codes(list(names))) & (log.at >= start) & (log.at < end))
    who = match(holdout.users, log.users, ("holdout", "events"))[log.user[rows]]
    rows, who = rows[who != NONE], who[who != NONE]
    count = np.bincount(who, minlength=len(holdout)).astype(np.float64)
    found: dict[str, np.ndarray] = {"converted": (count > 0).astype(np.float64), "conversions": count}
    if log.value is not None:
        found["value"] = np.bincount(who, weights=np.nan_to_num(log.value[rows]), minlength=len(holdout))
    return found


def compared(y: np.ndarray, held: np.ndarray, x: np.ndarray | None, confidence: float) -> dict[str, float]:
    """Return means of both groups and their difference with Welch's interval, after CUPED where ``x`` is given."""
    from scipy.special import stdtrit

    plain, raw = y, (y[~held].mean(), y[held].mean())
    adjusted = False
    if x is not None and x.std() > 0:
        adjusted = True
        inside = [x[group] - x[group].mean() for group in (~held, held)]
        over = sum(float(part @ y[group]) for part, group in zip(inside, (~held, held), strict=True))
        y = y - over / sum(float(part @ part) for part in inside) * (x - x.mean())
    parts = [y[~held], y[held]]
    effect = float(parts[0].mean() - parts[1].mean())
    usual = np.median(plain)
    pooled = sum(float(part.var(ddof=1)) * (part.size - 1) for part in parts) / (y.size - 2)
    skewed = _skewed(parts, pooled)
    errors = []
    for part, group in zip(parts, (~held, held), strict=True):
        own = float(part.var(ddof=1))
        differ = int((plain[group] != usual).sum())
        few = differ < min(_FEW, part.size / 2)  # a group in which hardly anybody bought looks too sure of it
        errors.append((max(own, pooled) if few or skewed else own) / part.size)
    variance = sum(errors)
    freedom = variance**2 / max(sum(e**2 / (p.size - 1) for e, p in zip(errors, parts, strict=True)), 1e-300)
    t = float(stdtrit(max(freedom, 1.0), (1 + confidence) / 2))
    half = t * np.sqrt(variance) if variance > 0 else float("nan")  # all alike: no chance of error can be estimated
    base = float(parts[1].mean())
    # the relative lift by the delta method: e / b has the variance (v1 + (1 + e/b)^2 v0) / b^2
    lift, lift_half = float("nan"), float("nan")
    if base > 0 and base > 2 * np.sqrt(errors[1]):
        lift = effect / base
        lift_half = t * np.sqrt(errors[0] + (1 + lift) ** 2 * errors[1]) / base
    n = parts[0].size
    return {
        "treated": float(raw[0]),
        "holdout": float(raw[1]),
        "effect": effect,
        "low": effect - half,
        "high": effect + half,
        "lift": lift,
        "lift_low": lift - lift_half,
        "lift_high": lift + lift_half,
        "total": effect * n,
        "total_low": (effect - half) * n,
        "total_high": (effect + half) * n,
        "adjusted": adjusted,
        "skewed": skewed,
    }


def _skewed(parts: list[np.ndarray], pooled: float) -> bool:
    """Return whether a few people make most of a difference of means, by its skewness if both groups are alike."""
    a, b = (float(part.size) for part in parts)
    third = sum(float(((part - part.mean()) ** 3).sum()) for part in parts) / (a + b)
    return bool(abs(third * (1 / a**2 - 1 / b**2)) > _SKEWED * (pooled * (1 / a + 1 / b)) ** 1.5)


def _uneven(sizes: tuple[int, int], share: float) -> float:
    """Return the probability that the lot makes groups at least as uneven (a sample ratio mismatch when it is tiny)."""
    from scipy.special import erfc

    n = sum(sizes)
    z = abs(sizes[1] - n * share) / np.sqrt(n * share * (1 - share))
    return float(erfc(max(0.0, z) / np.sqrt(2)))
