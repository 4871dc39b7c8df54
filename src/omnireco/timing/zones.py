"""Inference of unknown time zones, from recorded offsets, shops visited, country and habits."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_instant, check_known, check_mapping, shown
from omnireco._core.compute import row_blocks
from omnireco._core.contract import says_the_line
from omnireco._core.units import DAY_US, MINUTE_US
from omnireco.data.audience import Audience
from omnireco.data.clock import country_zones, hour_of_week, utc_offset
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog
from omnireco.data.frames.zone_names import one_name_each
from omnireco.data.hours import offset_minutes
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError
from omnireco.identity.zones import WORLD, ZonePosterior, check_zone_names
from omnireco.timing.activity import ActivityModel, ActivityProfile, check_activity
from omnireco.timing.sessions import session_starts, timed_events

__all__ = ["infer_zones"]

_LOG = logging.getLogger(__name__)
_TOLD = 0.9975  # how far a zone that the audience knows is believed
_WRONG = 0.00025  # share of days on which a recorded offset is not the clock people live by
_STAY = 0.9  # probability of being in the same zone a day later, before going home is counted
_HOME = 0.995  # of those who move, the share that goes home
_HOME_MATCH = 0.9  # share of recorded days that people spend at home
_HOME_HALF_LIFE = 60.0  # days: people move house
_UNSEEN = 0.5  # people's worth of a zone that the audience does not know
_SMALL = 0.05  # the same for a zone that is not among those that stand for the world
_TEMPERS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_PEOPLE_TO_FIT_ON = 2_000


@says_the_line("om.timing.infer_zones(om.Dataset(log, audience=people))")
def infer_zones(
    data: Any,
    *,
    activity: ActivityProfile | None = None,
    stores: Mapping[Any, str] | None = None,
    country: str | None = None,
    countries: Mapping[str, Iterable[str]] | None = None,
    zones: Iterable[str] | None = None,
    at: Any = None,
) -> ZonePosterior:
    """Return how probable each time zone is for everybody in an audience, now.

    Parameters
    ----------
    data : Dataset
        With ``events``, whose labels ``utc_offset_min`` (minutes east of UTC) or ``timezone`` (IANA names), read with
        ``context=``, are recorded clocks; ``store_id`` is the shop that was visited. With ``audience``, whose zones are
        believed unless recorded clocks disagree for some days: people travel and move.
    activity : ActivityProfile, optional
        Profiles of people whose zone is known are learned: the hours of the others' events are then evidence. It is
        weak: within an hour for about half of the people with ten sessions, and it is weighted only as far as it finds
        the zones of people whose zone is known.
    stores : mapping of store id to IANA zone, optional
        Where the shops are.
    country : str, optional
        An attribute of the audience that holds ISO 3166 codes ("DE").
    countries : mapping of str to zones, optional
        Zones of each country; from the zone database by default.
    zones : iterable of str, optional
        Zones that are possible at all. By default those of the audience, the shops and the countries, and 60 that stand
        for nearly every clock of the world.
    at : date, aware datetime or str, optional
        The instant of the inference; the end of the events by default.

    Returns
    -------
    ZonePosterior

    Raises
    ------
    ParameterError
        When a zone is none, the audience does not have the attribute ``country``, or ``at`` precedes the last event.
    SchemaError
        When the data has no events or no audience.

    Notes
    -----
    Home: the prior is the share of each zone among people with a known zone, within the country; a day with a matching
    recorded offset has the likelihood ratio 9 : 1 (halved every 60 days). Now: a hidden Markov model per day, whose
    state is the zone. People stay where they are (0.9 a day), or go home (199 of 200 moves), or anywhere; a recorded
    clock is wrong one day in 4,000. So the first day with a foreign clock makes the foreign zone possible (both are
    then kept quiet), and the second or third makes it probable. Deterministic; the order of rows does not matter. Cost:
    recorded person-days x zones. People without evidence of their own share a row: a million of them take no memory.

    References
    ----------
    Rabiner (1989), A tutorial on hidden Markov models, Proceedings of the IEEE 77 (the forward filter).

    Examples
    --------
    >>> import pandas as pd, omnireco as om
    >>> days = pd.date_range("2025-01-06", periods=5, freq="D", tz="UTC")
    >>> frame = pd.DataFrame({"user_id": 1, "item_id": "tea", "channel": "app", "event": "view", "timestamp": days,
    ...                       "utc_offset_min": 345})
    >>> log = om.EventLog.from_frame(frame, context=["utc_offset_min"])
    >>> people = om.Audience.from_frame(pd.DataFrame({"user_id": [1], "timezone": [None], "consent_app": True}))
    >>> found, chance = infer_zones(om.Dataset(log, audience=people)).best([1])
    >>> found[0], bool(chance[0] > 0.98)
    ('Asia/Kathmandu', True)
    """
    data = dataset_of(data, "infer_zones", ("events", "audience"))
    log, audience = (data.part(name, "infer_zones") for name in ("events", "audience"))
    check_activity(activity, "activity", none=True)
    now = log.end_us if at is None else check_instant(at, "at")
    if len(log) and now < int(log.at[-1]):
        raise ParameterError("infer_zones: at precedes the last event. Cut first: infer_zones(data.before(at), ...).")
    shops = dict(check_mapping(stores, "stores", "{'s1': 'Europe/Berlin'}"))
    check_zone_names(shops.values() or ("UTC",), "stores")
    inside = _countries(audience, country, countries)
    known = _candidates(audience, shops, inside, zones)
    home = _home_prior(audience, known, inside)
    if activity is not None:
        home = _by_habits(home, log, audience, known, activity.fit(data))
    found = _filtered(home, audience, _recorded(log, audience, known, shops), now // DAY_US, known)
    _LOG.info("found %r", found)
    return found


class _Home(NamedTuple):
    """What is known of homes: distinct rows of probabilities, (R, Z), and the row of everybody, (n,)."""

    table: np.ndarray
    row: np.ndarray

    def mean(self, people: np.ndarray | None = None) -> np.ndarray:
        """Return the mean over people, (Z,)."""
        row = self.row if people is None else self.row[people]
        share = np.bincount(row, minlength=len(self.table)) / max(row.size, 1)
        return np.asarray(share @ self.table)

    def told_apart(self, people: np.ndarray, table: np.ndarray) -> _Home:
        """Return the same where some people have a row of their own."""
        row = self.row.copy()
        row[people] = len(self.table) + np.arange(people.size)
        return _Home(np.concatenate([self.table, table]), row)


class _Clocks(NamedTuple):
    """Recorded clocks, one per person, day and offset: in order of person and day.

    ``fits`` has the zones that agree, a bit each, uint8 (m, Z / 8).
    """

    person: np.ndarray
    day: np.ndarray
    fits: np.ndarray


class _Countries(NamedTuple):
    """The code of everybody's country, and the zones of each country."""

    codes: np.ndarray
    zones: Mapping[int, tuple[str, ...]]


