"""On which channel, for which kind of thing: pooled preferences, and the chance that the best is the best."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from omnireco._core.checks import check_choice, check_known, check_number, check_numbers, count_of, no_such, shown
from omnireco._core.parts import Parts, coded, freeze, numbers
from omnireco._core.small import Flag, Value, Whole
from omnireco.choices.propensity import best_rate_chances
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.events import EventLog
from omnireco.data.frames.columns import open_frame
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import EmptyError, ParameterError, SchemaError, UnknownIdError
from omnireco.timing.machines import answers_of_people, left_out

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ChannelPreference", "ChannelPreferenceModel"]

_LOG = logging.getLogger(__name__)
_STRENGTHS = np.geomspace(0.5, 5000.0, 41)
_MOST_CELLS = 100_000
_EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class ChannelPreference:
    """Learns how people answer, or do things, on each channel and for each kind of activity: parameters only.

    A transfer on the web, a loan in the branch: the best channel depends on the person and on what it is about. Nobody
    has enough messages of every kind on every channel, so each chance is pulled to what the person does on the channel
    otherwise, that to the person's group, and that to everybody, as strongly as the log justifies.

    Parameters
    ----------
    declared : float, default 20
        What a preference that somebody stated counts, in messages answered at twice the rate of the best channel (or
        in events done there). It does not fade, and what others do counts no more beside it.
    control : str or None, default "none"
        The channel of a message log that stands for "nothing was sent": its answers happen anyway, and only what a
        channel adds to them is worth money. Without it answers are assumed to be earned by the message. Any name but
        the default must be one of the log.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    References
    ----------
    Gelman et al., Bayesian Data Analysis, chapter 5 (the beta-binomial hierarchy).

    Examples
    --------
    >>> import pandas as pd
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

    declared: float = 20.0
    control: str | None = "none"

    def __post_init__(self) -> None:
        check_number(self.declared, "declared", low=0.0)
        if self.control is not None and not isinstance(self.control, str):
            raise ParameterError(f"control must be the name of a channel, or None. Got {shown(self.control)}.")

    def fit(
        self,
        log: MessageLog | EventLog,
        *,
        kinds: Catalog | str | None = None,
        groups: Any = None,
        declared: Any = None,
        missing: str = "raise",
    ) -> ChannelPreferenceModel:
        """Learn from answers to messages, or from where people do what they do.

        Parameters
        ----------
        log : MessageLog or EventLog
            Messages: the chance of an answer on a channel. Events: the share of a person's events of a kind that
            happens on a channel.
        kinds : Catalog, "event" or None
            What a message or event is about: the category of its item, or (for events) the event itself. None: all one.
        groups : frame, optional
            ``user_id`` and ``group``: people who resemble each other, such as an age band.
        declared : frame, optional
            ``user_id`` and ``channel``, and ``kind`` where it was stated for one only.
        missing : {"raise", "ignore"}
            Whether a declared channel or kind, or a control, that the log does not have is an error or means nothing.

        Returns
        -------
        ChannelPreferenceModel

        Raises
        ------
        SchemaError
            When an argument is not what it should be.
        IdKindError
            When ids of the log are integers and those of a frame strings, or the other way round.
        ParameterError
            When a channel or kind was declared, or a control named, that the log does not have.
        EmptyError
            When there is no message or event.

        Notes
        -----
        Answers that the log flags as machines' (``machine`` of 0.5 or more) are none, unless a click came later; the
        model says how many there were.

        Strengths of pooling maximise the beta-binomial likelihood (type II), one per channel and level; where a
        person's other kinds vouch for a cell, the cell itself is left out of what it is compared with. Deterministic;
        linear in the log. Tables are dense: 24 bytes per person, channel and kind are kept, some 65 to 105 are needed
        while fitting. A million people, 4 channels and 5 kinds keep 0.5 GB and need about 1.3 GB once.
        """
        check_choice(missing, "missing", ("raise", "ignore"))
        users, channels, known, user, channel, kind, done, trials, n_machine = _cells(log, kinds)
        if self.control not in (None, "none") and isinstance(log, MessageLog):
            check_known([self.control], channels.ids, "ChannelPreference: control", missing=missing)
        names, group = _groups(groups, users)
        stated = _declared(declared, users, channels, known, missing)
        shape = (len(users), len(channels), len(known))
        hits, tries = np.zeros(shape), np.zeros(shape)
        np.add.at(hits, (user, channel, kind), done)
        np.add.at(tries, (user, channel, kind), trials)
        share = isinstance(log, EventLog)
        if share:  # every event of a kind is a trial on every channel
            tries = np.broadcast_to(tries.sum(axis=1, keepdims=True), shape).copy()
        model = replace(
            _pooled(self, users, channels, known, names, group, hits, tries, stated, share), n_machine=n_machine
        )
        _LOG.info("fit %r", model)
        return model

    def __getattr__(self, name: str) -> NoReturn:
        """Say how to get a model, when one of its verbs is called on the parameters."""
        no_such(self, name, ("preference", "best", "profit"), "fit(messages)")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ChannelPreferenceModel:
    """The chance of an answer, or the share of activity, by person, channel and kind; made by `ChannelPreference.fit`.

    Attributes
    ----------
    parameters : ChannelPreference
    users, channels, kinds, groups : Vocabulary
    group : ndarray of shape (n_users,), int32
    a, b : ndarray of shape (n_users, n_channels, n_kinds)
        Beta posteriors of people in the log.
    group_a, group_b : ndarray of shape (n_groups + 1, n_channels, n_kinds)
        What is believed of somebody new of a group; the last row is everybody.
    tries : ndarray of shape (n_users, n_channels, n_kinds)
        Messages (or events) behind each.
    strengths : ndarray of shape (n_channels, 3)
        Pseudo-counts with which kinds are pulled to the person, the person to the group, the group to everybody.
    share : bool
        Whether these are shares of activity.
    n_machine : int
        Answers of machines, which did not count.
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
        what = "shares of activity" if self.share else "chances of an answer"
        return (
            f"ChannelPreferenceModel({what}, {count_of(len(self.users), 'user')}, "
            f"{count_of(len(self.channels), 'channel')}, "
            f"{count_of(len(self.kinds), 'kind')}{left_out(self.n_machine)})"
        )

    def preference(
        self,
        user_ids: Any,
        *,
        kind: str | None = None,
        audience: Audience | None = None,
        groups: Any = None,
    ) -> pd.DataFrame:
        """Return what each channel is worth to people: ``user_id channel rate sd p_best tries``.

        ``p_best`` is the probability that the channel has the highest rate of those allowed, so "not enough is known"
        is a number: near 1 / channels. It is exact within 1e-6 for independent rates with these Beta posteriors.

        Parameters
        ----------
        user_ids : array-like of shape (n,)
            Anybody; strangers have the rates of their group, or of everybody.
        kind : str, optional
            Needed where several kinds were learned.
        audience : Audience, optional
            With it only channels with consent and reach are shown: consent is a mask, never a preference.
        groups : frame, optional
            ``user_id`` and ``group`` of strangers; the model must have been fitted with these groups.

        Raises
        ------
        UnknownIdError
            When the model does not know the kind.
        ParameterError
            When a kind is needed and not named, or a group is not one of the model's.
        """
        import pandas as pd

        ids, a, b, tries = self._posterior(user_ids, kind, groups)
        open_ = self._allowed(ids, audience)
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

    def profit(
        self,
        user_ids: Any,
        *,
        kind: str | None = None,
        margin: Any = 1.0,
        cost: Mapping[str, float] | None = None,
        fatigue: Mapping[str, float] | None = None,
        groups: Any = None,
        missing: str = "raise",
    ) -> np.ndarray:
        """Return what each channel earns with each person beyond doing nothing, float64 (n, n_channels).

        ``(rate - rate of the control) x margin - cost - fatigue``; the control's own column is 0: doing nothing.

        Parameters
        ----------
        user_ids : array-like of shape (n,)
        kind : str, optional
        margin : float or ndarray of shape (n,)
            What an answer is worth.
        cost, fatigue : mapping of channel to float, optional
            Of one message: what it costs to send, and what it costs in later answers. 0 where not named.
        groups : frame, optional
        missing : {"raise", "ignore"}
            Whether a channel in ``cost`` or ``fatigue`` that the model does not have is an error or means nothing.

        Raises
        ------
        ParameterError
            When the model has shares of activity, a number is not finite, or a channel is not one of the model's.
        """
        if self.share:
            raise ParameterError(
                "profit needs chances of an answer, and this model has shares of activity. Fit it on a MessageLog."
            )
        ids, a, b, _ = self._posterior(user_ids, kind, groups)
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

    def best(
        self,
        user_ids: Any,
        *,
        kind: str | None = None,
        margin: Any = 1.0,
        cost: Mapping[str, float] | None = None,
        fatigue: Mapping[str, float] | None = None,
        audience: Audience | None = None,
        groups: Any = None,
        missing: str = "raise",
    ) -> pd.DataFrame:
        """Return the channel that earns most for each person: ``user_id channel profit rate p_best``.

        Doing nothing is one of the choices: where no allowed channel earns more than it costs, ``channel`` is missing
        and the profit 0. Shares of activity have no profit; there the channel with the largest share is named. Ties go
        to the first channel by name. Parameters as in ``preference`` and ``profit``.
        """
        import pandas as pd

        ids, a, b, _ = self._posterior(user_ids, kind, groups)
        open_ = self._allowed(ids, audience)
        rate = a / (a + b)
        if self.share:
            if cost is not None or fatigue is not None:
                raise ParameterError("cost and fatigue belong to messages. Fit ChannelPreference on a MessageLog.")
            earned = rate
        else:
            earned = self.profit(
                ids, kind=kind, margin=margin, cost=cost, fatigue=fatigue, groups=groups, missing=missing
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

    def _posterior(
        self, user_ids: Any, kind: str | None, groups: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return ids, the Beta posteriors (n, n_channels) and the tries behind them."""
        if kind is None and len(self.kinds) > 1:
            raise ParameterError(
                f"kind says what it is about; this model knows {len(self.kinds)} kinds. Name one of model.kinds.ids."
            )
        if kind is not None and kind not in self.kinds:
            raise UnknownIdError(
                f"kind {shown(kind)} is unknown; this model knows {', '.join(map(repr, self.kinds.ids))}."
            )
        column = 0 if kind is None else int(self.kinds.codes([kind])[0])
        vocabulary, code = Vocabulary.encode(user_ids, "user_ids")
        known = self.users.codes(vocabulary.ids, missing="none")[code]
        group = _groups(groups, vocabulary, self.groups)[1][code]
        group = np.where(known >= 0, self.group[known] if len(self.users) else NONE, group)
        mine = (known >= 0)[:, None]
        a = np.where(mine, self.a[known, :, column], self.group_a[group, :, column])
        b = np.where(mine, self.b[known, :, column], self.group_b[group, :, column])
        tries = np.where(mine, self.tries[known, :, column], 0.0)
        return vocabulary.ids[code], a, b, tries

    def _allowed(self, ids: np.ndarray, audience: Audience | None) -> np.ndarray:
        """Return which channels may be used, (n, n_channels); with an audience, nobody and nothing unasked."""
        if audience is None:
            return np.ones((ids.size, len(self.channels)), np.bool_)
        if not isinstance(audience, Audience):
            raise ParameterError(
                f"audience must be an Audience, from Audience.from_frame. Got {type(audience).__name__}."
            )
        row = audience.users.codes(ids, missing="none")
        column = audience.channels.codes(self.channels.ids, missing="none")
        table = audience.consent & audience.reachable
        table = np.pad(table, ((0, 1), (0, 1)))  # -1 is nobody, or a channel that nobody was asked about
        return np.asarray(table[row][:, column])

    def _per_channel(self, numbers: Mapping[str, float] | None, name: str, missing: str) -> np.ndarray:
        found = np.zeros(len(self.channels))
        if numbers is not None and not isinstance(numbers, Mapping):
            raise ParameterError(f"{name} must map a channel to a number, such as {{'email': 0.01}}.")
        given = numbers or {}
        for channel in check_known(given, self.channels.ids, f"{name} names the channel", missing=missing):
            number = given[channel]
            found[int(self.channels.codes([channel])[0])] = check_number(number, f"{name}[{shown(channel)}]")
        return found


