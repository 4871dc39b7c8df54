"""Credit of channels for conversions, by rules and by data, beside what tests say."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_integer,
    check_kind,
    check_known,
    check_mapping,
    check_names,
    check_number,
    count_of,
    shown,
)
from omnireco._core.compute import Progress, ticker
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import html_table
from omnireco._core.parts import Parts
from omnireco._core.random import stream
from omnireco._core.small import Number
from omnireco._core.units import HOUR_US
from omnireco._kernels import attribution as kernels
from omnireco._kernels.bootstrap import percentile_interval
from omnireco._kernels.disclosure import hidden_groups
from omnireco.causal.holdouts.holdout_report import HoldoutReport
from omnireco.causal.paths.paths import Paths
from omnireco.data.frames.columns import open_frame
from omnireco.data.parts import Frame
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import EmptyError, ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CAVEAT", "FEW", "MODELS", "Attribution", "attribution"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
MODELS = ("first", "last", "linear", "position", "time_decay", "markov", "shapley", "shapley_rate")
CAVEAT = (
    "Attribution is not causation: it divides the conversions among the channels that were there, and does not say how "
    "many would not have happened without them. Only tests do (column incremental)."
)
FEW = "(few people)"
_MOST_EXACT = 16
_KINDS = ("makes", "captures")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Attribution:
    """Credit of channels by several models; made by :func:`attribution`.

    Attributes
    ----------
    table : pandas.DataFrame
        ``model channel conversions low high share value``: the credited conversions with an interval (NaN without
        one), their share, and the credited value. A row per model and channel; each model sums to all conversions.
        NaN where fewer than ``k`` people are behind a number, or one of these would follow from the total.
    channels : pandas.DataFrame
        ``channel people journeys starts closes``: who touched each channel, in how many journeys, and how many of the
        journeys with a conversion it started and closed (NaN where fewer than ``k`` people did). Channels of fewer than
        ``k`` people are joined.
    conversions, value : float
        Conversions on all paths, and what they are worth in all, credited or not.
    unprompted : float
        Conversions without any touch, which nobody is credited with; NaN where they are of fewer than ``k`` people.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    """

    table: pd.DataFrame
    channels: pd.DataFrame
    conversions: float
    value: float
    unprompted: float
    confidence: float

    parts: ClassVar[Parts] = {
        "table": Frame(("model", "channel"), ("conversions", "low", "high", "share", "value")),
        "channels": Frame(("channel",), ("journeys", "starts", "closes")),
        "conversions": Number(),
        "value": Number(),
        "unprompted": Number(0.0, missing=True),
        "confidence": Number(0.0, 1.0),
    }

    def __repr__(self) -> str:
        models = self.table["model"].nunique()
        return (
            f"Attribution({count_of(models, 'model')}, {count_of(len(self.channels), 'channel')}, "
            f"{self.conversions:,.0f} "
            "conversions)"
        )

    @property
    def caveat(self) -> str:
        """What attribution does not say."""
        return CAVEAT

    __arrow_c_stream__ = arrow_stream

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p><p>{escape(CAVEAT)}</p>{html_table(self.side_by_side())}"

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    @says_the_line("om.causal.attribution(om.causal.Paths.of(data)).profit({'email': 900.0}, margin=0.3)")
    def profit(
        self, costs: Mapping[str, float] | None = None, *, margin: float = 1.0, worth: float | None = None
    ) -> pd.DataFrame:
        """Return what each channel earns after margin and cost, by model.

        Parameters
        ----------
        costs : mapping of str to float, optional
            What each channel cost in all; 0 where it is not named.
        margin : float
            Part of the value that is left after goods, in [0, 1].
        worth : float, optional
            Of one conversion, where the paths have no value.

        Returns
        -------
        pandas.DataFrame
            ``model channel conversions value cost profit return_on_cost cost_per_conversion``.

        Raises
        ------
        ParameterError
            When a cost names an unknown channel or is negative, or there is no value and no ``worth``.
        """
        spent = dict(check_mapping(costs, "costs", "{'email': 900.0}"))
        check_known(spent, self.channels["channel"].tolist(), "profit: costs", missing=None)
        spent = {name: check_number(cost, f"costs[{name!r}]", low=0.0) for name, cost in spent.items()}
        margin = check_number(margin, "margin", low=0.0, high=1.0)
        table = self.table[["model", "channel", "conversions", "value"]].copy()
        if worth is not None:
            table["value"] = table["conversions"] * check_number(worth, "worth", low=0.0)
        elif not self.value:
            raise ParameterError("profit: the conversions have no value. Write worth=: what one of them is worth.")
        table["cost"] = table["channel"].map(spent).fillna(0.0).astype(np.float64)
        table["profit"] = margin * table["value"] - table["cost"]
        paid = table["cost"].to_numpy()
        some = table["conversions"].to_numpy() > 0
        table["return_on_cost"] = np.divide(
            margin * table["value"].to_numpy(), paid, out=np.full(len(table), np.nan), where=paid > 0
        )
        table["cost_per_conversion"] = np.divide(
            paid, table["conversions"].to_numpy(), out=np.full(len(table), np.nan), where=some
        )
        return table

    def side_by_side(self, incremental: Any = None, *, kinds: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Return every channel's credit by every model, beside what tests say.

        Parameters
        ----------
        incremental : frame, or mapping of str to HoldoutReport, optional
            ``channel`` and ``conversions`` (with ``low`` and ``high``, if known): conversions that would not have
            happened without the channel, from lift tests over the same time. Or the holdouts themselves, by channel:
            ``{"email": om.causal.holdout_report(...)}``, whose totals over the treated are taken.
        kinds : mapping of str to {"makes", "captures"}, optional
            Whether a channel makes demand (prospecting, an e-mail with news) or captures what is there (search for the
            name, a reminder of a cart). The last touch is mostly one that captures.

        Returns
        -------
        pandas.DataFrame
            ``channel``, ``kind``, a column per model, ``incremental low high``, and ``last_over_incremental``: how many
            times too much the last touch is credited with (NaN where a test does not show a gain).

        Raises
        ------
        ParameterError
            When a name is unknown, or a holdout has groups that are not those of the lot.
        SchemaError
            When a channel stands in ``incremental`` twice, or a number lies outside its interval.
        """
        import pandas as pd

        names = self.channels["channel"].tolist()
        wide = self.table.pivot(index="channel", columns="model", values="conversions").reindex(names)
        made = wide[[name for name in MODELS if name in wide.columns]].reset_index()
        made.columns.name = None
        of_kind = check_mapping(kinds, "kinds", "{'search': 'captures'}")
        check_known(of_kind, names, "side_by_side: kinds", missing=None)
        labels = [check_choice(of_kind[name], f"kinds[{name!r}]", _KINDS) if name in of_kind else "" for name in names]
        made.insert(1, "kind", labels)
        tested = pd.DataFrame(np.nan, index=range(len(names)), columns=["incremental", "low", "high"])
        if incremental is not None:
            opened = open_frame(
                _of_holdouts(incremental),
                "side_by_side: incremental",
                needed=("channel", "conversions"),
                optional=("low", "high"),
            )
            known, code = opened.names("channel")
            if len(known) < code.size:
                raise SchemaError(
                    "side_by_side: incremental names a channel twice. Add tests up first: "
                    "frame.groupby('channel', as_index=False).sum()."
                )
            check_known(known.ids.tolist(), names, "side_by_side: incremental", missing=None)
            place = [names.index(name) for name in known.ids[code].tolist()]
            for column, source in (("incremental", "conversions"), ("low", "low"), ("high", "high")):
                if source in opened:
                    tested.loc[place, column] = opened.numbers(source, allow_missing=True)
            if (bad := (tested["low"] > tested["incremental"]) | (tested["incremental"] > tested["high"])).any() or (
                bad := tested["low"] > tested["high"]
            ).any():
                raise SchemaError(
                    f"side_by_side: incremental must have low <= conversions <= high; it has not for "
                    f"{count_of(int(bad.sum()), 'channel')}. Are low and high exchanged?"
                )
        made = pd.concat([made, tested], axis=1)
        gain = made["incremental"].where(made["incremental"] > 0)
        gain = gain.where(~(made["low"] <= 0))
        made["last_over_incremental"] = made["last"] / gain if "last" in made else np.nan
        return made