def _countries(
    audience: Audience, country: str | None, countries: Mapping[str, Iterable[str]] | None
) -> _Countries | None:
    """Return the zones of each country code of the audience's attribute."""
    if country is None:
        return None
    if not isinstance(country, str) or country not in audience.attributes:
        raise ParameterError(
            f"country={shown(country)} is not an attribute of the audience. Read it with "
            f"Audience.from_frame(people, attributes=[{shown(country)}])."
        )
    names, codes = audience.attributes[country]
    found: dict[int, tuple[str, ...]] = {}
    for code in np.unique(codes[codes >= 0]).tolist():
        name = str(names.ids[code])
        of_it = countries.get(name, ()) if countries is not None else country_zones(name)
        found[code] = check_zone_names(of_it, f"countries[{shown(name)}]") if of_it else ()
    return _Countries(codes, found)


def _candidates(
    audience: Audience, shops: Mapping[Any, str], inside: _Countries | None, zones: Iterable[str] | None
) -> Vocabulary:
    """Return the zones that are possible; never fewer than those that are known."""
    names = {str(name) for name in audience.zones.ids} | set(shops.values())
    if zones is not None:
        names |= set(check_zone_names(zones, "zones"))
    else:
        names |= set(WORLD)
        for of_country in () if inside is None else inside.zones.values():
            names |= set(of_country)
    return Vocabulary.from_ids(sorted(names))


def _home_prior(audience: Audience, known: Vocabulary, inside: _Countries | None) -> _Home:
    """Return the prior of everybody's home: as the others of their country, or the known zone."""
    n_zones = len(known)
    known_zone = known.codes(audience.zones.ids) if len(audience.zones) else np.empty(0, np.int32)
    zone = np.append(known_zone, np.int32(NONE))[audience.zone]
    count = np.bincount(zone[zone >= 0], minlength=n_zones) + np.where(np.isin(known.ids, WORLD), _UNSEEN, _SMALL)
    country = np.full(len(audience), NONE, np.int64) if inside is None else inside.codes.astype(np.int64)
    cells, row = np.unique((country + 1) * (n_zones + 1) + zone + 1, return_inverse=True)  # at most countries x zones
    country, zone = cells // (n_zones + 1) - 1, cells % (n_zones + 1) - 1
    prior = np.tile(count / count.sum(), (cells.size, 1))
    if inside is not None:
        for code, of_country in inside.zones.items():
            if not any(name in known for name in of_country):
                continue
            mask = np.zeros(n_zones, np.bool_)
            mask[known.codes([name for name in of_country if name in known])] = True
            within = np.where(mask, count, 0.0)
            prior[country == code] = 0.995 * within / within.sum() + 0.005 * count / count.sum()
    sure = np.flatnonzero(zone >= 0)
    prior[sure] *= 1.0 - _TOLD
    prior[sure, zone[sure]] += _TOLD
    return _Home(prior, row.ravel())


