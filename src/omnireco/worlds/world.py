"""How a simulated world is drawn: people, days, choices, messages and responses.

Everything here is arrays (people and items by position); the public function is in :mod:`omnireco.worlds.simulate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnireco._core.random import stream
from omnireco._core.units import DAY_US, HOUR_US, SECOND_US, WEEK
from omnireco.data.clock import hour_of_week, local_us
from omnireco.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ARCHETYPES",
    "MESSAGES",
    "PLACES",
    "READING_LIKE",
    "ZONES",
    "Calendar",
    "Truth",
    "draw_catalog",
    "draw_messages",
    "draw_people",
    "draw_users",
    "draw_visits",
    "exposure_at",
    "frozen",
    "response",
    "sending_policy",
]

ARCHETYPES = ("early bird", "office", "evening", "night", "weekend")
ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Asia/Tokyo",
    "Asia/Kolkata",  # UTC+05:30
    "Asia/Kathmandu",  # UTC+05:45
    "Australia/Sydney",
)
PLACES = ("web", "app", "store")  # where people act on their own
MESSAGES = ("email", "push")  # where the company writes to them

QUARTER = HOUR_US // 4  # every zone offset in use is a multiple of 15 minutes
FIRST_USER = 1001

BASE_RESPONSE = np.array([0.10, 0.14])  # of a message to the average person at an average hour
READING_LIKE = ("anyone", "own kind")  # whose week the rest of a person's reading follows
ATTENTION_HOURS = np.array([6.0, 1.5])  # effect decay: time constant of the probability that a message is still read
DELAY_HOURS = 24  # no response later than this
FATIGUE = 0.15  # each message of the last 7 days multiplies the response probability by exp(-FATIGUE)
READING_AGREES = 0.6  # share of the reading profile that is the activity profile
REPEAT = 0.35  # share of wishes that are one of the person's favourites
FAVOURITES = 5
HIGHEST_RESPONSE = 0.95
CLICKED = 0.4  # share of responses that are clicks, in worlds with bot opens


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The ground truth of a simulated world; one row per person or item, in the order of its frames.

    Attributes
    ----------
    archetype : int64 array (n_users,)
        Codes into :data:`ARCHETYPES`.
    hours, reading : float64 arrays (n_users, 168)
        Shares of activity and of reading per local hour of the week, Monday 00:00 first; rows sum to 1.
    zone : object array (n_users,)
        The IANA zone each person lives in, also of those whose zone the company does not know.
    taste : float64 array (n_users, n_tastes)
        Shares of interest per group of items; rows sum to 1.
    group : int64 array (n_items,)
        The group of every item.
    popularity : float64 array (n_items,)
        Share of an item inside its group; sums to 1 per group.
    favourites : int64 array (n_users, 5)
        Item rows that a person buys again and again.
    places : float64 array (n_users, 3)
        Shares of a person's visits on web, app and in the store.
    appetite : float64 array (n_users, 2)
        Responsiveness to e-mail and push, relative to the average of the default world.
    proxy : bool array (n_users,)
        Whether the person's e-mail has bot opens within seconds of delivery.
    fatigue : float
        Each message of the last 7 days multiplies the response probability by ``exp(-fatigue)``.
    """

    archetype: np.ndarray
    hours: np.ndarray
    reading: np.ndarray
    zone: np.ndarray
    taste: np.ndarray
    group: np.ndarray
    popularity: np.ndarray
    favourites: np.ndarray
    places: np.ndarray
    appetite: np.ndarray
    proxy: np.ndarray
    fatigue: float

    def preference(self) -> np.ndarray:
        """Return the probability of each item as a person's next choice, (n_users, n_items); rows sum to 1."""
        wish = (1.0 - REPEAT) * self.taste[:, self.group] * self.popularity
        share = REPEAT / self.favourites.shape[1]
        np.add.at(wish, (np.arange(len(wish))[:, None], self.favourites), share)
        return np.asarray(wish)


# people and items -----------------------------------------------------------------------------------