@says_the_line("om.causal.attribution(om.causal.Paths.of(data, completes='purchase'))")
def attribution(
    paths: Any,
    *,
    models: Iterable[str] | None = None,
    order: int = 1,
    half_life: Any = "7D",
    ends: tuple[float, float] = (0.4, 0.4),
    n_samples: int = 1000,
    n_bootstrap: int = 100,
    confidence: float = 0.95,
    seed: int = 0,
    k: int = 5,
    progress: Progress = False,
) -> Attribution:
    """Divide conversions among the channels that were touched before them, by several models.

    Parameters
    ----------
    paths : Paths, or Dataset
        ``Paths.of(data)``, ``Paths.from_frame(frame)``; a Dataset is read with the defaults of the former.
    models : iterable of str, optional
        Of ``first last linear position time_decay markov shapley shapley_rate``; by default all that the paths allow
        but the last (time decay needs times; ``markov`` and ``shapley_rate`` need journeys without a conversion).
    order : int
        The Markov chain's state is the last so many channels.
    half_life : str or timedelta
        Of a touch's credit, for ``time_decay``.
    ends : tuple of two floats
        Credit of the first and of the last touch in ``position``; the rest is divided among those between.
    n_samples : int
        Random orders of channels for ``shapley_rate`` of more than 16 channels.
    n_bootstrap : int
        Resamples of people for intervals; 0 for none. Where Shapley values are sampled, their interval is that of the
        sampling.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    seed : int
        Of the random draws, 0 or more; the same seed gives the same result. 0 by default.
    k : int
        Channels of fewer people are joined, as ``"(few people)"``; of other numbers that fewer people are behind,
        nothing is said. Counted paths do not say who: every conversion counts as a person. 1 shows all.
    progress : bool or callable(done, total)
        A bar over the models and their resamples.

    Returns
    -------
    Attribution

    Raises
    ------
    ParameterError
        When a model is unknown or lacks what it needs, or the chain has more than 4,000 states.
    EmptyError
        When there is no conversion, or fewer than ``k`` people had one.

    Notes
    -----
    ``markov``: conversions that a chain of channels loses when one is removed, scaled to sum to all; exact, from one
    inverse, with no simulation. ``shapley``: the value of a set of channels is the number of conversions of paths that
    lie inside it; the Shapley value is then an equal share among a path's distinct channels. ``shapley_rate``: the
    value of a set is the conversion rate of journeys inside it, times all journeys; it may be negative. Names of
    channels and the order of rows change nothing. Deterministic for a seed; O(touches), and (n_states)^3 per chain.

    References
    ----------
    Anderl, Becker, von Wangenheim and Schumann (2016), Mapping the customer journey, International Journal of Research
    in Marketing 33 (removal effects); Dalessandro, Perlich, Stitelman and Provost (2012), Causally motivated
    attribution for online advertising (Shapley values); Castro, Gomez and Tejada (2009), Polynomial calculation of the
    Shapley value based on sampling; Kemeny and Snell (1960), Finite Markov chains (the fundamental matrix).

    Examples
    --------
    >>> import pandas as pd
    >>> paths = Paths.from_frame(pd.DataFrame({"path": ["ad > mail", "mail", "ad"], "conversions": [60, 20, 20],
    ...                                        "nulls": [100, 300, 500]}))
    >>> report = attribution(paths, models=["last", "linear", "markov"], n_bootstrap=0)
    >>> report.side_by_side()[["channel", "last", "linear", "markov"]].round(2)
      channel  last  linear  markov
    0      ad  20.0    50.0   36.84
    1    mail  80.0    50.0   63.16
    """
    if not isinstance(paths, Paths):
        paths = Paths.of(paths)
    order = check_integer(order, "order", low=1, high=6)
    k = check_integer(k, "k", low=1)
    n_samples = check_integer(n_samples, "n_samples", low=2, high=10_000_000)
    n_bootstrap = check_integer(n_bootstrap, "n_bootstrap", low=0, high=100_000)
    confidence = check_number(confidence, "confidence", above=0.0, high=0.9999)
    seed = check_integer(seed, "seed", low=0)
    decay = check_duration(half_life, "half_life") / HOUR_US
    ends = _ends(ends)
    paths = _joined(paths, k)
    if not paths.conversions.sum():
        raise EmptyError("attribution: no journey ended in a conversion. Look at completes= of om.causal.Paths.of.")
    if _converted(paths).sum() < k:
        raise EmptyError(
            f"attribution: fewer than k={k} people are behind the conversions, so nothing is said. Wait for more."
        )
    wanted = _models(models, paths)
    work = _Work(paths, order, decay, ends)
    rows = []
    with ticker(len(wanted) * (1 + n_bootstrap), progress, label="attribution") as tick:
        for model in wanted:
            credit, worth, error = work.credit(model, paths.conversions, paths.value, paths.nulls, seed, n_samples)
            tick()
            low = high = np.full(credit.size, np.nan)
            if error is not None:
                from scipy.special import ndtri

                half = ndtri((1 + confidence) / 2) * error
                low, high = credit - half, credit + half
                for _ in range(n_bootstrap):
                    tick()
            elif n_bootstrap:
                draws = np.empty((n_bootstrap, credit.size))
                for turn in range(n_bootstrap):
                    draws[turn] = work.redrawn(model, seed, turn)
                    tick()
                low, high = percentile_interval(draws, confidence)
            rows.append((model, credit, low, high, worth))
    report = _report(paths, rows, confidence, k)
    _log.info("attribution: %s", report)
    return report


