"""Small simulated worlds with known ground truth: for tests, docs and notebooks.

A world is the data of a company (events, messages, users and items, in the columns that ``from_frame``
takes) with its ground truth: every person's tastes, activity profile, zone, favourite channel and
response probability. So it can be measured whether a method recovers them.

The people: five archetypes of hours (early birds, office, evening, night, weekend), each person a
Dirichlet draw around a mixture of two; a reading profile that agrees only partly with the activity
profile; IANA zones with whole, half and three-quarter hours; tastes for groups of items and a few
favourites that are bought again. Messages were sent by a biased policy (60 % at 10:00, 30 % in office
hours, 10 % at any hour) with logged propensities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import (
    check_array,
    check_choice,
    check_instant,
    check_integer,
    check_kind,
    check_number,
    check_numbers,
    shown,
)
from omnireco._core.compute import Progress, ticker
from omnireco._core.contract import described, says_the_line
from omnireco._core.notebook import shown_html
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.clock import hour_of_week, is_zone
from omnireco.data.dataset import Dataset
from omnireco.data.events import EventLog
from omnireco.data.messages import MessageLog
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, UnknownIdError
from omnireco.worlds.world import (
    ARCHETYPES,
    FATIGUE,
    MESSAGES,
    PLACES,
    READING_AGREES,
    READING_LIKE,
    ZONES,
    Calendar,
    Truth,
    draw_catalog,
    draw_messages,
    draw_people,
    draw_users,
    draw_visits,
    exposure_at,
    frozen,
    response,
    sending_policy,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ARCHETYPES", "Company", "Truth", "World", "sending_policy", "simulate"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class World:
    """A simulated company: its data (frames, and :meth:`dataset`) and the ground truth (``truth``).

    Attributes
    ----------
    events : pandas.DataFrame
        ``user_id item_id channel event timestamp value session_id store_id``, sorted by time. Views, carts
        and purchases on web and app, purchases in the store, a view on e-mail or push for every response.
    messages : pandas.DataFrame
        ``user_id item_id channel sent_at responded_at propensity`` (and ``clicked_at``, ``unsubscribed_at`` in worlds
        with bot opens and with unsubscriptions), sorted by time. The propensity is the probability with which the
        sender chose this channel and this hour of the day.
    users : pandas.DataFrame
        ``user_id timezone consent_email consent_push reachable_email reachable_push age_group``; the zone of
        some is null.
    items : pandas.DataFrame
        ``item_id category name price margin``.
    truth : Truth
        The ground truth.
    """

    events: pd.DataFrame
    messages: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame
    truth: Truth
    _zone_codes: np.ndarray
    _zones: Vocabulary

    def __repr__(self) -> str:
        return (
            f"World(users={len(self.users)}, items={len(self.items)}, "
            f"events={len(self.events)}, messages={len(self.messages)})"
        )

    _repr_html_ = shown_html

    def dataset(self) -> Dataset:
        """Return all that the company sees as one Dataset: events, messages, audience and catalogue.

        Returns
        -------
        Dataset
            ``past, later = world.dataset().split("2025-03-01")`` cuts all of it; ages are attributes of the audience.

        Raises
        ------
        SchemaError, EmptyError
            When the world is so small that nothing happened in it.

        Notes
        -----
        Deterministic; reads the frames anew at each call.

        Examples
        --------
        >>> simulate(50, 20, days=28, seed=1).dataset().events.n_items
        20
        """
        return Dataset(
            EventLog.from_frame(self.events),
            messages=MessageLog.from_frame(self.messages),
            audience=Audience.from_frame(self.users, attributes=["age_group"]),
            catalog=Catalog.from_frame(self.items),
        )

    def response_probability(
        self, user_id: Any, channel: str, sent_at: Any, *, item_id: Any = None, recent: Any = 0
    ) -> np.ndarray:
        """Return the true probability that a person responds to a message within 24 hours.

        It is the base rate of the channel, times the person's responsiveness, times the share of
        reading in the hours that follow (with effect decay), times the taste for the item, times
        ``exp(-fatigue)`` per message of the last seven days; at most 0.95.

        Parameters
        ----------
        user_id : int or array of int (n,)
            Ids from ``users``.
        channel : {"email", "push"}
            The channel of the message.
        sent_at : aware datetime, str, or array of datetimes or int64 UTC microseconds (n,)
            When the message is sent.
        item_id : str or array of str (n,), optional
            Ids from ``items``; None leaves taste out.
        recent : int or array of int (n,)
            Messages that the person got during the seven days before.

        Raises
        ------
        UnknownIdError
            If an id is not one of this world's.
        ParameterError
            If the channel is neither "email" nor "push", or a time has no zone.

        Examples
        --------
        >>> world = simulate(50, 20, days=14, seed=1)
        >>> p = world.response_probability(world.users["user_id"], "email", "2025-01-14T18:00:00Z")
        >>> p.shape, bool((p > 0).all() and (p < 1).all())
        ((50,), True)
        """
        if not isinstance(channel, str) or channel not in MESSAGES:
            raise ParameterError(f"channel must be 'email' or 'push' in a simulated world. Got {shown(channel)}.")
        user = _rows(user_id, self.users["user_id"], "users")
        item = None if item_id is None else _rows(item_id, self.items["item_id"], "items")
        at = _microseconds(sent_at)
        user, at = np.broadcast_arrays(user, at)
        hour = hour_of_week(at.astype(np.int64).ravel(), self._zone_codes[user.ravel()], self._zones)
        code = np.int64(MESSAGES.index(channel))
        exposure = exposure_at(self.truth.reading, user.ravel(), hour, int(code)).reshape(user.shape)
        count = check_numbers(recent, "recent")
        if (count < 0).any():
            raise ParameterError("recent counts messages: give numbers of 0 or more.")
        return response(self.truth, exposure, user, code, item, np.asarray(recent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """How the people and the sender of a simulated world behave, and what the company does not know of them.

    Parameters
    ----------
    zones : sequence of str
        IANA zones that people live in; the first is the company's own.
    n_tastes : int
        Groups of items, and so the length of a person's taste.
    sessions_per_week, messages_per_week : float
        Averages per person.
    share_without_zone, share_without_consent : float
        Shares of people without a known zone, and without any consent.
    share_wrong_zone : float
        Share of people with a wrong zone in the data.
    reading_like : {"anyone", "own kind"}
        Part of a person's reading (``reading_agrees``) is like their activity. The rest follows the week of a random
        archetype, which only their responses reveal; or of their own archetype, which activity reveals too.
    reading_agrees : float
        Share of a person's reading hours that are their hours of activity.
    answer_rate : float
        Multiplies all response probabilities; 1 is some 10 % for e-mail and 14 % for push.
    fatigue : float
        Each message of the seven days before multiplies the response probability by ``exp(-fatigue)``.
    machine_share : float
        Share of people with bot opens: e-mail opened by a machine seconds after delivery. If above 0, ``responded_at``
        is the first open by anybody, and the messages have a column ``clicked_at``.
    unsubscribe : float
        Probability that a message leads to an unsubscription, times ``exp(fatigue)`` per message of the seven days
        before. If above 0, the messages have a column ``unsubscribed_at``, and nothing is sent after it.

    Raises
    ------
    ParameterError
        If a number is outside its range or a zone is not an IANA zone.

    Examples
    --------
    >>> import omnireco as om
    >>> om.worlds.Company(fatigue=0.3)
    Company(fatigue=0.3)
    >>> tired = om.simulate(50, 20, days=28, seed=1, company=om.worlds.Company(fatigue=0.3))
    >>> tired.truth.fatigue
    0.3
    """

    zones: Sequence[str] = ZONES
    n_tastes: int = 4
    sessions_per_week: float = 3.0
    messages_per_week: float = 2.0
    share_without_zone: float = 0.05
    share_without_consent: float = 0.10
    share_wrong_zone: float = 0.0
    reading_like: str = "anyone"
    reading_agrees: float = READING_AGREES
    answer_rate: float = 1.0
    fatigue: float = FATIGUE
    machine_share: float = 0.0
    unsubscribe: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "zones", _check_zones(self.zones))
        check_integer(self.n_tastes, "n_tastes", low=1)
        check_number(self.sessions_per_week, "sessions_per_week", low=0, high=10_000)
        check_number(self.messages_per_week, "messages_per_week", low=0, high=10_000)
        for share in ("without_zone", "without_consent", "wrong_zone"):
            check_number(getattr(self, f"share_{share}"), f"share_{share}", low=0, high=1)
        check_choice(self.reading_like, "reading_like", READING_LIKE)
        check_number(self.reading_agrees, "reading_agrees", low=0, high=1)
        check_number(self.answer_rate, "answer_rate", above=0, high=1e6)
        check_number(self.fatigue, "fatigue", low=0, high=1e6)
        check_number(self.machine_share, "machine_share", low=0, high=1)
        check_number(self.unsubscribe, "unsubscribe", low=0, high=1)

    def __repr__(self) -> str:
        return described(self)

    _repr_html_ = shown_html


@says_the_line("om.simulate(n_users=200, days=90, seed=1, company=om.worlds.Company(fatigue=0.3))")
def simulate(
    n_users: int = 200,
    n_items: int = 60,
    *,
    days: int = 90,
    seed: int = 0,
    start: Any = "2025-01-06",
    company: Company | None = None,
    progress: Progress = False,
) -> World:
    """Return a small simulated world with known ground truth.

    Parameters
    ----------
    n_users, n_items : int
        People and items.
    days : int
        Length of the observed time.
    seed : int
        Equal seeds give equal worlds on every machine.
    start : date, aware datetime or ISO 8601 str
        The first instant; the default is a Monday.
    company : Company, optional
        How people and the sender behave: ``om.worlds.Company(messages_per_week=5, fatigue=0.3)``.
    progress : bool or callable(done, total)
        A bar over the four parts: people, visits, messages, tables.

    Returns
    -------
    World

    Raises
    ------
    ParameterError
        If a number is outside its range.

    Notes
    -----
    Deterministic: every part draws from its own named stream of ``seed``. 10,000 people and 90 days take
    about two seconds. The hourly arrays take ``n_users x 168 x 16`` bytes.

    Examples
    --------
    >>> world = simulate(100, 30, days=28, seed=7)
    >>> sorted(world.events["channel"].unique())
    ['app', 'email', 'push', 'store', 'web']
    >>> world.truth.hours.shape, world.truth.preference().shape
    ((100, 168), (100, 30))
    """
    n_users = check_integer(n_users, "n_users", low=1)
    n_items = check_integer(n_items, "n_items", low=1)
    days = check_integer(days, "days", low=1)
    start_us = check_instant(start, "start")
    habits = Company() if company is None else company
    check_kind(habits, Company, "company", "company=om.worlds.Company(fatigue=0.3)")
    with ticker(4, progress, label="simulate") as tick:
        return _world(n_users, n_items, days, seed, start_us, habits, tick)


def _world(
    n_users: int, n_items: int, days: int, seed: int, start_us: int, habits: Company, tick: Callable[[], object]
) -> World:
    """Draw the catalogue, the people, what they do and what they are sent."""
    names, n_tastes = tuple(habits.zones), min(habits.n_tastes, n_items)

    items, group, popularity = draw_catalog(n_items, n_tastes, seed)
    zone_names = Vocabulary.from_ids(np.array(names, dtype=object))
    truth = draw_people(
        n_users,
        names,
        group,
        popularity,
        n_tastes,
        seed,
        reading_like=habits.reading_like,
        answer_rate=habits.answer_rate,
        reading_agrees=habits.reading_agrees,
        fatigue=habits.fatigue,
        machine_share=habits.machine_share,
    )
    zone = zone_names.codes(truth.zone)
    users = draw_users(
        truth,
        habits.share_without_zone,
        habits.share_without_consent,
        seed,
        wrong_zone=habits.share_wrong_zone,
    )

    tick()
    calendar = Calendar.over(start_us, days, zone_names)
    price = items["price"].to_numpy()
    visits = draw_visits(truth, zone, zone_names, calendar, price, habits.sessions_per_week * days / 7, seed)
    tick()
    home = zone_names.codes(np.array([names[0]], dtype=object))[0]
    believed = zone_names.codes(np.where(users["timezone"].isna(), names[0], users["timezone"]).astype(object))
    sender_zone = np.where(users["timezone"].isna().to_numpy(), home, believed)
    n_messages = habits.messages_per_week * days / 7
    sent = draw_messages(
        truth, users, zone, sender_zone, zone_names, calendar, n_messages, seed, unsubscribe=habits.unsubscribe
    )
    tick()
    made = World(
        events=_event_frame(users, items, visits, sent, calendar.end_us),
        messages=_message_frame(
            users, items, sent, clicks=habits.machine_share > 0, unsubscribes=habits.unsubscribe > 0
        ),
        users=users,
        items=items,
        truth=truth,
        _zone_codes=frozen(zone),
        _zones=zone_names,
    )
    tick()
    return made


# frames ---------------------------------------------------------------------------------------------


def _event_frame(
    users: pd.DataFrame,
    items: pd.DataFrame,
    visits: Mapping[str, np.ndarray],
    sent: Mapping[str, np.ndarray],
    end_us: int,
) -> pd.DataFrame:
    """Join visits and responses to messages into one frame, sorted by time; nothing after the end."""
    import pandas as pd

    answered = np.flatnonzero(sent["answered"])
    n_responses = len(answered)
    place = np.concatenate([visits["place"], len(PLACES) + sent["channel"][answered]])
    at = np.concatenate([visits["at"], sent["responded_at"][answered]])
    user = np.concatenate([visits["user"], sent["user"][answered]])
    item = np.concatenate([visits["item"], sent["item"][answered]])
    event = np.concatenate([visits["event"], np.zeros(n_responses, dtype=np.int64)])
    value = np.concatenate([visits["value"], np.zeros(n_responses)])
    last = int(visits["session"].max(initial=-1)) + 1
    session = np.concatenate([visits["session"], last + np.arange(n_responses)])
    order = np.lexsort((event, item, user, at))
    order = order[at[order] < end_us]
    stores = np.array([f"s{n}" for n in range(1, 6)], dtype=object)
    return pd.DataFrame(
        {
            "user_id": users["user_id"].to_numpy()[user[order]],
            "item_id": items["item_id"].to_numpy()[item[order]],
            "channel": np.array(PLACES + MESSAGES, dtype=object)[place[order]],
            "event": np.array(["view", "add_to_cart", "purchase"], dtype=object)[event[order]],
            "timestamp": _timestamps(at[order]),
            "value": value[order],
            "session_id": session[order],
            "store_id": np.where(place[order] == 2, stores[user[order] % len(stores)], None),
        }
    )


def _message_frame(
    users: pd.DataFrame, items: pd.DataFrame, sent: Mapping[str, np.ndarray], *, clicks: bool, unsubscribes: bool
) -> pd.DataFrame:
    import pandas as pd

    order = np.lexsort((sent["channel"], sent["user"], sent["sent_at"]))
    responded = _timestamps(sent["responded_at"][order])
    opened, leaves = sent["opened_at"][order], sent["leaves"][order]
    optional: dict[str, pd.Series] = {}
    if clicks:
        optional["clicked_at"] = responded.where(sent["clicked"][order])
    if unsubscribes:
        optional["unsubscribed_at"] = _timestamps(sent["sent_at"][order] + 300_000_000).where(leaves)
    return pd.DataFrame(
        {
            "user_id": users["user_id"].to_numpy()[sent["user"][order]],
            "item_id": items["item_id"].to_numpy()[sent["item"][order]],
            "channel": np.array(MESSAGES, dtype=object)[sent["channel"][order]],
            "sent_at": _timestamps(sent["sent_at"][order]),
            "responded_at": _timestamps(np.maximum(opened, 0)).where(opened >= 0),
            "propensity": sent["propensity"][order],
            **optional,
        }
    )


def _timestamps(at: np.ndarray) -> pd.Series:
    import pandas as pd

    return pd.Series(at.astype("datetime64[us]")).dt.tz_localize("UTC")


def _rows(ids: Any, column: pd.Series, where: str) -> np.ndarray:
    """Return the positions of ids in a sorted column of the world."""
    known = column.to_numpy()
    wanted = check_array(ids, f"ids of world.{where}")
    try:
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    except TypeError:
        raise UnknownIdError(
            f"These ids are of another kind than those of world.{where}. Take them from there."
        ) from None
    unknown = known[place] != wanted
    if np.any(unknown):
        raise UnknownIdError(
            f"{int(np.sum(unknown))} of the {np.size(wanted)} ids are not in world.{where}. "
            f"Take them from world.{where}."
        )
    return place


def _microseconds(at: Any) -> np.ndarray:
    """Return instants as int64 UTC microseconds: integers as they are, anything else must have a zone."""
    import pandas as pd

    if isinstance(at, str) or (np.ndim(at) == 0 and not isinstance(at, (int, np.integer))):
        return np.asarray(check_instant(at, "sent_at"), dtype=np.int64)
    values = np.asarray(at)
    if values.dtype.kind in "iu":
        if (np.abs(values.astype(np.float64)) > 2.5e17).any():
            raise ParameterError("sent_at lies outside the years 1 to 9999. Integers are microseconds since 1970, UTC.")
        return values.astype(np.int64)
    series = pd.Series(at)
    if getattr(series.dtype, "tz", None) is None:
        raise ParameterError("sent_at has no time zone. Localize it: series.dt.tz_localize('UTC').")
    return np.asarray(
        series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    )


def _check_zones(zones: Sequence[str]) -> tuple[str, ...]:
    names = (zones,) if isinstance(zones, str) or not isinstance(zones, Iterable) else tuple(zones)
    wrong = [name for name in names if not is_zone(name)]
    if wrong or not names:
        raise ParameterError(
            f"zones must be IANA zones such as 'Europe/Berlin'. Got {', '.join(map(shown, wrong)) or 'none'}."
        )
    return names
