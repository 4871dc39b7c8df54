"""Messages that could be sent and those that were: what every rule looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import check_known, count_of, plain, shown
from omnireco._core.compute import row_blocks
from omnireco._core.contract import says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Array, Maybe, Parts, Record, coded, flags, instants, numbers
from omnireco._core.small import Each, Table, Text
from omnireco._core.units import EPOCH_HOUR, HOUR_US, WEEK
from omnireco.data.asking.requests import label_of
from omnireco.data.audience import Audience
from omnireco.data.clock import local_us
from omnireco.data.holidays import as_sunday, on_holiday
from omnireco.data.messages import NEVER
from omnireco.data.parts import Ids, Labels
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError, SchemaError

__all__ = ["Past", "Touches", "check_touches", "free_days", "holidays_in", "hours_of_touches", "traits_of"]

_NO_IDS = Vocabulary(np.empty(0, object))
_NUMBERS = Table(numbers("n", missing=True))


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Messages already sent, in the codes of the touches they stand beside.

    Attributes
    ----------
    user, channel : int32 arrays, shape (m,)
        ``channel`` is a position in ``Touches.named``; -1 for a channel that stands nowhere there.
    sent_at : int64 array, shape (m,)
        UTC microseconds.
    kinds : tuple of str
        Kinds of these messages.
    kind : int32 array, shape (m,)
        A position in ``kinds``, -1 (for all, by default) where the kind of a message is not known.
    """

    user: np.ndarray
    channel: np.ndarray
    sent_at: np.ndarray
    kinds: tuple[str, ...] = ()
    kind: np.ndarray | None = None

    parts: ClassVar[Parts] = {
        "user": coded("users", "past"),
        "channel": Array(np.int32, ("past",), -1),
        "sent_at": instants("past"),
        "kinds": Each(Text()),
        "kind": Array(np.int32, ("past",), -1),
    }

    def __post_init__(self) -> None:
        if self.kind is None:
            object.__setattr__(self, "kind", np.full(self.user.size, NONE, np.int32))
        _lock(self, "user", "channel", "sent_at", "kind")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Touches:
    """Messages that could be sent: who, what, where, when, and the person's consent and reachability.

    Attributes
    ----------
    users, items, channels : Vocabulary
        Ids and names behind the codes: people, items, channels.
    user, item, channel : int32 arrays, shape (n,)
        Codes into the vocabularies.
    send_at : int64 array, shape (n,)
        UTC microseconds.
    local_at : int64 array, shape (n,)
        The person's own wall clock at that instant, microseconds; the least int64 where the zone is unknown.
    consent, reachable : bool arrays, shape (n,)
        Consent and reachability of that person on that channel.
    past : Past
        Messages that these people had before.
    named : tuple of str
        Every channel that a rule may name: those of the touches in the order of their codes, then further ones of the
        audience and the message log. Those of the touches alone by default.
    labels : mapping of str to (Vocabulary, int32 array of shape (n,))
        What else is known of each touch, such as ``creative_id``; -1 where it is not known.
    holiday : bool array, shape (n,), or None
        Whether the local day is a public holiday of the person's zone: its hours count as those of a Sunday.
    numbers : mapping of str to float64 array of shape (n,)
        What a rule may count by: ``value``, ``probability`` and ``increment`` of each touch, ``reward_cost`` and
        further columns of its value; NaN where one is not known.
    traits : mapping of str to (Vocabulary, int32 array of shape (n_users,))
        What is known of each person: the attributes of the audience, and ``timezone``; -1 where it is not known.

    Examples
    --------
    >>> import omnireco as om
    >>> world = om.simulate(n_users=60, n_items=20, days=60, seed=1)
    >>> data = om.Dataset(om.EventLog.from_frame(world.events), messages=om.MessageLog.from_frame(world.messages),
    ...                   audience=om.Audience.from_frame(world.users))
    >>> Touches.of(data, data.users.ids[:3], channel="email", at="2025-03-10T18:00:00Z")
    Touches(3 touches, 3 users, 1 channel)
    """

    users: Vocabulary
    items: Vocabulary
    channels: Vocabulary
    user: np.ndarray
    item: np.ndarray
    channel: np.ndarray
    send_at: np.ndarray
    local_at: np.ndarray
    consent: np.ndarray
    reachable: np.ndarray
    past: Past
    named: tuple[str, ...] = ()
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]] = field(default_factory=dict)
    holiday: np.ndarray | None = None
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)
    traits: Mapping[str, tuple[Vocabulary, np.ndarray]] = field(default_factory=dict)

    @classmethod
    @says_the_line("om.data.Touches.of(data, users, channel='email', at='2025-06-01T09:00:00Z')")
    def of(
        cls,
        data: Any,
        users: Any,
        *,
        channel: Any,
        at: Any,
        items: Any = None,
        creatives: Any = None,
        new_users: bool = False,
    ) -> Touches:
        """Return messages that could be sent to users of a Dataset, for the response models.

        Parameters
        ----------
        data : Dataset
            What is known of people and channels up to its end.
        users : array-like of ids, shape (n,)
            Somebody may be named more than once.
        channel : str or array-like of str
            For all, or per touch; one of the audience or of the message log.
        at : datetime, date or str, or array of them
            The instant of sending, for all or per touch.
        items, creatives : id or array-like of ids, optional
            For all, or per touch.
        new_users : bool
            Whether ids that no part of the data knows are people without a history (True) or an error (False).

        Returns
        -------
        Touches
            In the order of ``users``. Nobody in them counts as having consented: what may be sent is decided by
            :func:`omnireco.candidates` alone. Local times are unknown where the audience has no zone.

        Raises
        ------
        SchemaError
            When ``data`` is no Dataset.
        UnknownIdError
            When no part of the data knows a person, and ``new_users`` is False.
        ParameterError
            When a channel is missing, or neither the audience nor the message log has it.
        """
        if not hasattr(data, "requests") or isinstance(data, type):
            raise SchemaError(
                f"Touches.of takes a Dataset. Got {type(data).__name__}: write om.Dataset(log, messages=sent, "
                "audience=people)."
            )
        requests = data.requests(users, at=at, channel=channel, new_users=new_users)
        n = len(requests)
        known, code = requests.labels.get("channel", label_of(None, n, "channel"))
        _check_channels(known, code, data)
        goods = label_of(items, n, "items")
        local, holiday = np.full(n, NEVER), None
        traits = traits_of(requests.users, data.audience)
        if data.audience is not None:
            row = match(data.audience.users, requests.users, ("the audience", "the touches"))[requests.user]
            zone = np.append(data.audience.zone, np.int32(NONE))[row]
            local = np.where(zone >= 0, local_us(requests.at, zone, data.audience.zones), NEVER)
            holiday = free_days(data.audience, local, zone)
        nobody = Past(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))
        never = np.zeros(n, np.bool_)
        labels = {} if creatives is None else {"creative_id": label_of(creatives, n, "creatives")}
        parts = (requests.user, goods[1], code, requests.at, local, never, never)
        return cls(requests.users, goods[0], known, *parts, nobody, labels=labels, holiday=holiday, traits=traits)

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "items": Ids(),
        "channels": Ids(text=True),
        "user": coded("users", "n"),
        "item": coded("items", "n", none=True),
        "channel": coded("channels", "n"),
        "send_at": instants("n"),
        "local_at": instants("n", never=True),
        "consent": flags("n"),
        "reachable": flags("n"),
        "past": Record(Past),
        "named": Each(Text()),
        "labels": Labels("n"),
        "holiday": Maybe(flags("n")),
        "numbers": _NUMBERS,
        "traits": Labels("users"),
    }

    def __post_init__(self) -> None:
        if not self.named:
            object.__setattr__(self, "named", tuple(map(str, self.channels.ids)))
        _lock(self, "user", "item", "channel", "send_at", "local_at", "consent", "reachable")
        if self.holiday is not None:
            _lock(self, "holiday")
        for name in ("labels", "numbers", "traits"):
            object.__setattr__(self, name, ReadOnly(getattr(self, name)))
        for _, codes in (*self.labels.values(), *self.traits.values()):
            codes.setflags(write=False)
        for known in self.numbers.values():
            known.setflags(write=False)

    def __len__(self) -> int:
        return int(self.user.size)

    def __repr__(self) -> str:
        size = count_of(len(self), "touch", "touches")
        return f"Touches({size}, {count_of(len(self.users), 'user')}, {count_of(len(self.channels), 'channel')})"

    _repr_html_ = shown_html

    @property
    def zone_known(self) -> np.ndarray:
        """Whether the local time of each touch is known, bool of shape (n,)."""
        return self.local_at != NEVER

    @property
    def hour_of_week(self) -> np.ndarray:
        """The local hour of the week of each touch, 0 = Monday 00:00, int32 of shape (n,); -1 without a zone.

        On a public holiday it is that of a Sunday.
        """
        hour = np.where(self.zone_known, (self.local_at // HOUR_US + EPOCH_HOUR) % WEEK, NONE).astype(np.int32)
        return hour if self.holiday is None else as_sunday(hour, self.holiday)

    def on(self, channels: Sequence[str] | None, where: str = "channels", *, missing: str = "raise") -> np.ndarray:
        """Return which touches use one of the named channels (None: any), bool of shape (n,).

        Parameters
        ----------
        channels : sequence of str, or None
            Names of channels; None means every channel.
        where : str
            Begins the error: ``"QuietHours: channels"``.
        missing : {"raise", "ignore"}
            Whether a name in none of touches, audience and message log is an error: it would switch a rule off.
        """
        return self._is_on(self.channel, channels, where, missing)

    def past_on(self, channels: Sequence[str] | None, where: str = "channels", *, missing: str = "raise") -> np.ndarray:
        """Return which messages of the past used one of the named channels, bool of shape (m,); see :meth:`on`."""
        return self._is_on(self.past.channel, channels, where, missing)

    def take(self, rows: np.ndarray) -> Touches:
        """Return some of the touches, by mask or position."""
        return Touches(
            self.users,
            self.items,
            self.channels,
            self.user[rows],
            self.item[rows],
            self.channel[rows],
            self.send_at[rows],
            self.local_at[rows],
            self.consent[rows],
            self.reachable[rows],
            self.past,
            self.named,
            {name: (known, codes[rows]) for name, (known, codes) in self.labels.items()},
            None if self.holiday is None else self.holiday[rows],
            {name: known[rows] for name, known in self.numbers.items()},
            self.traits,
        )

    @property
    def value(self) -> np.ndarray | None:
        """Value of sending each touch, float64 of shape (n,); None where values are not known yet."""
        return self.numbers.get("value")

    @property
    def probability(self) -> np.ndarray | None:
        """Response probability of each touch, float64 of shape (n,), NaN where unknown; None where all are."""
        return self.numbers.get("probability")

    @property
    def increment(self) -> np.ndarray | None:
        """What each touch adds to the probability of a response, float64 of shape (n,); None where it is not known."""
        return self.numbers.get("increment")

    def label(self, name: str) -> tuple[Vocabulary, np.ndarray]:
        """Return a further column of the touches, -1 for each touch where there is no such column."""
        return self.labels.get(name, (_NO_IDS, np.full(len(self), NONE, np.int32)))

    def trait(self, name: str) -> tuple[Vocabulary, np.ndarray]:
        """Return an attribute of the person of each touch, -1 for each touch where there is no such attribute."""
        known, codes = self.traits.get(name, (_NO_IDS, np.empty(0, np.int32)))
        return known, codes[self.user] if codes.size else np.full(len(self), NONE, np.int32)

    def number(self, name: str) -> np.ndarray:
        """Return a column of numbers, NaN for each touch where there is no such column."""
        return self.numbers.get(name, np.full(len(self), np.nan))

    def _is_on(self, codes: np.ndarray, channels: Sequence[str] | None, where: str, missing: str) -> np.ndarray:
        if channels is None:
            return np.ones(codes.size, np.bool_)
        if self.named:
            channels = check_known(channels, self.named, where, missing=missing)
        wanted = np.zeros(len(self.named) + 1, np.bool_)  # the last stands for -1
        wanted[[code for code, name in enumerate(self.named) if name in channels]] = True
        return wanted[codes]


def traits_of(users: Vocabulary, audience: Audience | None) -> dict[str, tuple[Vocabulary, np.ndarray]]:
    """Return what an audience knows of each of some people: its attributes, and ``timezone``; -1 for strangers."""
    if audience is None:
        return {}
    row = audience.users.codes(users.ids, missing="none")
    known = {**audience.attributes, "timezone": (audience.zones, audience.zone)}
    return {
        name: (words, np.append(codes, np.int32(NONE))[row].astype(np.int32)) for name, (words, codes) in known.items()
    }


def free_days(audience: Audience, local: np.ndarray, zone: np.ndarray) -> np.ndarray | None:
    """Return whether local times of an audience fall on a public holiday, bool; None where it knows none."""
    return None if audience.holidays is None else on_holiday(local, zone, audience.zones, audience.holidays)


def holidays_in(parts: Sequence[Touches]) -> np.ndarray | None:
    """Return which of the touches of all parts, in order, fall on a public holiday; None where no part knows any."""
    if all(part.holiday is None for part in parts):
        return None
    return np.concatenate([np.zeros(len(part), np.bool_) if part.holiday is None else part.holiday for part in parts])


def check_touches(touches: Any, where: str, *, more: str = "") -> Touches:
    """Return touches, or say the line that makes them; ``more`` are further arguments of it."""
    if isinstance(touches, Touches):
        return touches
    raise SchemaError(
        f"{where} takes Touches. Got {type(touches).__name__}. Write om.data.Touches.of(data, users, "
        f"channel='email', at='2025-06-01T09:00:00Z'{more}), or give the touches of candidates: candidates.touches."
    )


def hours_of_touches(
    touches: Touches, table: Callable[[np.ndarray, str], np.ndarray], where: str, *, more: tuple[int, ...] = ()
) -> np.ndarray:
    """Look up, for each touch, its local hour in a table of people by hour, float64 (*more, n).

    Parameters
    ----------
    touches : Touches
    table : callable of (ids, channel) to ndarray of shape (*more, n_people, 169)
        By local hour of the week; the last column is for people without a zone. Read in blocks of people.
    where : str
        Begins an error: ``"SendTimeModel.probability"``.
    more : tuple of int
        How many tables are read at once.
    """
    check_touches(touches, where)
    hour, found = touches.hour_of_week, np.empty((*more, len(touches)))
    for code, name in enumerate(touches.channels.ids):
        mine = np.flatnonzero(touches.channel == code)
        people, place = np.unique(touches.user[mine], return_inverse=True)
        order = np.argsort(place, kind="stable")
        for block in row_blocks(people.size, 24 * 8 * WEEK):
            low, high = np.searchsorted(place[order], [block.start, block.stop])
            some = order[low:high]
            of_people = table(touches.users.ids[people[block]], str(name))
            at = hour[mine[some]]
            found[..., mine[some]] = of_people[..., place[some] - block.start, np.where(at < 0, WEEK, at)]
    return found


def _check_channels(named: Vocabulary, code: np.ndarray, data: Any) -> None:
    """Refuse touches without a channel, and channels that neither the audience nor the message log has."""
    if (code == NONE).any():
        raise ParameterError(
            f"Touches.of: channel is missing for {int((code == NONE).sum()):,} of {code.size:,} touches. Name one: "
            "channel='email', or one per touch."
        )
    tables = [part.channels.ids for part in (data.messages, data.audience) if part is not None]
    known = dict.fromkeys(name for table in tables for name in table)
    strange = [name for name in named.ids if name not in known]
    if known and strange:
        raise ParameterError(
            f"Touches.of: channel must be one of the message log or of the audience "
            f"({', '.join(map(repr, known))}). Got {shown(strange[0])}: add a column "
            f"consent_{plain(strange[0], 'email')} to the audience, where nothing was sent on it yet."
        )


def _lock(holder: Any, *names: str) -> None:
    for name in names:
        array = getattr(holder, name).view()
        array.setflags(write=False)
        object.__setattr__(holder, name, array)
