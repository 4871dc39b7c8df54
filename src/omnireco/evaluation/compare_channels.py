"""Do channels help one another? One pooled matrix, joined channels, and each channel alone, on the same people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_flag, check_k, check_known, count_of, shown
from omnireco._core.compute import Progress, ticker
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.small import Table, Value
from omnireco._kernels.log.order import distinct
from omnireco.data.events import EventLog, rows_of
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE
from omnireco.data.weights import Weights, check_names_of
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation.evaluate import evaluate
from omnireco.evaluation.hits import find_hits
from omnireco.evaluation.metrics import Metric, ndcg
from omnireco.evaluation.moves import start_of, weight_names
from omnireco.evaluation.report import Report
from omnireco.models.base import events_of
from omnireco.models.together.cross_channel import CrossChannel, join_channels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ChannelComparison", "compare_channels"]

_POOLED = "pooled"


@dataclass(frozen=True, slots=True, repr=False)
class ChannelComparison:
    """Comparison of a pooled matrix, joined channels and single channels, per channel of the test set.

    Parameters
    ----------
    reports : mapping of str to Report
        By channel of the truth; the models are ``"pooled"``, ``"joined"``, ``"joined, on <channel>"`` and
        ``"only <channel>"``.
    """

    reports: Mapping[str, Report]

    parts: ClassVar[Parts] = {"reports": Table(Value((Report,)))}

    def __repr__(self) -> str:
        return f"ChannelComparison({count_of(len(self.reports), 'channel')}: {', '.join(self.reports)})"

    def __str__(self) -> str:
        shown = self.to_frame().round(4)
        return f"{self!r}, each against one pooled matrix\n{shown.to_string(index=False)}"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return one row per channel of the truth, model, metric and k.

        Returns
        -------
        pandas.DataFrame
            ``channel model metric k mean low high n_users``, and ``gain gain_low gain_high``: the paired difference
            to the pooled matrix with its interval over people. An interval that contains 0 is no significant gain.
        """
        import pandas as pd

        parts = []
        for channel, report in self.reports.items():
            means = report.to_frame()
            gaps = report.differences(_POOLED)[["model", "metric", "k", "difference", "low", "high"]]
            gaps.columns = ["model", "metric", "k", "gain", "gain_low", "gain_high"]
            table = means.merge(gaps, on=["model", "metric", "k"], how="left")
            table.insert(0, "channel", channel)
            parts.append(table)
        return pd.concat(parts, ignore_index=True)


@says_the_line("om.evaluation.compare_channels(om.models.CrossChannel(), *data.rolling(horizon='28D', n=1)[0], k=10)")
def compare_channels(
    cross: CrossChannel,
    past: Any,
    later: Any,
    *,
    k: int = 10,
    metrics: Iterable[Metric] = (ndcg,),
    exclude_seen: bool = True,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress = False,
) -> ChannelComparison:
    """Compare joined channels with one pooled matrix, and with each channel alone, on a test set.

    Whether the app helps the shop depends on the data; often there is no gain. Everything is fitted on the past and
    evaluated on what the same people did later, channel by channel.

    Parameters
    ----------
    cross : CrossChannel
        What to compare: ``om.models.CrossChannel()``. Its estimator, saturation and weights of events serve all rows.
    past, later : Dataset or EventLog
        What was known, and what came next: ``data.split(at)``, or ``data.rolling(horizon="28D", n=1)[0]`` for the last
        four weeks. Pick what counts first: ``later.events.select(events=["purchase"], channels=["app", "store"])``.
    k, metrics, confidence, n_bootstrap, seed
        As in :func:`omnireco.evaluate`.
    exclude_seen : bool
        Whether lists leave out what a person had on any channel; then that does not count as truth either.
    progress : bool or callable(done, total)
        True shows a bar; a function is called with the steps done and their number; False, the default, shows nothing.

    Returns
    -------
    ChannelComparison
        ``print`` it: one row per channel and model with the paired difference to the pooled matrix.

    Raises
    ------
    EmptyError
        When nobody with a history did anything later that counts.
    ParameterError
        When weights name a channel or an event type that occurs neither in the past nor later.

    Notes
    -----
    People count who have a history on any channel. For those who have none on the channel, ``only <channel>`` shows
    what most people chose there: that is the baseline of a single channel. One cut, so intervals say what
    other people would give, not other weeks. Deterministic where the estimator is.

    Examples
    --------
    >>> import omnireco as om
    >>> past, later = om.simulate(n_users=80, n_items=20, days=60, seed=1).dataset().split("2025-02-24")
    >>> cross = om.models.CrossChannel(estimator=om.ItemKNN())
    >>> compared = compare_channels(cross, past, later.events.select(channels=["app"]), k=5)
    >>> compared.to_frame()["model"].tolist()
    ['pooled', 'joined', 'joined, on app', 'only app']
    """
    if not isinstance(cross, Estimator) or not {"estimator", "saturation"} <= cross.get_params(deep=False).keys():
        raise ParameterError(
            f"compare_channels takes om.models.CrossChannel(estimator=om.ALS()) first. Got {shown(cross)}."
        )
    if not isinstance(metrics, Iterable):
        raise ParameterError(f"metrics must be a list of functions, such as [om.ndcg]. Got {shown(metrics)}.")
    k, exclude_seen = check_k(k), check_flag(exclude_seen, "exclude_seen")
    train, test = events_of(past, "compare_channels"), events_of(later, "compare_channels")
    cross, weights = _checked(cross, train, test)
    test = _countable(train, test, exclude_seen=exclude_seen)
    judged = [str(name) for name in test.channels.ids]
    if not judged:
        raise EmptyError(
            "compare_channels: nobody with a history did anything later that counts. Take a longer horizon, "
            "exclude_seen=False, or check what was selected."
        )
    x = train.matrix(weights)
    pooled = replace(x, layers={"all": x.csr})
    whole = join_channels(pooled, saturation=cross.saturation)
    reports = {}
    with ticker(2 + len(judged), progress, label="compare_channels") as tick:
        model = cross.fit(x)
        tick()
        lists = {_POOLED: cross.estimator.fit(whole).recommend(whole, k=k, exclude_seen=exclude_seen)}
        tick()
        lists["joined"] = model.recommend(x, k=k, exclude_seen=exclude_seen)
        for name in judged:
            here = lists | {f"joined, on {name}": model.on(name).recommend(x, k=k, exclude_seen=exclude_seen)}
            alone = _alone(x, name, cross)
            if alone.nnz:
                here[f"only {name}"] = _alone_lists(cross, alone, x, k, exclude_seen=exclude_seen)
            reports[name] = evaluate(
                here,
                test.select(channels=[name]),
                k=k,
                metrics=list(metrics),
                confidence=confidence,
                n_bootstrap=n_bootstrap,
                seed=seed,
            )
            tick()
    return ChannelComparison(ReadOnly(reports))