def _cells(log: Any, kinds: Any) -> tuple[Any, ...]:
    """Return users, channels, kinds, and one row per message or event: codes, successes, trials."""
    if not isinstance(log, (MessageLog, EventLog)):
        raise SchemaError(f"ChannelPreference.fit takes a MessageLog or an EventLog. Got {type(log).__name__}.")
    if not len(log):
        raise EmptyError("ChannelPreference.fit: the log is empty.")
    n = len(log)
    if kinds is None:
        known, kind = Vocabulary(np.array([_EVERYTHING], object)), np.zeros(n, np.int64)
    elif isinstance(kinds, Catalog):
        if kinds.category is None:
            raise SchemaError("kinds: the catalogue has no category. Add the column to Catalog.from_frame.")
        row = match(kinds.items, log.items, ("the catalogue", "the log"), column="item_id")
        item = np.where(log.item >= 0, row[log.item] if len(row) else NONE, NONE)
        known, code = kinds.category[0], np.append(kinds.category[1], NONE)
        kind = code[item].astype(np.int64)
    elif isinstance(kinds, str) and kinds == "event" and isinstance(log, EventLog):
        known, kind = log.events, log.event.astype(np.int64)
    else:
        raise ParameterError(f"kinds must be a Catalog, or 'event' for an EventLog, or None. Got {shown(kinds)}.")
    rows = np.flatnonzero(kind >= 0)
    if not rows.size:
        raise EmptyError("ChannelPreference.fit: no message or event has an item with a category.")
    done, n_machine = np.ones(rows.size), 0
    if isinstance(log, MessageLog):
        answered_at, n_machine = answers_of_people(log)
        done = (answered_at[rows] != NEVER).astype(np.float64)
    codes = (log.user[rows], log.channel[rows], kind[rows])
    return log.users, log.channels, known, *codes, done, np.ones(rows.size), n_machine


