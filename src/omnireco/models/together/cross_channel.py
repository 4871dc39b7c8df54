"""Several channels, one taste: cells joined by channel, and what each channel sells more of than the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_choice, check_kind, check_known, check_number, count_of, shown
from omnireco._core.compute import Progress, one_blas_thread, row_blocks
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.parts import Maybe, Parts, numbers, sound
from omnireco._core.small import Each, Number, Plain, Text, Value
from omnireco._kernels.ordered_product import ordered_product
from omnireco._kernels.topk.exact import ItemIndex, select, topk
from omnireco.data.dataset import matrix_of
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import to_float32
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights
from omnireco.errors import EmptyError, ParameterError
from omnireco.models.base import Model, require_interactions
from omnireco.models.matrix.factors import ALS
from omnireco.models.together.blended import all_scores

__all__ = ["ChannelModel", "CrossChannel", "join_channels"]

Saturation = Literal["none", "log", "binary"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CrossChannel(Estimator):
    """Learn one taste per person from all channels, and what is special about each channel.

    People look for the same things everywhere, so the factors are shared: a history in the app solves the cold start
    in the shop. Cells are kept apart until they have been weighed, so that ten views
    in the app do not drown one visit to the shop. Channels differ in what is taken there: each gets a bias per item,
    which moves its lists towards what the channel is used for.

    Parameters
    ----------
    estimator : estimator
        What learns from the joined cells; :class:`ALS` by default. Any estimator that is fitted on a matrix.
    channel_weights : mapping of str to float, optional
        What a channel's cells count, above 0; 1 where not listed. :func:`omnireco.learn_weights` finds them.
    saturation : {"log", "none", "binary"}
        What the number r of a person, item and channel counts: log(1 + r), r, or 1, with its sign. Numbers of
        several channels are added up after this; with ``"none"`` and no weights that is the pooled matrix.
    lift : float
        How far an item's bias on a channel moves it, in standard deviations of the person's scores per unit of
        log-lift. 0 gives every channel the same list.
    prior_strength : float
        Prior strength of the bias of an item on a channel, in people (a pseudo-count).
    missing : {"raise", "ignore"}
        Whether a weight for a channel that the matrix does not have is an error, or is passed over.

    Notes
    -----
    Cells: ``r_ui = sum_c weight_c sign(r_uic) f(|r_uic|)``. Score on channel c: ``s_ui + lift sd_u b_ic``, with s_ui
    the estimator's score, sd_u its standard deviation over all items, and the shrunken log-lift ``b_ic = log((n_ic + s)
    / (e_ic + s))`` with ``s = prior_strength``: n_ic people took i on channel c, e_ic would have if c were like all
    channels together. This is the limit of collective factorisation with item deviations per channel when those are
    fixed at 0, which on public data was the best member of that family. Deterministic where the estimator is. The
    log-lift costs O(cells + channels x items).

    References
    ----------
    Singh and Gordon, "Relational learning via collective matrix factorization", KDD 2008, section 4.

    Examples
    --------
    >>> import pandas as pd
    >>> x = Interactions.from_frame(pd.DataFrame({
    ...     "user_id": [1, 1, 2, 2, 3, 4], "item_id": ["tea", "cup", "tea", "cup", "tea", "cup"],
    ...     "channel": ["web", "store", "web", "store", "web", "store"]}))
    >>> model = CrossChannel(estimator=ALS(factors=2), lift=2.0, prior_strength=1.0).fit(x)
    >>> model.on("store").recommend(x.rows([1]), k=1, exclude_seen=False).to_frame()["item_id"].tolist()
    ['cup']
    """

    estimator: Any = field(default_factory=ALS)
    channel_weights: Mapping[str, float] | None = None
    saturation: Saturation = "log"
    lift: float = 0.25
    prior_strength: float = 20.0
    missing: Literal["raise", "ignore"] = field(default="raise", kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not hasattr(type(self.estimator), "fit") or isinstance(self.estimator, Model):
            raise ParameterError(
                "CrossChannel takes an estimator, such as CrossChannel(estimator=ALS(factors=64)). Got "
                f"{shown(self.estimator)}."
            )
        object.__setattr__(self, "channel_weights", _check_weights(self.channel_weights))
        check_choice(self.saturation, "saturation", ("none", "log", "binary"))
        check_number(self.lift, "lift", low=0)
        check_number(self.prior_strength, "prior_strength", above=0)
        check_choice(self.missing, "missing", ("raise", "ignore"))

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ChannelModel:
        """Return the model of all channels; ``model.on("app")`` ranks for one of them.

        Parameters
        ----------
        data : Dataset, EventLog, EventScan or Interactions
            Events are weighed by the ``weights`` of the estimator. A matrix has one layer per channel, as
            ``log.matrix`` makes it.
        threads, progress : optional
            Handed to the estimator.

        Raises
        ------
        EmptyError
            When the joined matrix has no cells.
        """
        weighed = getattr(self.estimator, "weights", None)
        x = matrix_of(data, weighed if isinstance(weighed, Weights) else None, "CrossChannel.fit")
        x = require_interactions(x, "CrossChannel.fit", targets=True)
        check_known(self.channel_weights or (), x.layers, "CrossChannel: channel_weights", missing=self.missing)
        joined = join_channels(x, channel_weights=self.channel_weights, saturation=self.saturation, missing="ignore")
        if not joined.nnz:
            raise EmptyError("CrossChannel.fit: the weights of every item cancel to 0. Check the weights.")
        base = self.estimator.fit(joined, threads=threads, progress=progress)
        wanted = x.without_targets().layers.values()
        people = np.stack([np.asarray((layer > 0).sum(axis=0), np.float64).ravel() for layer in wanted])
        return ChannelModel.build(
            base,
            channels=tuple(x.layers),
            lifts=_log_lift(people, self.prior_strength),
            people=people.astype(np.float32),
            lift=self.lift,
            channel_weights=self.channel_weights,
            saturation=self.saturation,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ChannelModel(Model):
    """A model of all channels together, which can rank for each of them.

    ``data.requests(channel="store")`` is answered for the shop, each request for its own channel (one that the model
    has not met is an error); without one, for all channels or for that of ``model.on(channel)``. Histories, with
    one layer per channel, do not contain the channel of the request. A channel unknown to the model counts with
    weight 1 in a history. Seen is what was seen on any channel.

    Parameters
    ----------
    items : Vocabulary
        Ids of the items that it knows, in the order of their codes.
    popularity : ndarray of shape (n_items,), float32
        How many people chose each item, on ``channel`` if there is one: the ranking for people without a history.
    base : Model
        What scores the joined cells.
    channels : tuple of str
        Channels for which it ranks.
    lifts : ndarray of shape (n_channels, n_items), float32
        Shrunken log-lift of each item on each channel; 0 where the channel is like the others.
    people : ndarray of shape (n_channels, n_items), float32
        How many people chose each item on each channel.
    lift, channel_weights, saturation
        See :class:`CrossChannel`.
    channel : str or None
        The channel that is ranked for; None for all channels.
    """

    takes_targets: ClassVar[bool] = True
    reads_layers: ClassVar[bool] = True

    items: Vocabulary
    popularity: np.ndarray
    base: Model
    channels: tuple[str, ...]
    lifts: np.ndarray
    people: np.ndarray
    lift: float
    channel_weights: Mapping[str, float] | None
    saturation: Saturation
    channel: str | None
    _index: ItemIndex | None
    _spread: np.ndarray | None

    parts: ClassVar[Parts] = {
        "base": Value((Model,)),
        "channels": Each(Text(), "channels"),
        "lifts": numbers("channels", "base.items", dtype=np.float32),
        "people": numbers("channels", "base.items", dtype=np.float32, low=0.0),
        "lift": Number(low=0.0),
        "channel_weights": Maybe(Plain(Mapping[str, float])),
        "saturation": Text(("none", "log", "binary")),
        "channel": Maybe(Text()),
    }

    @classmethod
    def build(
        cls,
        base: Model,
        *,
        channels: tuple[str, ...],
        lifts: np.ndarray,
        people: np.ndarray,
        lift: float,
        channel_weights: Mapping[str, float] | None,
        saturation: Saturation,
        channel: str | None = None,
    ) -> ChannelModel:
        """Return the model of a fitted base and its biases: used by all constructors."""
        per_cell = numbers(len(channels), len(base.items), dtype=np.float32)
        lifts, people = (
            sound(per_cell, part, f"ChannelModel: {name}") for name, part in (("lifts", lifts), ("people", people))
        )
        popularity, index, spread = base.popularity, None, None
        if channel is not None:
            row = _position(channels, channel)
            popularity = people[row]
            model = base._factorised()
            if model is not None and lift:  # one more factor: the same engine as without biases
                index = ItemIndex(np.concatenate([model.factors, lifts[row][:, None]], axis=1))
                spread = _covariance(model.factors)
        popularity.setflags(write=False)
        return cls(
            base.items,
            popularity,
            base,
            channels,
            lifts,
            people,
            lift,
            channel_weights,
            saturation,
            channel,
            index,
            spread,
        )

    def __repr__(self) -> str:
        channels = count_of(len(self.channels), "channel")
        on = "" if self.channel is None else f", on {self.channel!r}"
        return f"ChannelModel({count_of(len(self.items), 'item')}, {channels}{on}, {type(self.base).__name__})"

    @property
    def event_weights(self) -> Weights | None:  # type: ignore[override]
        """Event weights of histories: those of its base."""
        return self.base.event_weights

    def on(self, channel: str | None) -> ChannelModel:
        """Return the model that ranks for one channel (None: for all channels); the factors are the same.

        Raises
        ------
        ParameterError
            When the model has not met the channel.
        """
        if channel is self.channel or (isinstance(channel, str) and channel == self.channel):
            return self
        return ChannelModel.build(
            self.base,
            channels=self.channels,
            lifts=self.lifts,
            people=self.people,
            lift=self.lift,
            channel_weights=self.channel_weights,
            saturation=self.saturation,
            channel=channel,
        )

    def _on_channel(self, channel: str) -> ChannelModel:
        return self.on(channel)

    def _explained(self) -> tuple[Model, bool]:
        if self._bias() is not None:
            raise ParameterError(
                f"explain: the list for {self.channel!r} also holds what that channel has more of than the others, "
                "which is no sum over the history. Explain the rest of the score: explain(model.on(None), x, lists)."
            )
        return self.base, True  # it reads the joined cells, and its score is the score

    def joined(self, histories: Interactions) -> Interactions:
        """Return histories as the base reads them, cells of all channels added up: ``model.base.recommend(...)``."""
        return self._align(histories)

    def _align(self, histories: Interactions) -> Interactions:
        known = Model._align(self, histories)
        return join_channels(known, channel_weights=self.channel_weights, saturation=self.saturation, missing="ignore")

    def _bias(self) -> np.ndarray | None:
        """Return the log-lift of the channel, float32 (n_items,), or None where there is none to add."""
        if self.channel is None or not self.lift:
            return None
        bias = np.asarray(self.lifts[_position(self.channels, self.channel)])
        return bias if bias.any() else None

    def _rank(
        self,
        histories: sp.csr_matrix,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        eligible: Any,
        threads: int | None,
        targets: sp.csr_matrix | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._bias() is None:
            past, more = self._for_base(histories, targets)
            return self.base._rank(past, k=k, exclude=exclude, eligible=eligible, threads=threads, **more)
        if self._index is not None:
            vectors = self._widened(self.base._factorised(), histories, targets, threads)
            return topk(vectors, self._index, k=k, exclude=exclude, eligible=eligible, threads=threads)
        n = histories.shape[0]
        codes, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        for rows in row_blocks(n, 24 * len(self.items)):
            some = eligible if not isinstance(eligible, tuple) else (eligible[0], eligible[1][rows])
            seen, aim = (None if part is None else part[rows] for part in (exclude, targets))
            codes[rows], scores[rows] = select(self._all(histories[rows], aim), k=k, exclude=seen, eligible=some)
        return codes, scores

    def _score(self, histories: sp.csr_matrix, codes: np.ndarray, targets: sp.csr_matrix | None = None) -> np.ndarray:
        bias = self._bias()
        if bias is None:
            past, more = self._for_base(histories, targets)
            return self.base._score(past, codes, **more)
        if (model := self.base._factorised()) is not None:
            vectors = self._widened(model, histories, targets, None)
            sides = np.concatenate([model.factors[codes], bias[codes][:, None]], axis=1)
            return ordered_product(vectors, sides).astype(np.float32)
        return self._all(histories, targets)[:, codes]

    def _for_base(
        self, histories: sp.csr_matrix, targets: sp.csr_matrix | None
    ) -> tuple[sp.csr_matrix, dict[str, Any]]:
        """Return histories as the base reads them, and the keyword that hands it targets, if it takes them."""
        if targets is None:
            return histories, {}
        if self.base.takes_targets:
            return histories, {"targets": targets}
        value = histories.data * targets.data
        return sp.csr_matrix((value, histories.indices, histories.indptr), histories.shape), {}

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.base._similar(codes, k=k, eligible=eligible, threads=threads)

    def _widened(
        self, base: Any, histories: sp.csr_matrix, targets: sp.csr_matrix | None, threads: int | None
    ) -> np.ndarray:
        """Return the vectors of people with one number more, their score per unit of log-lift: (n, d + 1)."""
        vectors = base._place(histories, threads, None if targets is None else targets.data)
        wide, spread = vectors.astype(np.float64), np.asarray(self._spread)
        turned = ordered_product(wide, spread.T)
        deviation = np.sqrt(np.maximum((turned * wide).sum(axis=1), 0.0))
        return np.concatenate([vectors, to_float32(self.lift * deviation)[:, None]], axis=1)

    def _all(self, histories: sp.csr_matrix, targets: sp.csr_matrix | None) -> np.ndarray:
        """Return the score of every item, float32 (n, n_items), each row by its own history."""
        scores = all_scores(self.base, histories, targets).astype(np.float64)
        bias = self._bias()
        if bias is not None:
            scores += self.lift * scores.std(axis=1, keepdims=True) * bias[None, :].astype(np.float64)
        return to_float32(scores)


@says_the_line("om.models.join_channels(x, channel_weights={'store': 2})")
def join_channels(
    x: Interactions,
    *,
    channel_weights: Mapping[str, float] | None = None,
    saturation: Saturation = "log",
    missing: Literal["raise", "ignore"] = "raise",
) -> Interactions:
    """Add up the layers of a matrix after each has been weighed: what :class:`CrossChannel` learns from.

    Parameters
    ----------
    x : Interactions
        A matrix with a layer per channel.
    channel_weights : mapping of str to float, optional
        Above 0, per channel; 1 where not listed.
    saturation : {"log", "none", "binary"}
        What a number counts inside its channel: log(1 + r), r, or 1, with its sign.
    missing : {"raise", "ignore"}
        Whether a weight for a channel that the matrix does not have is an error, or is passed over.

    Returns
    -------
    Interactions
        The same people, items and channels.

    Examples
    --------
    >>> import pandas as pd
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 1], "item_id": ["tea", "tea", "tea"],
    ...                                           "channel": ["app", "app", "store"]}))
    >>> join_channels(x, channel_weights={"store": 2}, saturation="binary").csr.toarray()
    array([[3.]], dtype=float32)
    """
    factor: Mapping[str, float] = _check_weights(channel_weights) or {}
    check_kind(x, Interactions, "join_channels: x", "log.matrix()")
    check_known(factor, x.layers, "join_channels: channel_weights", missing=missing)
    check_choice(saturation, "saturation", ("none", "log", "binary"))
    layers, total = {}, sp.csr_matrix(x.shape, dtype=np.float64)
    for name, layer in x.layers.items():
        cells = layer.astype(np.float64)
        cells.data = float(factor.get(name, 1.0)) * _saturated(cells.data, saturation)
        layers[name] = _finished(cells)
        total = total + cells
    whole = _finished(sp.csr_matrix(total))
    if len(layers) == 1:
        layers = dict.fromkeys(layers, whole)
    return replace(x, csr=whole, layers=layers)


def _covariance(factors: np.ndarray) -> np.ndarray:
    """Return the covariance (d, d) of factors (n_items, d), float64: x'Cx is the variance of a person's scores."""
    wide = factors.astype(np.float64)
    wide -= wide.mean(axis=0)
    with one_blas_thread():
        return np.asarray(wide.T @ wide) / len(wide)


def _saturated(numbers: np.ndarray, saturation: Saturation) -> np.ndarray:
    if saturation == "none":
        return numbers
    size = np.log1p(np.abs(numbers)) if saturation == "log" else np.ones(numbers.size)
    return np.sign(numbers) * size


def _finished(cells: sp.csr_matrix) -> sp.csr_matrix:
    single = sp.csr_matrix((to_float32(cells.data), cells.indices.copy(), cells.indptr.copy()), cells.shape)
    single.eliminate_zeros()
    single.sort_indices()
    return single


def _log_lift(people: np.ndarray, prior_strength: float) -> np.ndarray:
    """Return the shrunken log-lift (n_channels, n_items) of counts of people of the same shape."""
    total = people.sum()
    share = people.sum(axis=1, keepdims=True) / (total or 1.0)  # exactly 1 for a single channel: no lift
    expected = share * people.sum(axis=0, keepdims=True)
    return np.asarray(np.log((people + prior_strength) / (expected + prior_strength)))


def _position(channels: tuple[str, ...], channel: Any) -> int:
    if not isinstance(channel, str) or channel not in channels:
        raise ParameterError(
            f"channel must be one the model was fitted on: {', '.join(map(repr, channels))}. Got {shown(channel)}."
        )
    return channels.index(channel)


def _check_weights(weights: Mapping[str, float] | None) -> ReadOnly[str, float] | None:
    if weights is None:
        return None
    if not isinstance(weights, Mapping):
        raise ParameterError(
            f"channel_weights must map channels to numbers, such as {{'store': 2}}. Got {shown(weights)}."
        )
    return ReadOnly(
        {
            str(name): check_number(weight, f"channel_weights[{shown(name)}]", above=0)
            for name, weight in weights.items()
        }
    )
