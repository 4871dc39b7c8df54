"""Which image or text of an item to show to whom: hierarchical logistic regression and Thompson sampling."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_instant,
    check_integer,
    check_known,
    check_names,
    check_number,
    count_of,
)
from omnireco._core.compute import Progress, usable_threads
from omnireco._core.contract import Estimator, had_verbs, says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, coded, counts, freeze, numbers
from omnireco._core.random import stream
from omnireco._core.small import Value, Whole
from omnireco._core.units import DAY_US
from omnireco._kernels.choice.laplace import design, grouped, laplace
from omnireco.choices.creative_counts import Cells, of_channel, one_channel, read_counts
from omnireco.choices.decisions import CreativeChoices
from omnireco.choices.inputs import read_creatives
from omnireco.choices.people import numbers_of
from omnireco.choices.propensity import thompson_propensities
from omnireco.data.asking.touches import Touches, check_touches
from omnireco.data.dataset import dataset_of
from omnireco.data.frames.columns import open_frame
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.timing.machines import left_out

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CreativeModel", "Creatives"]

_MOST_WEIGHTS = 5_000
_LOG = logging.getLogger(__name__)
_FITTED = ("weights", "spread", "item_offset", "creative_offset", "slope", "variance", "sd")


class Offsets(NamedTuple):
    """What is subtracted or required because of what each person saw before, (n, width) or (n,)."""

    fatigue: np.ndarray
    current: np.ndarray
    patient: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Creatives(Estimator):
    """Chooses among the images or texts of an item for each person: parameters only.

    ``logit p = item + creative + g'w + u'W g``: what the item gets anyway, what is special about the creative, what its
    tags g do for everybody, and for people with interests u. The item's own level takes away what the recommendation
    earns, so a creative is compared with the others of its item; tags let a new creative start with what is known.

    Parameters
    ----------
    floor : float, default 0.05
        Share of choices that is even over the creatives of the item, kept for replay.
    exploration : float, default 1
        Width of the draws in posterior standard deviations.
    recovery : duration or None, default "3D"
        Half-life after which a creative that was just shown to a person is fresh again. None: it never tires.
    fatigue : float, default 0.5
        What a creative that was shown a moment ago loses, in log-odds.
    stickiness : float, default 0.8
        A person who has seen a creative of the item keeps it unless another is better with this probability; 0 changes
        freely. Faces that change at every visit confuse.
    patience : int, default 3
        How many times a creative is shown to a person before change is free.
    channel : str, optional
        Learn from the messages of this channel alone, and choose for it: a picture that wins in an e-mail can lose in a
        push. None: from all channels together.
    interests : iterable of str, optional
        What is known of people: columns of ``data.attributes``, or attributes of the audience, which have a column of
        zeros and ones per value: ``["device"]`` learns which tags work on which device. By default all of
        ``data.attributes``; ``()`` for nothing.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    References
    ----------
    Chapelle and Li (2011) for logistic Thompson sampling with a Laplace approximation; Yancey and Settles (2020), A
    sleeping, recovering bandit algorithm for optimizing recurring notifications (2^-(days / half-life)).

    Examples
    --------
    >>> import numpy as np, pandas as pd, omnireco as om
    >>> from omnireco.data import Interactions, MessageLog
    >>> rng = np.random.default_rng(0)
    >>> art = pd.DataFrame({"creative_id": ["calm", "loud"], "item_id": "film", "action": [0.0, 1.0]})
    >>> people = pd.DataFrame({"user_id": np.arange(200), "likes_action": np.arange(200) % 2 * 1.0})
    >>> user, shown = rng.integers(0, 200, 4000), rng.integers(0, 2, 4000)
    >>> sent = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(np.arange(4000), "min")
    >>> taken = rng.random(4000) < np.where(user % 2 == shown, 0.4, 0.1)
    >>> log = MessageLog.from_frame(pd.DataFrame({
    ...     "user_id": user, "item_id": "film", "creative_id": np.array(["calm", "loud"])[shown], "channel": "web",
    ...     "sent_at": sent, "responded_at": sent.where(taken), "propensity": 0.5}))
    >>> people = Interactions.from_frame(people.assign(item_id="action").rename(columns={"likes_action": "weight"}))
    >>> model = Creatives(floor=0.0).fit(om.Dataset(messages=log, creatives=art, attributes=people))
    >>> chosen = model.choose(pd.DataFrame({"user_id": [2, 3], "item_id": "film"}), at="2025-06-01")
    >>> chosen.to_frame()[["user_id", "creative_id"]].values.tolist()
    [[2, 'calm'], [3, 'loud']]
    """

    floor: float = 0.05
    exploration: float = 1.0
    recovery: Any = "3D"
    fatigue: float = 0.5
    stickiness: float = 0.8
    patience: int = 3
    interests: tuple[str, ...] | None = None
    channel: str | None = None

    needs: ClassVar[tuple[str, ...]] = ("messages", "creatives")
    verbs: ClassVar[tuple[str, ...]] = ("choose", "propensity", "probability")

    def __post_init__(self) -> None:
        check_number(self.floor, "floor", low=0.0, high=1.0)
        check_number(self.exploration, "exploration", low=0.0)
        if self.recovery is not None:
            check_duration(self.recovery, "recovery")
        check_number(self.fatigue, "fatigue", low=0.0)
        check_number(self.stickiness, "stickiness", low=0.0, high=1.0)
        check_integer(self.patience, "patience", low=1)
        if self.channel is not None:
            one_channel(self.channel, "Creatives: channel")
        if self.interests is not None:
            object.__setattr__(self, "interests", tuple(map(str, check_names(self.interests, "interests"))))

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> CreativeModel:
        """Fit on creatives shown and their responses.

        Parameters
        ----------
        data : Dataset
            Its messages have ``creative_id``: one row per impression, on any channel; only creatives of
            ``data.creatives`` count. ``data.creatives`` is a frame of ``creative_id``, ``item_id``, and one column of
            numbers per tag (0 and 1, or strengths). Numbers of people are best scaled to about 1; people without any
            are taken as average.
        threads, progress : optional
            As everywhere; learning uses one thread and reports nothing.

        Returns
        -------
        CreativeModel

        Raises
        ------
        SchemaError
            When a part or a column is missing or of the wrong kind, or a creative is listed twice.
        EmptyError
            When there is no creative.
        ParameterError
            When the data has no such interests, no message goes over the channel, or tags and interests make more than
            5,000 weights.

        Notes
        -----
        Responses flagged as bot opens (``machine`` of 0.5 or more) are left out, unless a click came later; the
        model has their number.

        Newton's method with the offsets of creatives and items eliminated, so its cost is that of the tags alone: O(n
        p^2) a step for p = tags x (1 + interests). The prior variances of items and creatives are learned by
        expectation maximization. The base rate has the prior Beta(1, 9), as if ten messages had been sent and one
        answered: it matters to the first few dozen messages only. Deterministic.

        Warns
        -----
        DataWarning
            When no message, of 20 or more with a creative, shows one of the frame.
        """
        data = dataset_of(data, "Creatives.fit", self.needs)
        usable_threads(threads)
        messages = data.messages
        if self.channel is not None:
            used = [str(name) for name in messages.channels.ids]
            check_known([self.channel], used, "Creatives.fit: channel", missing=None)
        known, items, item, tags = read_creatives(data.creatives)
        if self.interests is None and data.attributes is not None:
            _check_size(tags.shape[1], data.attributes.n_items)  # before the table is made dense
        users, interests = numbers_of(data, self.interests, "Creatives.fit: interests")
        _check_size(tags.shape[1], interests.shape[1])
        cells, n_machine = read_counts(messages, known, users, "Creatives.fit", self.channel)
        model = _learn(self, (known, items, item, tags), (users, interests), cells, n_machine)
        _LOG.info("fit %r", model)
        return model


@had_verbs(chances="model.propensity(messages)")
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CreativeModel:
    """What is known of every creative; made by `Creatives.fit`.

    Attributes
    ----------
    parameters : Creatives
        What was fitted.
    creatives, items, users : Vocabulary
        Ids behind the codes: creatives, items, people.
    item : ndarray of shape (n_creatives,), int32
        The item that each belongs to.
    tags : ndarray of shape (n_creatives, q)
        Tags of each creative; q is 0 without tags.
    interests : ndarray of shape (n_users, m)
        Interests of each person; m is 0 without interests.
    weights : ndarray of shape (1 + q + m q,)
        Intercept, tags, and interests times tags.
    spread : ndarray, square
        Posterior covariance of ``weights``.
    item_offset, creative_offset : ndarray
        Log-odds.
    slope : ndarray of shape (n_creatives, 1 + q + m q)
        How a creative's offset moves when the weights do.
    variance : ndarray of shape (n_creatives,)
        Of a creative's offset, given the weights.
    sd : ndarray of shape (2,)
        Standard deviation of items and of creatives, in log-odds.
    cell_creative, cell_user : ndarray of shape (n_cells,), int32
        Pairs of a creative and a person, -1 for people without interests, who are all alike.
    cell_counts : ndarray of shape (n_cells, 2), int64
        How often the creative of each was shown and answered: what the next update adds to.
    n_messages, n_machine : int
        Messages learned from, and bot opens, which are left out.
    """

    parameters: Creatives
    creatives: Vocabulary
    items: Vocabulary
    item: np.ndarray
    tags: np.ndarray
    users: Vocabulary
    interests: np.ndarray
    weights: np.ndarray
    spread: np.ndarray
    item_offset: np.ndarray
    creative_offset: np.ndarray
    slope: np.ndarray
    variance: np.ndarray
    sd: np.ndarray
    cell_creative: np.ndarray
    cell_user: np.ndarray
    cell_counts: np.ndarray
    n_messages: int
    n_machine: int = 0

    parts: ClassVar[Parts] = {
        "parameters": Value((Creatives,)),
        "creatives": Ids(),
        "items": Ids(),
        "users": Ids(people=True),
        "item": coded("items", "creatives"),
        "tags": numbers("creatives", "tags"),
        "interests": numbers("users", "interests"),
        "weights": numbers("weights"),
        "spread": numbers("weights", "weights"),
        "item_offset": numbers("items"),
        "creative_offset": numbers("creatives"),
        "slope": numbers("creatives", "weights"),
        "variance": numbers("creatives", low=0.0),
        "sd": numbers(2, low=0.0),
        "cell_creative": coded("creatives", "cells"),
        "cell_user": coded("users", "cells", none=True),
        "cell_counts": counts("cells", 2),
        "n_messages": Whole(),
        "n_machine": Whole(),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        return (
            f"CreativeModel({count_of(len(self.creatives), 'creative')} of {count_of(len(self.items), 'item')}, "
            f"{count_of(self.tags.shape[1], 'tag')}, {count_of(self.n_messages, 'message')}{left_out(self.n_machine)})"
        )

    def updated(self, messages: MessageLog) -> CreativeModel:
        """Return the model that a fit on all messages so far and these would give, to the bit.

        The likelihood needs of messages only how often each creative was shown to whom and how often answered, and the
        model keeps these counts; so the messages learned from before are not needed again.

        Parameters
        ----------
        messages : MessageLog
            Only what was not learned from before, each message once its time to be answered is over: a message that
            stands in two updates counts twice. Only creatives that the model knows count, and people are as they were
            at the fit; new creatives, tags and interests need a new fit.

        Returns
        -------
        CreativeModel

        Raises
        ------
        SchemaError
            When this is no MessageLog, or ids are of another kind than the model's.

        Warns
        -----
        DataWarning
            When no message, of 20 or more with a creative, shows one that the model knows.

        Notes
        -----
        A step of Newton's method costs as many rows as there are distinct pairs of a creative and interests: a few
        thousand however long the log where interests are flags, and almost one per message where they are measured
        numbers; then it takes about as long as the fit itself. Deterministic.

        Examples
        --------
        >>> import pandas as pd, omnireco as om
        >>> art = pd.DataFrame({"creative_id": ["calm", "loud"], "item_id": "film"})
        >>> sent = pd.DataFrame({"user_id": range(8), "item_id": "film", "creative_id": ["calm", "loud"] * 4,
        ...     "channel": "web", "sent_at": pd.Timestamp("2025-05-01", tz="UTC"), "responded_at": pd.NaT})
        >>> log = om.data.MessageLog.from_frame(sent.assign(responded_at=pd.NaT))
        >>> model = om.choices.Creatives().fit(om.Dataset(messages=log, creatives=art))
        >>> model.updated(log)
        CreativeModel(2 creatives of 1 item, 0 tags, 16 messages)
        """
        if not isinstance(messages, MessageLog):
            raise SchemaError(f"CreativeModel.updated takes a MessageLog. Got {type(messages).__name__}.")
        where = "CreativeModel.updated"
        fresh, n_machine = read_counts(messages, self.creatives, self.users, where, self.parameters.channel)
        before = (self.cell_creative, self.cell_user, self.cell_counts)
        both = [np.concatenate(parts) for parts in zip(before, fresh, strict=True)]
        of_creatives = (self.creatives, self.items, self.item, self.tags)
        model = _learn(
            self.parameters, of_creatives, (self.users, self.interests), grouped(*both), self.n_machine + n_machine
        )
        _LOG.info("updated %r", model)
        return model

    def choose(
        self,
        pairs: Any,
        *,
        at: Any,
        shown: MessageLog | None = None,
        paused: Iterable[Any] = (),
        seed: int = 0,
        missing: str = "raise",
    ) -> CreativeChoices:
        """Choose a creative for each person and item.

        Parameters
        ----------
        pairs : frame
            ``user_id`` and ``item_id``, such as ``recs.to_frame()``. Repeated pairs get the same creative.
        at : datetime, date or str
            When it will be shown; draws belong to (seed, day, person, item).
        shown : MessageLog, optional
            What people have seen; only what was sent before ``at`` counts. Without it nothing tires and nothing sticks.
        paused : iterable of ids
            Creatives that may not be shown now.
        seed : int
            Of the draws, 0 or more; 0 by default.
        missing : {"raise", "ignore"}
            Whether a creative in ``paused`` that the model does not know is an error or means nothing.

        Returns
        -------
        CreativeChoices
            One row per distinct pair, in the order of (user, item).

        Raises
        ------
        ParameterError
            When ``paused`` names a creative that the model does not know.
        SchemaError
            When ``shown`` is no MessageLog, or ids are of another kind than the model's.
        """
        check_choice(missing, "missing", ("raise", "ignore"))
        if shown is not None and not isinstance(shown, MessageLog):
            raise SchemaError(f"shown must be a MessageLog. Got {type(shown).__name__}.")
        at_us = check_instant(at, "at")
        opened = open_frame(pairs, "CreativeModel.choose", needed=("user_id", "item_id"))
        users, user = opened.ids("user_id")
        items, item = opened.ids("item_id")
        pair = np.unique(user.astype(np.int64) * max(1, len(items)) + item) if user.size else np.empty(0, np.int64)
        user, item = (pair // max(1, len(items))).astype(np.int32), (pair % max(1, len(items))).astype(np.int32)
        awake = np.ones(len(self.creatives), np.bool_)
        tired = check_known(check_names(paused, "paused"), self.creatives.ids.tolist(), "paused", missing=missing)
        awake[self.creatives.codes(list(tired))] = False
        table = _by_item(self.item, awake, len(self.items))
        mine = self.items.codes(items.ids, missing="none")[item] if len(items) else np.empty(0, np.int32)
        options = np.where(mine[:, None] >= 0, table[mine], NONE)
        person = self.users.codes(users.ids, missing="none")[user] if len(self.users) else np.full(user.size, NONE)
        before = self._before(shown, users, user, options, at_us)
        chance = self._policy(options, person, before)
        coin = _coins(seed, at_us, users.ids[user], items.ids[item])
        below = np.cumsum(chance, axis=1)
        spot = np.minimum((coin[:, None] >= below).sum(axis=1), options.shape[1] - 1)
        spot = np.where(chance[np.arange(user.size), spot] > 0, spot, chance.argmax(axis=1))
        picked = options[np.arange(user.size), spot].astype(np.int32)
        propensity = np.where(picked >= 0, chance[np.arange(user.size), spot], 0.0)
        logit = self._scores(picked[:, None], person)[0][:, 0]
        belief = np.where(picked >= 0, 1.0 / (1.0 + np.exp(-logit)), np.nan)
        return CreativeChoices(users, items, self.creatives, user, item, picked, propensity, belief)

    @says_the_line("model.propensity(messages)")
    def propensity(self, messages: MessageLog) -> np.ndarray:
        """Return the probability that this policy would have shown the creative that each message showed, (n,).

        For replay: ``om.causal.off_policy(log, model.propensity(log))``. Nothing of
        the past is taken into account here, no fatigue and no stickiness. NaN where a message has no known creative, or
        went over another channel than the model's.
        """
        if not isinstance(messages, MessageLog):
            raise SchemaError(f"CreativeModel.propensity takes a MessageLog. Got {type(messages).__name__}.")
        code = np.full(len(messages), NONE, np.int64)
        some = np.flatnonzero((messages.creative >= 0) & self._mine(messages.channels, messages.channel))
        code[some] = self.creatives.codes(messages.creatives.ids, missing="none")[messages.creative[some]]
        known = np.flatnonzero(code >= 0)
        table = _by_item(self.item, np.ones(len(self.creatives), np.bool_), len(self.items))
        options = table[self.item[code[known]]]
        person = self.users.codes(messages.users.ids, missing="none")[messages.user[known]]
        chance = self._policy(options, person, None)
        found = np.full(len(messages), np.nan)
        found[known] = np.where(options == code[known][:, None], chance, 0.0).sum(axis=1)
        return found

    @says_the_line(
        "model.probability(om.data.Touches.of(data, users, channel='email', at='2025-06-01', creatives=creatives))"
    )
    def probability(self, touches: Touches) -> np.ndarray:
        """Return the probability that people respond to the creatives of touches.

        Parameters
        ----------
        touches : Touches
            With ``creatives=``, or candidates made with them. Anybody: people whom the model does not know are average.

        Returns
        -------
        ndarray of shape (n,), float64
            NaN where a touch has no creative, or goes over another channel than the model's. The instant changes
            nothing.

        Raises
        ------
        SchemaError
            When these are no touches, or none of them can have a creative.
        UnknownIdError
            When the model does not know a creative.
        """
        touches = check_touches(touches, "CreativeModel.probability", more=", creatives=...")
        if "creative_id" not in touches.labels:
            raise SchemaError(
                "CreativeModel.probability: the touches have no creatives. Write Touches.of(..., creatives=...), or "
                "om.candidates(..., creatives=model.choose(...))."
            )
        named, code = touches.labels["creative_id"]
        shown = np.flatnonzero((code >= 0) & self._mine(touches.channels, touches.channel))
        creative = self.creatives.codes(named.ids[code[shown]]).astype(np.int64)
        who = touches.users.ids[touches.user[shown]]
        person = self.users.codes(who, missing="none") if len(self.users) else np.full(shown.size, NONE)
        found = np.full(len(touches), np.nan)
        found[shown] = 1.0 / (1.0 + np.exp(-self._scores(creative[:, None], person)[0][:, 0]))
        return found

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return one row per creative: ``creative_id item_id offset sd``, in log-odds beside the effect of its tags."""
        import pandas as pd

        unsure = np.einsum("ci,ij,cj->c", self.slope, self.spread, self.slope)
        return pd.DataFrame(
            {
                "creative_id": self.creatives.ids,
                "item_id": self.items.decode(self.item),
                "offset": self.creative_offset,
                "sd": np.sqrt(self.variance + unsure),
            }
        )

    def _mine(self, channels: Vocabulary, channel: np.ndarray) -> np.ndarray:
        """Return what goes over the channel of the model: everything, where it has learned from all together."""
        return of_channel(self.parameters.channel, channels, channel)

    def _scores(self, options: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the log-odds of each option, (n, width).

        What an item's own level adds to the uncertainty is common to its creatives and left out.
        """
        mean, width = np.empty(options.shape), np.empty(options.shape)
        for start in range(0, options.shape[0], 4096):
            rows = slice(start, start + 4096)
            code = np.maximum(options[rows], 0)
            for column in range(options.shape[1]):
                c = code[:, column]
                x = design(c, person[rows], self.tags, self.interests)
                mean[rows, column] = x @ self.weights + self.item_offset[self.item[c]] + self.creative_offset[c]
                z = x - self.slope[c]
                width[rows, column] = np.sqrt(np.maximum(((z @ self.spread) * z).sum(axis=1) + self.variance[c], 0.0))
        return mean, width

    def _policy(self, options: np.ndarray, person: np.ndarray, before: Offsets | None) -> np.ndarray:
        """Return the probability of each option, (n, width); 0 for none."""
        open_ = options >= 0
        mean, width = self._scores(options, person)
        if before is not None:
            mean = mean - before.fatigue
        chance = thompson_propensities(mean, self.parameters.exploration * width, eligible=open_)
        if before is not None and self.parameters.stickiness > 0:
            chance = self._sticky(chance, mean, width, open_, before)
        even = open_ / np.maximum(open_.sum(axis=1, keepdims=True), 1)
        floor = self.parameters.floor
        total = chance.sum(axis=1, keepdims=True)
        return np.where(open_, (1.0 - floor) * chance / np.where(total > 0, total, 1.0) + floor * even, 0.0)

    def _sticky(
        self, chance: np.ndarray, mean: np.ndarray, width: np.ndarray, open_: np.ndarray, before: Offsets
    ) -> np.ndarray:
        """Keep what a person saw last, unless another is better with the probability ``stickiness``."""
        from scipy.special import ndtr

        row = np.arange(len(mean))
        now = np.maximum(before.current, 0)
        own = mean[row, now] + before.fatigue[row, now]  # being seen again is what sticking means: it does not tire
        gap = (mean - own[:, None]) / np.maximum(np.sqrt(width**2 + width[row, now][:, None] ** 2), 1e-12)
        better = np.where(open_, ndtr(gap), 0.0)
        better[row, now] = 0.0
        keep = (before.current >= 0) & before.patient & (better.max(axis=1) <= self.parameters.stickiness)
        only = np.zeros_like(chance)
        only[row, now] = 1.0
        return np.where(keep[:, None], only, chance)

    def _before(
        self, shown: MessageLog | None, users: Vocabulary, user: np.ndarray, options: np.ndarray, at_us: int
    ) -> Offsets | None:
        """Return how tired each option is, and which option was seen last and may stay."""
        if shown is None or not options.size:
            return None
        rule = self.parameters
        past = np.flatnonzero((shown.sent_at < at_us) & (shown.creative >= 0))
        code = self.creatives.codes(shown.creatives.ids, missing="none")[shown.creative[past]].astype(np.int64)
        who = users.codes(shown.users.ids, missing="none")[shown.user[past]].astype(np.int64)
        past, code, who = (array[(code >= 0) & (who >= 0)] for array in (past, code, who))
        key = who * len(self.creatives) + code
        keys, first, times = np.unique(key[::-1], return_index=True, return_counts=True)
        last = shown.sent_at[past][::-1][first] if past.size else np.empty(0, np.int64)
        wanted = user.astype(np.int64)[:, None] * len(self.creatives) + np.maximum(options, 0)
        spot = np.minimum(np.searchsorted(keys, wanted), max(0, keys.size - 1))
        seen = (keys[spot] == wanted) & (options >= 0) if keys.size else np.zeros(options.shape, np.bool_)
        when = np.where(seen, last[spot], NEVER) if keys.size else np.full(options.shape, NEVER)
        age = np.where(seen, at_us - when, 0)
        tired = np.zeros(options.shape)
        if rule.recovery is not None:
            tired = np.where(seen, rule.fatigue * 0.5 ** (age / check_duration(rule.recovery, "recovery")), 0.0)
        latest = np.where(seen.any(axis=1), when.argmax(axis=1), NONE)
        count = np.where(seen, times[spot], 0) if keys.size else np.zeros(options.shape, np.int64)
        patient = count[np.arange(len(options)), np.maximum(latest, 0)] < rule.patience
        return Offsets(tired, latest, patient)


def _learn(
    rule: Creatives,
    of_creatives: tuple[Vocabulary, Vocabulary, np.ndarray, np.ndarray],
    of_people: tuple[Vocabulary, np.ndarray],
    cells: Cells,
    n_machine: int,
) -> CreativeModel:
    """Return the model of counts in order."""
    known, items, item, tags = of_creatives
    users, interests = of_people
    found = laplace(*cells, item, len(items), tags, interests)
    fitted: dict[str, Any] = dict(zip(_FITTED, found, strict=True))
    return CreativeModel(
        rule, known, items, item, tags, users, interests, **fitted, cell_creative=cells[0], cell_user=cells[1],
        cell_counts=cells[2], n_messages=int(cells[2][:, 0].sum()), n_machine=n_machine,
    )  # fmt: skip


def _check_size(n_tags: int, n_interests: int) -> None:
    if (n := 1 + n_tags * (1 + n_interests)) > _MOST_WEIGHTS:
        raise ParameterError(
            f"Creatives.fit: {n_tags:,} tags and {n_interests:,} interests make {n:,} weights, and {_MOST_WEIGHTS:,} "
            "are the most. Name some: Creatives(interests=[...])."
        )


def _by_item(item: np.ndarray, awake: np.ndarray, n_items: int) -> np.ndarray:
    """Return the awake creatives of each item, (n_items + 1, most), -1 for none; the last row is no item."""
    kept = np.flatnonzero(awake)
    kept = kept[np.argsort(item[kept], kind="stable")]
    count = np.bincount(item[kept], minlength=n_items)
    table = np.full((n_items + 1, max(1, int(count.max(initial=0)))), NONE, np.int64)
    start = np.cumsum(count) - count
    table[item[kept], np.arange(kept.size) - start[item[kept]]] = kept
    return table


def _coins(seed: int, at_us: int, user_ids: np.ndarray, item_ids: np.ndarray) -> np.ndarray:
    """Return a number in (0, 1) that belongs to (seed, day, user, item)."""
    from omnireco._core.random import mixed, numbers_of_ids, unit

    day = np.uint64(at_us // DAY_US + (1 << 40))
    key = np.uint64(stream(seed, "creatives").integers(0, 1 << 62))
    with np.errstate(over="ignore"):
        return unit(mixed(mixed(numbers_of_ids(user_ids) ^ key) ^ mixed(numbers_of_ids(item_ids) + day)))