def _checked(cross: CrossChannel, train: EventLog, test: EventLog) -> tuple[CrossChannel, Weights]:
    """Return the estimator and its weights of events; names must occur somewhere, the past alone may lack one."""
    weights = start_of(cross)
    channels = np.union1d(train.channels.ids, test.channels.ids)
    check_names_of(weights, np.union1d(train.events.ids, test.events.ids), channels)
    check_known(cross.channel_weights or (), channels, "CrossChannel: channel_weights", missing=cross.missing)
    weights = replace(weights, missing="ignore")
    # every matrix of the comparison is made here once, so its estimator takes them as they are
    plain = cross.replace(missing="ignore", **dict.fromkeys(weight_names(cross)))
    return plain, weights


def _alone(x: Interactions, name: str, cross: CrossChannel) -> Interactions:
    """Return the cells of one channel, over the same people and items."""
    layer = x.layers.get(name, sp.csr_matrix(x.shape, dtype=np.float32))
    return join_channels(replace(x, csr=layer, layers={name: layer}), saturation=cross.saturation)


def _alone_lists(
    cross: CrossChannel, alone: Interactions, x: Interactions, k: int, *, exclude_seen: bool
) -> Recommendations:
    """Return what a channel that knows only itself would show; what was seen anywhere is left out all the same."""
    model = cross.estimator.fit(alone)
    if not exclude_seen:
        return model.recommend(alone, k=k, exclude_seen=False)
    most = int(np.diff(x.csr.indptr).max(initial=0))
    long = model.recommend(alone, k=min(alone.n_items, k + most), exclude_seen=False)
    gone = find_hits(long.codes, x.csr) | (long.codes == NONE)
    order = np.argsort(gone, axis=1, kind="stable")[:, :k]
    left = ~np.take_along_axis(gone, order, axis=1)
    codes = np.where(left, np.take_along_axis(long.codes, order, axis=1), NONE).astype(np.int32)
    scores = np.where(left, np.take_along_axis(long.scores, order, axis=1), -np.inf).astype(np.float32)
    short = ((0, 0), (0, max(0, k - codes.shape[1])))
    codes, scores = np.pad(codes, short, constant_values=NONE), np.pad(scores, short, constant_values=-np.inf)
    return Recommendations(long.users, long.items, codes, scores)


def _countable(train: EventLog, test: EventLog, *, exclude_seen: bool) -> EventLog:
    """Return the events of the test that count: of people with a history, and new to them where seen is left out."""
    keep = test.item != NONE
    user = train.users.codes(test.users.ids, missing="none")[test.user]
    item = np.where(keep, train.items.codes(test.items.ids, missing="none")[test.item], NONE)
    has = np.zeros(train.n_users, np.bool_)
    has[train.user[train.item != NONE]] = True
    keep &= (user != NONE) & has[user]
    if exclude_seen:
        width = np.int64(max(1, train.n_items))
        with_item = train.item != NONE
        had = distinct(train.user[with_item].astype(np.int64) * width + train.item[with_item])
        keep &= ~((item != NONE) & np.isin(user.astype(np.int64) * width + item, had))
    return rows_of(test, np.flatnonzero(keep))