def _archetype_hours() -> np.ndarray:
    """Return the mean weeks of the archetypes, float64 (5, 168), rows sum to 1."""
    clock = np.arange(24)

    def bump(peak: float, width: float) -> np.ndarray:
        away = np.abs(clock - peak)
        return np.asarray(np.exp(-0.5 * (np.minimum(away, 24 - away) / width) ** 2))

    weekdays, weekend = np.array([1.0] * 5 + [0.0] * 2), np.array([0.0] * 5 + [1.0] * 2)
    weeks = np.stack(
        [
            np.outer(weekdays + 0.6 * weekend, bump(6.5, 1.2)),
            np.outer(weekdays + 0.15 * weekend, bump(10, 1.5) + 0.8 * bump(14.5, 1.5)),
            np.outer(weekdays + 0.9 * weekend, bump(20, 1.6)),
            np.outer(weekdays + weekend, bump(0.5, 1.5)),
            np.outer(0.15 * weekdays + weekend, bump(11, 1.8) + bump(16.5, 1.8)),
        ]
    ).reshape(len(ARCHETYPES), WEEK)
    weeks = weeks / weeks.sum(axis=1, keepdims=True)
    return np.asarray(0.93 * weeks + 0.07 / WEEK)


def draw_people(
    n_users: int,
    zones: Sequence[str],
    group: np.ndarray,
    popularity: np.ndarray,
    n_tastes: int,
    seed: int,
    *,
    reading_like: str = "anyone",
    answer_rate: float = 1.0,
    reading_agrees: float = READING_AGREES,
    fatigue: float = FATIGUE,
    machine_share: float = 0.0,
) -> Truth:
    """Draw the people."""
    rng = stream(seed, "simulate/people")
    weeks = _archetype_hours()
    archetype = rng.choice(len(ARCHETYPES), n_users, p=[0.2, 0.25, 0.3, 0.1, 0.15])
    second = rng.integers(len(ARCHETYPES), size=n_users)
    mean = 0.85 * weeks[archetype] + 0.15 * weeks[second]
    hours = normalised(rng.standard_gamma(90.0 * mean) + 1e-6)
    stranger = rng.integers(len(ARCHETYPES), size=n_users)
    other = weeks[stranger if reading_like == "anyone" else archetype]
    reading = normalised(reading_agrees * hours + (1.0 - reading_agrees) * other)
    zone = np.array(zones, dtype=object)[rng.integers(len(zones), size=n_users)]
    taste = normalised(rng.standard_gamma(0.35, (n_users, n_tastes)) + 1e-6)
    places = normalised(rng.standard_gamma(np.array([1.2, 1.0, 1.4]), (n_users, len(PLACES))) + 1e-6)
    appetite = answer_rate * rng.standard_gamma(2.0, (n_users, len(MESSAGES))) / 2.0
    favourites = draw_wishes(rng, np.repeat(np.arange(n_users), FAVOURITES), taste, group, popularity)
    return Truth(
        archetype=frozen(archetype.astype(np.int64)),
        hours=frozen(hours),
        reading=frozen(reading),
        zone=frozen(zone),
        taste=frozen(taste),
        group=group,
        popularity=popularity,
        favourites=frozen(favourites.reshape(n_users, FAVOURITES)),
        places=frozen(places),
        appetite=frozen(appetite),
        proxy=frozen(stream(seed, "simulate/proxies").random(n_users) < machine_share),
        fatigue=fatigue,
    )