def _by_habits(home: _Home, log: EventLog, audience: Audience, known: Vocabulary, activity: ActivityModel) -> _Home:
    """Return the prior updated by the hours of sessions, as far as that finds the zones of people with a known one."""
    log = timed_events(log)
    rows = session_starts(log.user, log.at, 30 * MINUTE_US)
    place = match(audience.users, log.users, ("audience", "events"))[log.user[rows]]
    rows, place = rows[place >= 0], place[place >= 0]
    at, segments = log.at[rows], len(activity.base.pi)
    log_phi = np.log(activity.base.phi)
    known_zone = np.append(known.codes(audience.zones.ids), np.int32(NONE)) if len(audience.zones) else np.array([NONE])
    zone = known_zone[audience.zone]
    unknown = np.flatnonzero((zone < 0) & (np.bincount(place, minlength=len(audience)) > 0))
    judged = np.flatnonzero((zone >= 0) & (np.bincount(place, minlength=len(audience)) > 0))[:_PEOPLE_TO_FIT_ON]

    def evidence(people: np.ndarray, temper: tuple[float, ...]) -> np.ndarray:
        """Return the log likelihood of sessions, (T, m, Z)."""
        code = np.full(len(audience), NONE, np.int64)
        code[people] = np.arange(people.size)
        mine = np.flatnonzero(code[place] >= 0)
        who, when = code[place[mine]], at[mine]
        n = np.bincount(who, minlength=people.size)
        found = np.empty((len(temper), people.size, len(known)))
        for z in range(len(known)):
            hour = hour_of_week(when, np.full(when.size, z, np.int32), known)
            by_segment = np.stack(
                [np.bincount(who, weights=log_phi[g, hour], minlength=people.size) for g in range(segments)], axis=1
            )
            for i, t in enumerate(temper):
                factor = t / (t + n)[:, None] if t else 0.0
                found[i, :, z] = np.logaddexp.reduce(by_segment * factor + np.log(activity.base.pi), axis=1)
        return found

    temper = 2.0
    if judged.size >= 50:  # as if no zone were known: which temper gives the known zones the highest likelihood?
        prior = np.log(home.mean(judged))
        score = evidence(judged, _TEMPERS) + prior
        score -= np.logaddexp.reduce(score, axis=2)[..., None]
        temper = _TEMPERS[int(np.argmax(score[:, np.arange(judged.size), zone[judged]].mean(axis=1)))]
    if not unknown.size or not temper:
        return home
    table = np.empty((unknown.size, len(known)))
    for block in row_blocks(unknown.size, 8 * 3 * len(known)):
        people = unknown[block]
        score = np.log(home.table[home.row[people]]) + evidence(people, (temper,))[0]
        table[block] = np.exp(score - np.logaddexp.reduce(score, axis=1)[:, None])
    return home.told_apart(unknown, table)


def _zones_of_stores(log: EventLog, shops: Mapping[Any, str]) -> tuple[Vocabulary, np.ndarray]:
    """Return zones, and the code of the store's zone per event, -1 for none."""
    if "store_id" not in log.labels:
        raise ParameterError(
            "infer_zones: stores has zones of stores, and the log has no store_id. Map the column: "
            "EventLog.from_frame(frame, columns={'store_id': 'your_column'})."
        )
    (names, code), (known, rank) = log.labels["store_id"], Vocabulary.encode(list(shops), "stores")
    row = match(known, names, ("stores", "events"), column="store_id")
    if len(names) and (row == NONE).all():
        check_known(known.ids, names.ids, "infer_zones: stores", missing=None)
    places, zone = Vocabulary.encode(list(shops.values()), "stores")
    return places, np.append(zone[np.argsort(rank)], np.int32(NONE))[np.append(row, np.int32(NONE))[code]]