def _groups(frame: Any, users: Vocabulary, known: Vocabulary | None = None) -> tuple[Vocabulary, np.ndarray]:
    """Return the groups and the group of each user, -1 for none."""
    none = Vocabulary(np.empty(0, object)) if known is None else known
    if frame is None:
        return none, np.full(len(users), NONE, np.int64)
    opened = open_frame(frame, "ChannelPreference groups", needed=("user_id", "group"))
    people, person = opened.ids("user_id")
    names, name = opened.ids("group", allow_missing=True)
    if len(people) < person.size:
        raise SchemaError(f"groups: {person.size - len(people):,} people are listed twice. Each has one group.")
    if known is None:
        codes = match(people, users, ("groups", "the log"))
        code = name
    else:
        check_known(names.ids, known.ids, "groups: those the model was fitted with")
        codes = people.codes(users.ids, missing="none")
        code = known.codes(names.ids)[name] if len(names) else name
    of_person = np.full(len(people) + 1, NONE, np.int64)
    of_person[person] = code
    return names if known is None else known, of_person[codes]


def _declared(frame: Any, users: Vocabulary, channels: Vocabulary, kinds: Vocabulary, missing: str) -> np.ndarray:
    """Return which channel was asked for, bool (n_users, n_channels, n_kinds); people outside the log are left out."""
    stated = np.zeros((len(users), len(channels), len(kinds)), np.bool_)
    if frame is None:
        return stated
    opened = open_frame(frame, "ChannelPreference declared", needed=("user_id", "channel"), optional=("kind",))
    people, person = opened.ids("user_id")
    names, name = opened.names("channel")
    check_known(names.ids, channels.ids, "ChannelPreference declared: channels", missing=missing)
    row = match(users, people, ("the log", "declared"))[person]
    column = channels.codes(names.ids, missing="none")[name]
    if "kind" in opened:
        some, kind = opened.names("kind", allow_missing=True)
        check_known(some.ids, kinds.ids, "ChannelPreference declared: kinds", missing=missing)
        code = np.append(kinds.codes(some.ids, missing="none"), NONE - 1)[kind]  # -2: for every kind
    else:
        code = np.full(row.size, NONE - 1)
    ok = (row >= 0) & (column >= 0) & (code != NONE)
    one = ok & (code >= 0)
    stated[row[one], column[one], code[one]] = True
    every = ok & (code < NONE)
    stated[row[every], column[every]] = True
    return stated