def draw_catalog(n_items: int, n_tastes: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Draw the catalog, and return it with the group and the share in the group of every item."""
    import pandas as pd

    rng = stream(seed, "simulate/items")
    group = np.arange(n_items, dtype=np.int64) % n_tastes
    weight = rng.permutation(1.0 / np.arange(1, n_items + 1) ** 0.7)
    popularity = weight / np.bincount(group, weights=weight)[group]
    price = np.round(np.exp(rng.normal(2.3, 0.6, n_items)), 2)
    digits = len(str(n_items))
    frame = pd.DataFrame(
        {
            "item_id": [f"i{i:0{digits}d}" for i in range(1, n_items + 1)],
            "category": [f"category {chr(65 + g)}" if n_tastes <= 26 else f"category {g}" for g in group],
            "name": [f"Item {i}" for i in range(1, n_items + 1)],
            "price": price,
            "margin": np.round(price * rng.uniform(0.1, 0.5, n_items), 2),
        }
    )
    return frame, frozen(group), frozen(popularity)


def draw_users(
    truth: Truth, without_zone: float, without_consent: float, seed: int, *, wrong_zone: float = 0.0
) -> pd.DataFrame:
    """Draw what the company knows about people: zone (or null), consents, reachability, age."""
    import pandas as pd

    rng = stream(seed, "simulate/users")
    n_users = len(truth.archetype)
    zone = truth.zone.copy()
    if wrong_zone > 0:
        errors = stream(seed, "simulate/wrong zones")
        wrong = np.flatnonzero(errors.random(n_users) < wrong_zone)
        zone[wrong] = zone[errors.integers(n_users, size=wrong.size)]
    zone[rng.random(n_users) < without_zone] = None
    agrees = rng.random(n_users) >= without_consent
    ages = np.array(["18-29", "30-44", "45-64", "65+"], dtype=object)
    return pd.DataFrame(
        {
            "user_id": np.arange(FIRST_USER, FIRST_USER + n_users, dtype=np.int64),
            "timezone": zone,
            "consent_email": agrees & (rng.random(n_users) < 0.85),
            "consent_push": agrees & (rng.random(n_users) < 0.65),
            "reachable_email": np.ones(n_users, dtype=bool),
            "reachable_push": rng.random(n_users) < 0.8,
            "age_group": ages[rng.integers(len(ages), size=n_users)],
        }
    )


# time -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Calendar:
    """The quarter hours of the observed time, sorted by local hour of the week, per zone.

    Instants are only ever mapped to local time: an hour of the week is drawn, then one of the real quarter
    hours in which it is that hour there. Hours that a clock change skips are never drawn.
    """

    start_us: int
    end_us: int
    slots: np.ndarray  # (n_zones, n_slots) slot numbers by hour of week
    first: np.ndarray  # (n_zones, 168) where an hour of week begins in slots
    count: np.ndarray  # (n_zones, 168) how many slots it has

    @classmethod
    def over(cls, start_us: int, days: int, zones: Vocabulary) -> Calendar:
        """Return the quarters of an hour of some days, by zone and local hour of the week."""
        at = start_us + QUARTER * np.arange(days * 96, dtype=np.int64)
        hours = np.stack([hour_of_week(at, np.full(len(at), z, dtype=np.int32), zones) for z in range(len(zones))])
        count = np.stack([np.bincount(row, minlength=WEEK) for row in hours])
        first = np.cumsum(count, axis=1) - count
        slots = np.argsort(hours, axis=1, kind="stable")
        return cls(start_us, start_us + days * DAY_US, slots, first, count)

    def draw(self, rng: np.random.Generator, weeks: np.ndarray, row: np.ndarray, zone: np.ndarray) -> np.ndarray:
        """Return one instant per draw: UTC microseconds, by the week ``weeks[row]`` read in ``zone[row]``."""
        open_weeks = weeks * (self.count[zone] > 0)
        hour = _draw_rows(rng, open_weeks, row)
        zone = zone[row]
        place = self.first[zone, hour] + (rng.random(len(row)) * self.count[zone, hour]).astype(np.int64)
        within = (rng.random(len(row)) * QUARTER).astype(np.int64)
        at = self.start_us + self.slots[zone, place] * QUARTER + within
        return np.asarray(at // SECOND_US * SECOND_US)


# what people do -------------------------------------------------------------------------------------


def draw_visits(
    truth: Truth,
    zone: np.ndarray,
    zones: Vocabulary,
    calendar: Calendar,
    price: np.ndarray,
    mean_sessions: float,
    seed: int,
) -> Mapping[str, np.ndarray]:
    """Draw visits to web, app and store: columns of events, unsorted."""
    rng = stream(seed, "simulate/visits")
    n_users = len(zone)
    rate = rng.standard_gamma(2.0, n_users) / 2.0
    user = np.repeat(np.arange(n_users), rng.poisson(rate * mean_sessions))
    at = calendar.draw(rng, truth.hours, user, zone)
    place = _draw_rows(rng, truth.places, user)
    shut = (place == 2) & ~_shop_is_open(at, zone[user], zones)
    place[shut] = 1  # at night shop visits move to the app

    size = 1 + np.minimum(rng.poisson(0.8, len(user)), 5)
    session = np.repeat(np.arange(len(user)), size)
    step = np.arange(len(session)) - np.repeat(np.cumsum(size) - size, size)
    user, place = user[session], place[session]
    at = at[session] + (step * 120 + rng.integers(0, 90, len(step))) * SECOND_US
    item = _wish(rng, user, truth)
    carted = rng.random(len(item)) < 0.35
    bought = np.where(place == 2, True, carted & (rng.random(len(item)) < 0.5))

    seen = place != 2
    carted &= seen
    parts = [(seen, 0, 0), (carted, 1, 30), (bought, 2, 45)]
    return {
        "user": np.concatenate([user[mask] for mask, _, _ in parts]),
        "item": np.concatenate([item[mask] for mask, _, _ in parts]),
        "place": np.concatenate([place[mask] for mask, _, _ in parts]),
        "at": np.concatenate([at[mask] + delay * SECOND_US for mask, _, delay in parts]),
        "event": np.concatenate([np.full(mask.sum(), code) for mask, code, _ in parts]),
        "value": np.concatenate([price[item[mask]] * (code == 2) for mask, code, _ in parts]),
        "session": np.concatenate([session[mask] for mask, _, _ in parts]),
    }


def _shop_is_open(at: np.ndarray, zone: np.ndarray, zones: Vocabulary) -> np.ndarray:
    hour = hour_of_week(at, zone, zones) % 24
    return np.asarray((hour >= 8) & (hour < 21))


def _wish(rng: np.random.Generator, user: np.ndarray, truth: Truth) -> np.ndarray:
    """Draw one item per row: a favourite, or something of the person's taste."""
    item = draw_wishes(rng, user, truth.taste, truth.group, truth.popularity)
    again = rng.random(len(user)) < REPEAT
    choice = rng.integers(truth.favourites.shape[1], size=len(user))
    return np.where(again, truth.favourites[user, choice], item)


def draw_wishes(
    rng: np.random.Generator, user: np.ndarray, taste: np.ndarray, group: np.ndarray, popularity: np.ndarray
) -> np.ndarray:
    """Draw a group by taste, then an item by its share in the group."""
    n_tastes = taste.shape[1]
    wanted = _draw_rows(rng, taste, user)
    table = np.zeros((n_tastes, len(group)))
    table[group, np.arange(len(group))] = popularity
    return _draw_rows(rng, table, wanted)


# what is sent, and what comes back -------------------------------------------------------------------


def draw_messages(
    truth: Truth,
    users: pd.DataFrame,
    zone: np.ndarray,
    sender_zone: np.ndarray,
    zones: Vocabulary,
    calendar: Calendar,
    mean_messages: float,
    seed: int,
    *,
    unsubscribe: float = 0.0,
) -> Mapping[str, np.ndarray]:
    """Draw messages by the biased policy, and responses by the ground truth."""
    rng = stream(seed, "simulate/messages")
    consent = users[[f"consent_{name}" for name in MESSAGES]].to_numpy(dtype=bool)
    weights = consent * np.array([0.7, 0.3])
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    count = rng.poisson(mean_messages, len(users)) * consent.any(axis=1)
    user = np.repeat(np.arange(len(users)), count)
    channel = _draw_rows(rng, weights, user)
    policy = np.tile(sending_policy(), (len(users), 7))
    at = calendar.draw(rng, policy, user, sender_zone)
    item = rng.choice(len(truth.group), len(user), p=truth.popularity / truth.popularity.sum())
    order = np.lexsort((channel, at, user))
    user, channel, at, item = user[order], channel[order], at[order], item[order]
    leaves = np.zeros(len(user), np.bool_)
    if unsubscribe > 0:
        stay, leaves = _stays(user, unsubscribe * np.exp(truth.fatigue * _recent(user, at)), seed)
        user, channel, at, item, leaves = user[stay], channel[stay], at[stay], item[stay], leaves[stay]

    sender_hour = hour_of_week(at, sender_zone[user], zones) % 24
    propensity = weights[user, channel] * sending_policy()[sender_hour]
    hour = hour_of_week(at, zone[user], zones)
    exposure = np.empty(len(user))
    for code in range(len(MESSAGES)):
        mask = channel == code
        exposure[mask] = exposure_at(truth.reading, user[mask], hour[mask], code)
    probability = response(truth, exposure, user, channel, item, _recent(user, at))
    answered = rng.random(len(user)) < probability
    delay = _delays(rng, truth.reading, user, hour, channel)
    wall = local_us(at, zone[user], zones) % HOUR_US  # how far into the local hour
    rest = np.where(delay == 0, HOUR_US - wall, HOUR_US)
    begins = np.where(delay == 0, at, at - wall + delay * HOUR_US)
    responded = begins + (rng.random(len(user)) * rest).astype(np.int64)
    answered &= responded < calendar.end_us
    responded = np.maximum(responded // SECOND_US * SECOND_US, at)
    opened, clicked = _opens(truth, user, channel, at, answered, responded, seed)
    return {
        "user": user,
        "item": item,
        "channel": channel,
        "sent_at": at,
        "answered": answered,
        "responded_at": responded,
        "propensity": propensity,
        "opened_at": opened,
        "clicked": clicked,
        "leaves": leaves,
    }


def _stays(user: np.ndarray, hazard: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which messages are still sent, and which lead to an unsubscription; rows sorted by user, then time."""
    leaves = stream(seed, "simulate/leavers").random(len(user)) < hazard
    gone: np.ndarray = np.cumsum(leaves) - leaves  # how many had left before, counted from the first row
    begins = np.searchsorted(user, user)
    stay = gone == gone[begins] if len(user) else np.zeros(0, np.bool_)
    return stay, leaves & stay


def _opens(
    truth: Truth,
    user: np.ndarray,
    channel: np.ndarray,
    at: np.ndarray,
    answered: np.ndarray,
    responded: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return when each message was first opened, by person or machine (-1: never), and which responses were clicks."""
    rng = stream(seed, "simulate/machines")
    seconds = np.maximum(rng.lognormal(np.log(4.0), 0.6, len(user)), 1.0).astype(np.int64)
    clicked = answered & (rng.random(len(user)) < CLICKED)
    machine = truth.proxy[user] & (channel == 0)
    opened = np.where(answered, responded, -1)
    early = at + seconds * SECOND_US
    first = machine & ((opened < 0) | (early < opened))
    return np.where(first, early, opened), clicked


def sending_policy() -> np.ndarray:
    """Return the biased sender's probability of each hour of the day: float64 (24,), sums to 1."""
    policy = np.full(24, 0.10 / 24)
    policy[9:18] += 0.30 / 9
    policy[10] += 0.60
    return policy


def _attention(channel: int) -> np.ndarray:
    """Return the weight of being read 0, 1, ... 23 hours after sending; sums to 1."""
    weight = np.exp(-np.arange(DELAY_HOURS) / ATTENTION_HOURS[channel])
    return np.asarray(weight / weight.sum())


def exposure_at(reading: np.ndarray, user: np.ndarray, hour: np.ndarray, channel: int) -> np.ndarray:
    """Return reading in the hours after sending, weighted by attention; 1 is an average hour."""
    total = np.zeros(len(user))
    for delay, weight in enumerate(_attention(channel)):
        total += weight * reading[user, (hour + delay) % WEEK]
    return total * 168.0


def response(
    truth: Truth,
    exposure: np.ndarray,
    user: np.ndarray,
    channel: np.ndarray | np.int64,
    item: np.ndarray | None,
    recent: np.ndarray,
) -> np.ndarray:
    """Return the response probability, from its four factors."""
    liking: np.ndarray | float = 1.0
    if item is not None:
        liking = 0.4 + 0.6 * truth.taste[user, truth.group[item]] * truth.taste.shape[1]
    probability = BASE_RESPONSE[channel] * truth.appetite[user, channel] * exposure * liking
    return np.asarray(np.minimum(probability * np.exp(-truth.fatigue * recent), HIGHEST_RESPONSE))


def _recent(user: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Count each person's messages in the seven days before each; rows sorted by user, then time."""
    if not len(user):
        return np.zeros(0, dtype=np.int64)
    second = (at - at.min()) // SECOND_US
    span = int(second.max()) + 7 * 86_400 + 1
    key = user.astype(np.int64) * span + second
    first = np.searchsorted(key, np.maximum(key - 7 * 86_400, user * span), side="left")
    return np.asarray(np.arange(len(key)) - first)


def _delays(
    rng: np.random.Generator, reading: np.ndarray, user: np.ndarray, hour: np.ndarray, channel: np.ndarray
) -> np.ndarray:
    """Draw after how many hours a response comes, in proportion to attention times reading."""
    attention = np.stack([_attention(code) for code in range(len(MESSAGES))])
    later = (hour[:, None] + np.arange(DELAY_HOURS)) % WEEK
    weight = attention[channel] * reading[user[:, None], later]
    return _draw_rows(rng, weight, np.arange(len(user)))


# helpers --------------------------------------------------------------------------------------------


def _draw_rows(rng: np.random.Generator, weights: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Draw a column for every entry of ``row``, in proportion to ``weights[row]`` (n_rows, n_columns)."""
    cumulative = np.cumsum(weights, axis=1)
    cumulative /= np.maximum(cumulative[:, -1:], 1e-300)
    ladder = (cumulative + np.arange(len(weights))[:, None]).ravel()
    place = np.searchsorted(ladder, row + rng.random(len(row)), side="right")
    return np.asarray(np.minimum(place - row * weights.shape[1], weights.shape[1] - 1))


def normalised(rows: np.ndarray) -> np.ndarray:
    """Return rows that sum to 1."""
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def frozen(array: np.ndarray) -> np.ndarray:
    """Return the array itself, read-only from now on."""
    array.setflags(write=False)
    return array