def _recorded(log: EventLog, audience: Audience, known: Vocabulary, shops: Mapping[Any, str]) -> _Clocks:
    """Return the recorded clocks of the people of an audience."""
    person = match(audience.users, log.users, ("audience", "events"))[log.user]
    offset = np.full(len(log), np.nan)
    if shops:
        places, zone = _zones_of_stores(log, shops)
        offset = np.where(zone >= 0, utc_offset(log.at, zone, places) / 60e6, offset)
    if "timezone" in log.labels:
        names, zone, _ = one_name_each(*log.labels["timezone"])
        offset = np.where(zone >= 0, utc_offset(log.at, zone, names) / 60e6, offset)
    if "utc_offset_min" in log.labels:
        names, code = log.labels["utc_offset_min"]
        recorded = np.array([offset_minutes(name) for name in names.ids] + [np.nan])[code]
        offset = np.where(np.isfinite(recorded), recorded, offset)
    rows = np.flatnonzero(np.isfinite(offset) & (person >= 0))
    day = log.at[rows] // DAY_US
    key = np.lexsort([offset[rows], day, person[rows]])
    rows, day = rows[key], day[key]
    fresh = np.ones(rows.size, np.bool_)
    fresh[1:] = (
        (person[rows[1:]] != person[rows[:-1]]) | (day[1:] != day[:-1]) | (offset[rows[1:]] != offset[rows[:-1]])
    )
    rows, day = rows[fresh], day[fresh]
    packed = np.empty((rows.size, (len(known) + 7) // 8), np.uint8)
    for block in row_blocks(rows.size, len(known) + 32):
        at, recorded = log.at[rows[block]], offset[rows[block]]
        fits = np.empty((at.size, len(known)), np.bool_)
        for z in range(len(known)):
            fits[:, z] = np.abs(utc_offset(at, np.full(at.size, z, np.int32), known) / 60e6 - recorded) < 0.5
        packed[block] = np.packbits(fits, axis=1)
    any_fits = packed.any(axis=1)  # an offset that no zone keeps says nothing
    return _Clocks(person[rows][any_fits].astype(np.int64), day[any_fits], packed[any_fits])


def _filtered(home: _Home, audience: Audience, clocks: _Clocks, today: int, known: Vocabulary) -> ZonePosterior:
    """Return where everybody is today: the forward filter over their recorded days, people in blocks."""
    elsewhere = 0.5 * home.mean() + 0.5 / len(known)
    people, start = np.unique(clocks.person, return_index=True)
    ends = np.append(start, clocks.person.size)
    row = home.row.copy()
    row[people] = len(home.table) + np.arange(people.size)
    kept, used = np.unique(row, return_inverse=True)  # rows that nobody has any more are left out

    def tables() -> Iterator[np.ndarray]:
        yield home.table[kept[kept < len(home.table)]]
        # a block is at most some 50,000 recorded days, or one person
        cut, n_days = 0, 50_000
        while cut < people.size:
            stop = max(int(np.searchsorted(ends, ends[cut] + n_days, side="right")) - 1, cut + 1)
            part = _Clocks(*(array[ends[cut] : ends[stop]] for array in clocks))
            fits = np.unpackbits(part.fits, axis=1, count=len(known)).astype(np.bool_)
            prior = home.table[home.row[people[cut:stop]]]
            begin, end = ends[cut:stop] - ends[cut], ends[cut + 1 : stop + 1] - ends[cut]
            weight = 0.5 ** ((today - part.day) / _HOME_HALF_LIFE)
            step = np.where(fits, np.log(_HOME_MATCH), np.log(1.0 - _HOME_MATCH)) * weight[:, None]
            settled = np.log(prior) + np.add.reduceat(step, begin, axis=0)
            settled = np.exp(settled - np.logaddexp.reduce(settled, axis=1)[:, None])
            moving = _HOME * settled + (1.0 - _HOME) * elsewhere
            yield _forward(settled, moving, begin, end, part.day, fits, today)
            cut = stop

    return ZonePosterior.from_tables(audience.users, known, used.ravel(), tables())


def _forward(
    settled: np.ndarray,
    moving: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    day: np.ndarray,
    fits: np.ndarray,
    today: int,
) -> np.ndarray:
    """Return the forward filter of a hidden Markov model whose state is the zone, (n, Z).

    People begin as ``settled``, move to ``moving`` with ``1 - _STAY`` a day, and see ``fits`` (m, Z), in which person
    i has the rows start[i]..stop[i], in order of ``day``; a row that does not fit has the probability ``_WRONG``. All
    people are walked side by side, the first recorded day of each, then the second.
    """
    now, last, length = settled.copy(), day[start], stop - start
    order = np.argsort(-length, kind="stable")
    going = order.size
    for step in range(int(length.max(initial=0))):
        going = int(np.searchsorted(-length[order[:going]], -step))  # people with more days than steps so far
        who = order[:going]
        row = start[who] + step
        chance = _moved(now[who], moving[who], day[row] - last[who])
        chance *= np.where(fits[row], 1.0 - _WRONG, _WRONG)
        now[who], last[who] = chance / chance.sum(axis=1, keepdims=True), day[row]
    now = _moved(now, moving, today - last)
    return np.asarray(now / now.sum(axis=1, keepdims=True))


def _moved(now: np.ndarray, moving: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return where people are some days later."""
    kept = (_STAY ** np.maximum(days, 0).astype(np.float64))[:, None]
    return np.asarray(kept * now + (1.0 - kept) * moving)