def _pooled(
    parameters: ChannelPreference, users: Vocabulary, channels: Vocabulary, kinds: Vocabulary, groups: Vocabulary,
    group: np.ndarray, hits: np.ndarray, tries: np.ndarray, stated: np.ndarray, share: bool,
) -> ChannelPreferenceModel:  # fmt: skip
    """Pool cells: kind of person <- person <- group <- everybody."""
    n_channels, n_kinds = hits.shape[1:]
    n_groups = len(groups)
    strengths = np.empty((n_channels, 3))
    a, b = np.empty(hits.shape), np.empty(hits.shape)
    prior = np.empty((n_groups + 1, n_channels, n_kinds))
    for c in range(n_channels):
        s, n = hits[:, c], tries[:, c]
        overall = (s.sum() + 0.5) / (n.sum() + 1.0)
        everybody = (s.sum(axis=0) + 2.0 * overall) / (n.sum(axis=0) + 2.0)
        s_group, n_group = np.zeros((n_groups + 1, n_kinds)), np.zeros((n_groups + 1, n_kinds))
        np.add.at(s_group, group, s)
        np.add.at(n_group, group, n)
        s_group[-1] = n_group[-1] = 0.0  # people without a group are like everybody
        strengths[c, 2] = _strength(s_group, n_group, np.broadcast_to(everybody, n_group.shape))
        of_group = (s_group + strengths[c, 2] * everybody) / (n_group + strengths[c, 2])
        prior[:, c] = of_group
        base = of_group[group]
        expected, total = (n * base).sum(axis=1), n.sum(axis=1)
        mean = np.where(total > 0, expected / np.maximum(total, 1e-12), overall)
        strengths[c, 1] = _strength(s.sum(axis=1), total, mean)
        # What the person does on this channel for other kinds, beyond what the group would.
        s_else, n_else = s.sum(axis=1, keepdims=True) - s, total[:, None] - n
        e_else = np.maximum(expected[:, None] - n * base, 0.0)
        mean_else = np.where(n_else > 0, e_else / np.maximum(n_else, 1e-12), overall)
        tilt = (s_else + strengths[c, 1] * mean_else) / (n_else + strengths[c, 1]) / np.maximum(mean_else, 1e-12)
        centre = np.clip(base * tilt, 1e-6, 1.0 - 1e-6)
        strengths[c, 0] = _strength(s, n, centre) if n_kinds > 1 else strengths[c, 1]
        # Whoever stated a preference is not taken for like the others with more weight than the statement has.
        told = stated.any(axis=1) if share else stated[:, c]
        strength = np.where(told, min(strengths[c, 0], max(parameters.declared, 1.0)), strengths[c, 0])
        a[:, c] = s + strength * centre
        b[:, c] = n - s + strength * (1.0 - centre)
    if share:
        told = stated.any(axis=1, keepdims=True)
        a += parameters.declared * stated
        b += parameters.declared * (told & ~stated)
    else:
        rate = np.minimum(2.0 * (a / (a + b)).max(axis=1, keepdims=True), 0.99)
        a += parameters.declared * stated * rate
        b += parameters.declared * stated * (1.0 - rate)
    weight = strengths[None, :, 1:2]
    return ChannelPreferenceModel(
        parameters, users, channels, kinds, groups, group.astype(np.int32), a, b, prior * weight,
        (1.0 - prior) * weight, tries, strengths, share,
    )  # fmt: skip


def _strength(s: np.ndarray, n: np.ndarray, mean: np.ndarray) -> float:
    """Return the pseudo-count that makes the counts most likely, each a draw of a Beta around its mean."""
    from scipy.special import betaln

    some = np.flatnonzero(n.ravel() > 0)
    if some.size < 3:
        return 10.0
    if some.size > _MOST_CELLS:
        some = some[:: some.size // _MOST_CELLS + 1]
    s, n, mean = (array.ravel()[some] for array in (s, n, mean))
    mean = np.clip(mean, 1e-6, 1.0 - 1e-6)
    found = [
        float(np.sum(betaln(s + k * mean, n - s + k * (1.0 - mean)) - betaln(k * mean, k * (1.0 - mean))))
        for k in _STRENGTHS
    ]
    return float(_STRENGTHS[int(np.argmax(found))])
