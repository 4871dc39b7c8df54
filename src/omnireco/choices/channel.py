"""Channel preference by kind of thing: pooled rates, and the probability of each channel to be the best."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_known,
    check_names,
    check_number,
    check_numbers,
    count_of,
    shown,
)
from omnireco._core.compute import Progress, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, coded, freeze, numbers
from omnireco._core.small import Flag, Value, Whole
from omnireco._kernels.choice.pooling import pool
from omnireco.choices.channel_counts import counts_of, groups_of, stated_channels
from omnireco.choices.people import per_row
from omnireco.choices.propensity import best_rate_chances
from omnireco.data.asking.consent import open_to
from omnireco.data.asking.touches import Touches, check_touches
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import ParameterError, UnknownIdError
from omnireco.timing.machines import left_out

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ChannelPreference", "ChannelPreferenceModel"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChannelPreference(Estimator):
    """Response rates, or shares of activity, by channel and kind of activity: parameters only.

    A transfer on the web, a loan in the branch: the best channel depends on the person and on what it is about. Nobody
    has enough messages of every kind on every channel, so each probability is shrunk to what the person does on the
    channel otherwise, that to the person's group, and that to everybody, as strongly as the log justifies.

    Parameters
    ----------
    on : {"messages", "events"}, default "messages"
        Messages: the response probability on a channel. Events: the share of a person's events of a kind that happens
        on a channel.
    kinds : {"category", "event"} or None
        What a message or event is about: the category of its item in the catalogue, or (for events) the event itself.
        None: all one.
    groups : str, optional
        Attribute of the audience (or of ``data.attributes``) by which people resemble each other, such as an age band.
    declared : str, list of str, or mapping of kind to them, optional
        Attributes of the audience in which people stated their channel, such as ``"preferred_channel"``; a mapping
        where it was stated for one kind only, ``{"loans": "preferred_channel_loans"}``.
    declared_strength : float, default 20
        Prior strength of a stated preference (a pseudo-count), in messages with a response at twice the rate of the
        best channel, or in events done there. It does not decay, and it replaces the group prior.
    control : str or None, default "none"
        The channel of a message log that stands for "nothing was sent": the control group. What counts is the uplift
        over it. Without it every response counts as an effect of the message. Any name but the default must be one of
        the log.
    missing : {"raise", "ignore"}
        Whether a declared channel or kind, or a control, that the log does not have is an error or means nothing.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    References
    ----------
    Gelman et al., Bayesian Data Analysis, chapter 5 (the beta-binomial hierarchy).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from omnireco.data import MessageLog
    >>> sent = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(np.arange(400), "h")
    >>> channel = np.array(["email", "push"])[np.arange(400) % 2]
    >>> user = np.arange(400) % 20 // 2
    >>> answered = (channel == "push") == (user < 5)
    >>> log = MessageLog.from_frame(pd.DataFrame({"user_id": user, "channel": channel, "sent_at": sent,
    ...     "responded_at": sent.where(answered & (np.arange(400) % 3 == 0))}))
    >>> model = ChannelPreference().fit(log)
    >>> model.best([0, 9])[["user_id", "channel"]].values.tolist()
    [[0, 'push'], [9, 'email']]
    """

    on: str = "messages"
    kinds: str | None = None
    groups: str | None = None
    declared: str | tuple[str, ...] | Mapping[str, tuple[str, ...]] | None = None
    declared_strength: float = 20.0
    control: str | None = "none"
    missing: str = "raise"

    needs: ClassVar[tuple[str, ...]] = ("messages",)
    verbs: ClassVar[tuple[str, ...]] = ("preference", "best", "profit", "probability")

    def __post_init__(self) -> None:
        check_choice(self.on, "on", ("messages", "events"))
        check_choice(self.missing, "missing", ("raise", "ignore"))
        if self.kinds is not None:
            check_choice(self.kinds, "kinds", ("category", "event") if self.on == "events" else ("category",))
        if self.groups is not None and not isinstance(self.groups, str):
            raise ParameterError(
                f"groups must be the name of an attribute of the audience. Got {shown(self.groups)}: put the groups "
                "there, om.Audience.from_frame(people, attributes=['segment'])."
            )
        check_number(self.declared_strength, "declared_strength", low=0.0)
        object.__setattr__(self, "declared", _attribute_names(self.declared))
        if self.control is not None and not isinstance(self.control, str):
            raise ParameterError(f"control must be the name of a channel, or None. Got {shown(self.control)}.")

    @says_the_line(
        "om.choices.ChannelPreference(kinds='category', groups='segment', declared='preferred_channel').fit("
        "om.Dataset(messages=sent, audience=people, catalog=goods))"
    )
    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> ChannelPreferenceModel:
        """Learn from responses to messages, or from where people do what they do.

        Parameters
        ----------
        data : Dataset, MessageLog or EventLog
            A log alone suffices without kinds, groups and declared preferences.
        threads, progress : optional
            As everywhere; learning uses one thread and reports nothing.

        Returns
        -------
        ChannelPreferenceModel

        Raises
        ------
        SchemaError
            When a part is missing: the log that ``on`` names, the catalogue, or its categories.
        IdKindError
            When ids of the log are integers and those of the audience or catalogue strings, or the other way round.
        ParameterError
            When a channel or kind was declared, or a control named, that the log does not have, or the data has no such
            attribute.
        EmptyError
            When there is no message or event.

        Notes
        -----
        Responses flagged as bot opens (``machine`` of 0.5 or more) are left out, unless a click came later; the
        model has their number.

        Strengths of pooling maximise the beta-binomial likelihood (type II), one per channel and level; where a
        person's other kinds vouch for a cell, the cell itself is left out of what it is compared with. Deterministic;
        linear in the log. Tables are dense: 24 bytes per person, channel and kind are kept, some 65 to 105 are needed
        while fitting. A million people, 4 channels and 5 kinds keep 0.5 GB and need about 1.3 GB once.
        """
        data = dataset_of(data, f"ChannelPreference(on={self.on!r}).fit", _needed(self))
        usable_threads(threads)
        users, channels, known, user, channel, kind, done, trials, n_machine = counts_of(data, self.on, self.kinds)
        if self.control not in (None, "none") and self.on == "messages":
            check_known([self.control], channels.ids, "ChannelPreference: control", missing=self.missing)
        names, group = groups_of(data, self.groups, users)
        stated = stated_channels(data, self.declared, users, channels, known, missing=self.missing)
        shape = (len(users), len(channels), len(known))
        hits, tries = np.zeros(shape), np.zeros(shape)
        np.add.at(hits, (user, channel, kind), done)
        np.add.at(tries, (user, channel, kind), trials)
        share = self.on == "events"
        if share:  # every event of a kind is a trial on every channel
            tries = np.broadcast_to(tries.sum(axis=1, keepdims=True), shape).copy()
        pooled = pool(hits, tries, group, len(names), stated, self.declared_strength, share=share)
        model = ChannelPreferenceModel(
            self, users, channels, known, names, group.astype(np.int32), *pooled[:4], tries, pooled[4], share, n_machine
        )
        _LOG.info("fit %r", model)
        return model


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ChannelPreferenceModel:
    """The response probability, or the share of activity, by person, channel and kind; made by `ChannelPreference.fit`.

    Attributes
    ----------
    parameters : ChannelPreference
        What was fitted.
    users, channels, kinds, groups : Vocabulary
        Ids and names, in the order of the axes of the tables.
    group : ndarray of shape (n_users,), int32
        Code of each person's group; -1 for none.
    a, b : ndarray of shape (n_users, n_channels, n_kinds)
        Beta posteriors of people in the log.
    group_a, group_b : ndarray of shape (n_groups + 1, n_channels, n_kinds)
        Prior of a new user of a group; the last row is everybody.
    tries : ndarray of shape (n_users, n_channels, n_kinds)
        Messages (or events) behind each.
    strengths : ndarray of shape (n_channels, 3)
        Pseudo-counts with which kinds are shrunk to the person, the person to the group, the group to everybody.
    share : bool
        Whether these are shares of activity.
    n_machine : int
        Bot opens, which are left out.
    """

    parameters: ChannelPreference
    users: Vocabulary
    channels: Vocabulary
    kinds: Vocabulary
    groups: Vocabulary
    group: np.ndarray
    a: np.ndarray
    b: np.ndarray
    group_a: np.ndarray
    group_b: np.ndarray
    tries: np.ndarray
    strengths: np.ndarray
    share: bool
    n_machine: int = 0

    parts: ClassVar[Parts] = {
        "parameters": Value((ChannelPreference,)),
        "users": Ids(people=True),
        **{name: Ids() for name in ("channels", "kinds", "groups")},
        "group": coded("groups", "users", none=True),
        **{name: numbers("users", "channels", "kinds", low=0.0) for name in ("a", "b", "tries")},
        **{name: numbers("beliefs", "channels", "kinds", low=0.0) for name in ("group_a", "group_b")},
        "strengths": numbers("channels", 3, low=0.0, endless=True),
        "share": Flag(),
        "n_machine": Whole(),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        what = "shares of activity" if self.share else "response probabilities"
        return (
            f"ChannelPreferenceModel({what}, {count_of(len(self.users), 'user')}, "
            f"{count_of(len(self.channels), 'channel')}, "
            f"{count_of(len(self.kinds), 'kind')}{left_out(self.n_machine)})"
        )

    _repr_html_ = shown_html

    @says_the_line("model.preference(user_ids, kind=None, data=None, group=None)")
    def preference(
        self,
        user_ids: Any,
        *,
        kind: Any = None,
        data: Dataset | None = None,
        group: Any = None,
    ) -> pd.DataFrame:
        """Return the response rate of each channel per person: ``user_id channel rate sd p_best tries``.

        ``p_best`` is the probability that the channel has the highest rate of those allowed, so "not enough is known"
        is a number: near 1 / channels. It is exact within 1e-6 for independent rates with these Beta posteriors.

        Parameters
        ----------
        user_ids : array-like of shape (n,)
            Any user; unknown ones have the rates of their group, or of everybody.
        kind : str or array-like of shape (n,), optional
            What it is about, for all or per person. Needed where several kinds were learned.
        data : Dataset, optional
            With its ``audience``, only channels with consent and reach at the end of the data are shown: consent is a
            mask, never a preference. Who unsubscribed after one of its ``messages`` has withdrawn it.
        group : str or array-like of shape (n,), optional
            Group of people whom the model does not know, for all or per person, one that it was fitted with; missing
            for none. Known people keep theirs.

        Raises
        ------
        UnknownIdError
            When the model does not know the kind.
        ParameterError
            When a kind is needed and not named, or a group is not one of the model's.
        """
        import pandas as pd

        ids, a, b, tries = self._posterior(user_ids, kind, group)
        open_ = self._allowed(ids, data)
        if self.parameters.control is not None and not self.share:
            open_[:, self.channels.ids == self.parameters.control] = False
        best = best_rate_chances(a, b, open_)
        row, column = np.nonzero(open_)
        rate = a / (a + b)
        sd = np.sqrt(rate * (1.0 - rate) / (a + b + 1.0))
        return pd.DataFrame(
            {
                "user_id": ids[row],
                "channel": self.channels.ids[column],
                "rate": rate[row, column],
                "sd": sd[row, column],
                "p_best": best[row, column],
                "tries": tries[row, column],
            }
        )

    @says_the_line("model.profit(user_ids, kind=None, group=None)")
    def profit(
        self,
        user_ids: Any,
        *,
        kind: Any = None,
        margin: Any = 1.0,
        cost: Mapping[str, float] | None = None,
        fatigue: Mapping[str, float] | None = None,
        group: Any = None,
        missing: str = "raise",
    ) -> np.ndarray:
        """Return what each channel earns with each person beyond doing nothing, float64 (n, n_channels).

        ``(rate - rate of the control) x margin - cost - fatigue``; the control's own column is 0: doing nothing.

        Parameters
        ----------
        user_ids : array-like of shape (n,)
            Any user; unknown ones have the rates of their group, or of everybody.
        kind : str or array-like of shape (n,), optional
            What it is about, for all or per person. Needed where several kinds were learned.
        margin : float or ndarray of shape (n,)
            Value of a response.
        cost, fatigue : mapping of channel to float, optional
            Of one message: what it costs to send, and what it costs in later responses. 0 where not named.
        group : str or array-like of shape (n,), optional
            Group of people whom the model does not know, for all or per person; known people keep theirs.
        missing : {"raise", "ignore"}
            Whether a channel in ``cost`` or ``fatigue`` that the model does not have is an error or means nothing.

        Raises
        ------
        ParameterError
            When the model has shares of activity, a number is not finite, or a channel is not one of the model's.
        """
        if self.share:
            raise ParameterError(
                "profit needs response probabilities, and this model has shares of activity. Fit "
                "ChannelPreference(on='messages')."
            )
        ids, a, b, _ = self._posterior(user_ids, kind, group)
        rate = a / (a + b)
        control = np.flatnonzero(self.channels.ids == self.parameters.control)
        worth = check_numbers(margin, "margin")
        if worth.shape not in ((), (ids.size,)) or not np.isfinite(worth).all():
            raise ParameterError(f"margin must be a finite number, or one per person ({ids.size},). Got {worth.shape}.")
        gain = rate - (rate[:, control] if control.size else 0.0)
        earned = gain * worth.reshape(-1, 1) - self._per_channel(cost, "cost", missing)
        earned -= self._per_channel(fatigue, "fatigue", missing)
        earned[:, control] = 0.0
        return np.asarray(earned)

    @says_the_line("model.best(user_ids, kind=None, data=None, group=None)")
    def best(
        self,
        user_ids: Any,
        *,
        kind: Any = None,
        margin: Any = 1.0,
        cost: Mapping[str, float] | None = None,
        fatigue: Mapping[str, float] | None = None,
        data: Dataset | None = None,
        group: Any = None,
        missing: str = "raise",
    ) -> pd.DataFrame:
        """Return the channel that earns most for each person: ``user_id channel profit rate p_best``.

        Doing nothing is one of the choices: where no allowed channel earns more than it costs, ``channel`` is missing
        and the profit 0. Shares of activity have no profit; there the channel with the largest share is named. Ties go
        to the first channel by name. Parameters as in ``preference`` and ``profit``.
        """
        import pandas as pd

        ids, a, b, _ = self._posterior(user_ids, kind, group)
        open_ = self._allowed(ids, data)
        rate = a / (a + b)
        if self.share:
            if cost is not None or fatigue is not None:
                raise ParameterError("cost and fatigue belong to messages. Fit ChannelPreference(on='messages').")
            earned = rate
        else:
            earned = self.profit(
                ids, kind=kind, margin=margin, cost=cost, fatigue=fatigue, group=group, missing=missing
            )
            open_[:, self.channels.ids == self.parameters.control] = False
        score = np.where(open_, earned, -np.inf)
        row = np.arange(ids.size)
        first = score.argmax(axis=1)
        top = score[row, first]
        sends = top > (-np.inf if self.share else 0.0)
        chosen = np.full(ids.size, None, object)
        chosen[sends] = self.channels.ids[first[sends]]
        columns = {
            "user_id": ids,
            "channel": chosen,
            "profit": np.where(sends, top, 0.0),
            "rate": np.where(sends, rate[row, first], np.nan),
            "p_best": np.where(sends, best_rate_chances(a, b, open_)[row, first], np.nan),
        }
        if self.share:
            columns.pop("profit")
        return pd.DataFrame(columns)

    @says_the_line("model.probability(om.data.Touches.of(data, users, channel='email', at='2025-06-01'))")
    def probability(self, touches: Touches, *, kind: Any = None, group: Any = None) -> np.ndarray:
        """Return the probability that people respond on the channel of each touch.

        Parameters
        ----------
        touches : Touches
            To anybody: people whom the model does not know have the rate of their group, or of everybody.
        kind, group : str or array-like of shape (n,), optional
            As in :meth:`preference`, for all or per touch.

        Returns
        -------
        ndarray of shape (n,), float64
            NaN where a touch has no channel. Instant and item change nothing.

        Raises
        ------
        ParameterError
            When the model has shares of activity, does not know a channel or group, or a kind is needed and not named.
        """
        touches = check_touches(touches, "ChannelPreferenceModel.probability")
        if self.share:
            raise ParameterError(
                "probability is that of a response, and this model has shares of activity. Fit "
                "ChannelPreference(on='messages')."
            )
        used = touches.channels.ids[np.unique(touches.channel[touches.channel >= 0])]
        check_known(used, self.channels.ids, "probability: channels of the touches", missing=None)
        column = np.append(self.channels.codes(touches.channels.ids, missing="none"), NONE)[touches.channel]
        _, a, b, _ = self._posterior(touches.users.ids[touches.user], kind, group)
        row = np.arange(len(touches))
        return np.where(column >= 0, (a / (a + b))[row, column], np.nan)

    def _posterior(self, user_ids: Any, kind: Any, group: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return ids, the Beta posteriors (n, n_channels) and the tries behind them."""
        vocabulary, code = Vocabulary.encode(user_ids, "user_ids")
        column = self._kind_codes(kind, code.size)
        known = self.users.codes(vocabulary.ids, missing="none")[code]
        named, of_row = per_row(group, code.size, "group")
        check_known(named.ids, self.groups.ids, "group: those the model was fitted with", missing=None)
        new = np.append(self.groups.codes(named.ids), NONE)[of_row] if len(named) else of_row
        mine = np.where(known >= 0, self.group[known] if len(self.users) else NONE, new)
        is_known = (known >= 0)[:, None]
        a = np.where(is_known, self.a[known, :, column], self.group_a[mine, :, column])
        b = np.where(is_known, self.b[known, :, column], self.group_b[mine, :, column])
        tries = np.where(is_known, self.tries[known, :, column], 0.0)
        return vocabulary.ids[code], a, b, tries

    def _kind_codes(self, kind: Any, n: int) -> np.ndarray:
        """Return the kind of each row, (n,)."""
        named, code = per_row(kind, n, "kind")
        if kind is None and len(self.kinds) == 1:
            return np.zeros(n, np.int64)
        if kind is None or (code < 0).any():
            raise ParameterError(
                f"kind is missing; this model has {len(self.kinds)} kinds. Name one of model.kinds.ids."
            )
        if unknown := [one for one in named.ids.tolist() if one not in self.kinds]:
            raise UnknownIdError(
                f"kind {shown(unknown[0])} is unknown; this model knows {', '.join(map(repr, self.kinds.ids))}."
            )
        return self.kinds.codes(named.ids)[code].astype(np.int64) if len(named) else np.zeros(n, np.int64)

    def _allowed(self, ids: np.ndarray, data: Dataset | None) -> np.ndarray:
        """Return which channels may be used, (n, n_channels); with an audience, nobody and nothing unasked."""
        if data is None:
            return np.ones((ids.size, len(self.channels)), np.bool_)
        known = dataset_of(data, "best", ("audience",))
        table = open_to(known, self.channels, known.end_us or None, "best")
        row = known.part("audience", "best").users.codes(ids, missing="none")
        return np.asarray(np.pad(table, ((0, 1), (0, 0)))[row])  # -1 is nobody

    def _per_channel(self, numbers: Mapping[str, float] | None, name: str, missing: str) -> np.ndarray:
        found = np.zeros(len(self.channels))
        if numbers is not None and not isinstance(numbers, Mapping):
            raise ParameterError(f"{name} must map a channel to a number, such as {{'email': 0.01}}.")
        given = numbers or {}
        for channel in check_known(given, self.channels.ids, f"{name} names the channel", missing=missing):
            number = given[channel]
            found[int(self.channels.codes([channel])[0])] = check_number(number, f"{name}[{shown(channel)}]")
        return found


def _attribute_names(declared: Any) -> Any:
    """Return names of attributes as a tuple, or by kind."""
    if isinstance(declared, Mapping):
        return ReadOnly({check_names([kind], "declared")[0]: _attribute_names(held) for kind, held in declared.items()})
    if declared is None:
        return None
    if not isinstance(declared, str) and (not isinstance(declared, (list, tuple)) or not declared):
        raise ParameterError(
            "declared must be the name of an attribute of the audience in which people stated their channel, or a list "
            f"of such names. Got {shown(declared)}. What it counts is declared_strength=."
        )
    return check_names([declared] if isinstance(declared, str) else declared, "declared")


def _needed(recipe: ChannelPreference) -> tuple[str, ...]:
    """Return the parts that the parameters need."""
    return (recipe.on, *(("catalog",) if recipe.kinds == "category" else ()))