class _Work:
    """The parts of paths that all models share, computed once."""

    def __init__(self, paths: Paths, order: int, decay: float, ends: tuple[float, float]) -> None:
        self.paths, self.order, self.decay, self.ends = paths, order, decay, ends
        self.path = np.repeat(np.arange(len(paths)), np.diff(paths.start))
        self.n = len(paths.channels)
        self._held: dict[str, Any] = {}

    def credit(
        self, model: str, done: np.ndarray, value: np.ndarray, none: np.ndarray, seed: int, n_samples: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return conversions and value per channel, and the standard error of sampling where there is one."""
        total, worth = float(done.sum()), float(value.sum())
        if model == "markov":
            lost, lost_value, _ = kernels.removal_effects(self._chain(), done, none, value)
            return _scaled(lost, total), _scaled(lost_value, worth), None
        if model == "shapley_rate":
            path, channel = self._sets()
            journeys = float((done + none).sum())
            if self.n <= _MOST_EXACT:
                share = kernels.shapley_rates(path, channel, done, none, self.n) * journeys
                return share, share * worth / total, None
            random = stream(seed, "causal/shapley")
            share, error = kernels.shapley_sampled(path, channel, done, none, self.n, random, n_samples)
            return share * journeys, share * journeys * worth / total, error * journeys
        if model == "shapley":
            path, channel = self._sets()
            weight = 1.0 / np.bincount(path, minlength=done.size)[path]
        else:
            path, channel = self.path, self.paths.channel
            weight = self._shares(model)
        found = [np.bincount(channel, weight * part[path], minlength=self.n) for part in (done, value)]
        return found[0], found[1], None

    def redrawn(self, model: str, seed: int, turn: int) -> np.ndarray:
        """Return the credit in one Poisson resample of people, scaled to the conversions there were."""
        p = self.paths
        random = stream(seed, "causal/attribution", turn)
        if len(p) and (p.person >= 0).all():
            times = random.poisson(1.0, int(p.person.max()) + 1).astype(np.float64)[p.person]
            done, none = p.conversions * times, p.nulls * times
        else:
            done, none = random.poisson(p.conversions).astype(np.float64), random.poisson(p.nulls).astype(np.float64)
        if not done.sum():
            return np.full(self.n, np.nan)
        credit = self.credit(model, done, p.value, none, seed, 2)[0]
        return np.asarray(credit * (p.conversions.sum() / done.sum()))

    def _chain(self) -> kernels.Chain:
        if "chain" not in self._held:
            try:
                self._held["chain"] = kernels.chain_of(
                    self.paths.channel.astype(np.int64), self.paths.start, self.n, self.order
                )
            except kernels.TooMany as error:
                raise ParameterError(
                    f"attribution: a chain of order {self.order} has {error} states here, more than 4,000. Write "
                    "order=1, "
                    "or join channels before."
                ) from None
        chain: kernels.Chain = self._held["chain"]
        return chain

    def _sets(self) -> tuple[np.ndarray, np.ndarray]:
        if "sets" not in self._held:
            self._held["sets"] = kernels.distinct_sets(self.paths.channel.astype(np.int64), self.paths.start, self.n)
        path, channel = self._held["sets"]
        return path, channel

    def _shares(self, model: str) -> np.ndarray:
        if model not in self._held:
            self._held[model] = kernels.touch_shares(model, self.paths.start, self.paths.hours, self.decay, self.ends)
        found: np.ndarray = self._held[model]
        return found


def _of_holdouts(given: Any) -> Any:
    """Return a frame of increments by channel; holdouts by channel become one."""
    import pandas as pd

    if not isinstance(given, Mapping):
        return given
    found = []
    for channel, report in given.items():
        check_kind(
            report, HoldoutReport, f"incremental[{shown(channel)}]", "om.causal.holdout_report(holdout, data, start=)"
        )
        row = report._row("conversions", "side_by_side")
        found.append((channel, row["total"], row["total_low"], row["total_high"]))
    return pd.DataFrame(found, columns=["channel", "conversions", "low", "high"])


def _scaled(lost: np.ndarray, total: float) -> np.ndarray:
    lost = np.where(np.abs(lost) < 1e-15, 0.0, lost)
    return lost * (total / lost.sum()) if lost.sum() else np.zeros(lost.size)


def _ends(ends: Any) -> tuple[float, float]:
    if not isinstance(ends, (tuple, list)) or len(ends) != 2:
        raise ParameterError(f"ends must be two shares, such as (0.4, 0.4). Got {shown(ends)}.")
    first, last = (check_number(one, "ends", low=0.0, high=1.0) for one in ends)
    if first + last > 1:
        raise ParameterError(f"ends must sum to 1 at most. Got {first:g} and {last:g}. Write ends=(0.4, 0.4).")
    return first, last


def _models(models: Any, paths: Paths) -> tuple[str, ...]:
    lacking = {
        "time_decay": not np.isfinite(paths.hours).all(),
        "markov": not paths.nulls.sum(),
        "shapley_rate": not paths.nulls.sum(),
    }
    if models is None:
        return tuple(name for name in MODELS if name != "shapley_rate" and not lacking.get(name, False))
    names = check_names(models, "models")
    check_known(names, MODELS, "attribution: models", missing=None)
    if not names or len(set(names)) < len(names):
        raise ParameterError("models must name each model once, and one at least. Write models=['last', 'markov'].")
    for name in names:
        if lacking.get(name, False):
            what = "the times of touches" if name == "time_decay" else "journeys without a conversion (nulls)"
            raise ParameterError(f"attribution: {name!r} needs {what}, which these paths do not have. Leave it out.")
    return names


def _joined(paths: Paths, k: int) -> Paths:
    """Return paths in which channels of fewer than ``k`` people are one, and that one has as many or more."""
    people = paths.people()
    small = people < k
    if not small.any():
        return paths
    order = np.lexsort([np.arange(people.size), people])
    while True:
        code = np.where(small, 0, 0)
        code[~small] = 1 + np.arange(int((~small).sum()))
        named = [FEW, *paths.channels.ids[~small].tolist()]
        joined = replace(
            paths, channels=Vocabulary(np.array(named, object)), channel=code[paths.channel].astype(np.int32)
        )
        if joined.people()[0] >= k:
            return joined
        if small.all():
            raise EmptyError(f"attribution: fewer than k={k} people are behind these journeys. Wait for more.")
        small[next(c for c in order if not small[c])] = True


def _converted(paths: Paths) -> np.ndarray:
    """Return how many people are behind the conversions of each path; a person counts once, at the first."""
    done = paths.conversions > 0
    if (paths.person < 0).any():
        return np.where(done, paths.conversions, 0.0)
    found = np.zeros(len(paths))
    rows = np.flatnonzero(done)
    found[rows[np.unique(paths.person[rows], return_index=True)[1]]] = 1.0
    return found


class _Few:
    """Which channels are credited by too few people, by first touch, last touch, and any touch."""

    def __init__(self, paths: Paths, k: int) -> None:
        n = len(paths.channels)
        path, channel = kernels.distinct_sets(paths.channel.astype(np.int64), paths.start, n)
        ends = [paths.channel[place].astype(np.int64) for place in (paths.start[:-1], paths.start[1:] - 1)]
        every = np.arange(len(paths))
        rows = [(every, ends[0]), (every, ends[1]), (path, channel)]
        self.first, self.last, self.touched = (_few_behind(paths, one, cell, n, k) for one, cell in rows)

    def of(self, model: str) -> np.ndarray:
        """Return which channels have no number by a model; one near to the first or last touch is as these."""
        if model in ("first", "last"):
            return self.first if model == "first" else self.last
        return self.touched | self.first | self.last if model in ("position", "time_decay") else self.touched


def _few_behind(paths: Paths, path: np.ndarray, channel: np.ndarray, n: int, k: int) -> np.ndarray:
    """Return which channels to hide, from rows (path, channel) of which those with a conversion count."""
    done = paths.conversions[path] > 0
    path, channel = path[done], channel[done]
    if (paths.person >= 0).all():
        return hidden_groups(channel, paths.person[path], n, k)
    return hidden_groups(channel, path, n, k, paths.conversions)


def _report(paths: Paths, rows: list[Any], confidence: float, k: int) -> Attribution:
    import pandas as pd

    n = len(paths.channels)
    few = _Few(paths, k)
    by_name = np.argsort(paths.channels.ids.astype(str), kind="stable")
    names = paths.channels.ids.astype(object)[by_name]
    total = float(paths.conversions.sum())
    parts = [
        pd.DataFrame(
            {
                "model": model,
                "channel": names,
                "conversions": credit[by_name],
                "low": low[by_name],
                "high": high[by_name],
                "share": credit[by_name] / total,
                "value": worth[by_name],
            }
        )
        for model, credit, low, high, worth in rows
    ]
    table = pd.concat(parts, ignore_index=True)
    hide = np.concatenate([few.of(row[0])[by_name] for row in rows])
    table.loc[hide, ["conversions", "low", "high", "share", "value"]] = np.nan
    times = paths.conversions + paths.nulls
    path, channel = kernels.distinct_sets(paths.channel.astype(np.int64), paths.start, n)
    ends = [paths.channel[place] for place in (paths.start[:-1], paths.start[1:] - 1)]
    at_ends = [np.bincount(end, paths.conversions, minlength=n) for end in ends]
    starts, closes = (np.where(gone, np.nan, count) for gone, count in zip((few.first, few.last), at_ends, strict=True))
    channels = pd.DataFrame(
        {
            "channel": names,
            "people": paths.people()[by_name],
            "journeys": np.bincount(channel, times[path], minlength=n)[by_name],
            "starts": starts[by_name],
            "closes": closes[by_name],
        }
    )
    unprompted = float("nan") if 0 < paths.unprompted_people < k else float(paths.unprompted)
    return Attribution(table, channels, total, float(paths.value.sum()), unprompted, confidence)
