"""One person at a time: what they did a second ago, on any channel, and what a batch run would answer them now."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from omnireco._core.checks import (
    check_duration,
    check_flag,
    check_instant,
    check_k,
    check_kind,
    shown,
)
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco.data.audience import Audience
from omnireco.data.clock import slots
from omnireco.data.dataset import Dataset
from omnireco.errors import ParameterError
from omnireco.files.io import load_mapped
from omnireco.journeys.unfinished import unfinished
from omnireco.live.answers import Answer, Resumed, State, Touch
from omnireco.live.asking import Ask, Served, audience_of, limits_now, rules_now
from omnireco.live.events import Event, check_id, events_of, read_events
from omnireco.live.person import Person, log_of, messages_of
from omnireco.live.privacy import Receipt, key_of, key_of_user, without_in_file, without_people
from omnireco.live.rules import Rules
from omnireco.live.snapshot import Snapshot
from omnireco.live.store import MemoryStore, Row, Store
from omnireco.planning.choosing import candidates
from omnireco.planning.plan import plan
from omnireco.planning.touch_value import TouchValue

__all__ = ["Live"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_PEOPLE = 100_000  # people whose events stay folded in this process


class Live:
    """Answer one person with what they did a second ago, on any channel, as a batch run over the same log would.

    Events are folded into the person as they come; a snapshot of models is swapped underneath while requests run.
    Unknown people get what most people choose, and items that the model does not know yet are kept until it does.

    Parameters
    ----------
    snapshot : Snapshot or Model
        Models and tables, as a batch job made them.
    rules : Rules, optional
        What events mean, and which messages may be sent; the defaults of :class:`omnireco.live.Rules` otherwise.
    store : Store, optional
        Where events are kept: :class:`MemoryStore` by default; :class:`SQLiteStore` or :class:`RedisStore` outlive the
        process.
    key : bytes, optional
        16 to 64 secret bytes that turn ids into pseudonyms before they reach the store. Keep it elsewhere than the
        data.

    Notes
    -----
    ``recommend`` is the model's own ``recommend`` on a Dataset of one person whose end is ``at``: the same code as the
    batch, on fewer rows. A person's events are folded once and kept in this process; the store's version says whether
    another process has added to them. Reads take no lock. Nothing reads the clock.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=60, n_items=20, days=60, seed=1).dataset()
    >>> live = om.live.Live(om.ALS(factors=8, seed=7, weights=om.Weights(half_life="30D")).fit(data))
    >>> live.observe({"user_id": 7, "event": "view", "channel": "app", "item_id": "i03",
    ...               "timestamp": "2025-03-02T10:00:00Z"})
    (True,)
    >>> live.recommend(7, 3, at="2025-03-02T10:00:01Z")
    Answer(3 items)
    >>> live.recommend(8, 3, at="2025-03-02T10:00:01Z")
    Answer(3 items, cold)
    """

    __slots__ = ("_erasures", "_followed", "_generation", "_key", "_people", "_roles", "_served", "rules", "store")

    def __init__(
        self, snapshot: Any, *, rules: Rules | None = None, store: Store | None = None, key: bytes | None = None
    ) -> None:
        check_kind(rules, Rules, "rules", "om.live.Rules(repeat_after='1h')", none=True)
        check_kind(store, Store, "store", "om.live.SQLiteStore('events.db')", none=True)
        self.rules = Rules() if rules is None else rules
        self.store = MemoryStore() if store is None else store
        self._key = key_of(key)
        self._roles = self.rules.roles
        self._people: dict[str, Person] = {}
        self._followed: Any = None
        self._generation = self.store.generation()
        self._erasures = 0  # whoever reads a person meanwhile must not keep them
        self._served = Served.of(snapshot)
        for note in self.store.unfinished():
            self._finish(note)

    def __repr__(self) -> str:
        return f"Live({self.snapshot.model!r}, {self.store!r})"

    _repr_html_ = shown_html

    @property
    def snapshot(self) -> Snapshot:
        """The models and tables that answer now."""
        return self._served.snapshot

    def swap(self, snapshot: Any) -> None:
        """Answer with other models from now on; requests that are under way end with those they began with."""
        self._served = Served.of(snapshot)

    def observe(self, events: Any) -> tuple[bool, ...]:
        """Take in what happened: one event or several, all of them or none, acknowledged when this returns.

        Parameters
        ----------
        events : mapping, or iterable of mappings
            ``user_id event channel timestamp``, and where there are such ``item_id value event_id consent purpose
            refers_to kind`` (the event that is undone, the message that was answered; the kind of a message that was
            sent). They may come late, and twice under one ``event_id``.

        Returns
        -------
        tuple of bool
            For each, whether it was new.

        Raises
        ------
        SchemaError
            When a field is missing, unknown or of another kind, or an event id stands for another event already.
        IdKindError
            When an item is an integer and those of the model are texts, or the reverse.
        """
        read = read_events(events, self._roles)
        self._served.check(read)
        keys = [key_of_user(user, self._key) for user, _ in read]
        rows = [Row(key, one.event_id, one.at_us, one.body()) for key, (_, one) in zip(keys, read, strict=True)]
        erasures = self._erasures
        done = self.store.append(rows)
        if len(rows) == 1 and done.new[0]:
            self._fold(keys[0], read[0][1], *done.versions[keys[0]])
            self._unless_erased(keys[0], erasures)
        return done.new

    def recommend(
        self,
        user: Any,
        k: int,
        *,
        at: Any,
        channel: str | None = None,
        given: Sequence[Any] = (),
        exclude: Sequence[Any] = (),
        eligible: Any = None,
        exclude_seen: bool = True,
    ) -> Answer:
        """Return the best items for one person at an instant.

        Parameters
        ----------
        user : id
            Somebody unknown gets what most people choose.
        k : int
            Items per list at most, 1 or more.
        at : datetime, date or str
            Now. Events strictly before it count.
        channel : str, optional
            Where the list is shown.
        given : sequence of item ids
            What lies in the basket: it counts as history and is not recommended.
        exclude : sequence of item ids
            What must not be shown. Items that the model does not know are passed over here and in ``given``.
        eligible : optional
            As in :meth:`Model.recommend`; a bool array over ``model.items`` is the quickest.
        exclude_seen : bool
            Leave out what the person has had.

        Returns
        -------
        Answer of (items, scores, cold)
            What the person dislikes is never among them, and what was shown within ``rules.repeat_after`` only where
            nothing else is left.
        """
        k, now, served = check_k(k), check_instant(at, "at"), self._served
        if self.rules.max_age is not None:
            served.snapshot.check_age(now, check_duration(self.rules.max_age, "max_age"))
        person = self._of(user, now, "recommend")
        known = served.known
        barred = {item for item, liked in person.opinions(now).items() if not liked and item in known}
        barred.update(item for item in _items(exclude, "exclude") if item in known)
        basket = [item for item in _items(given, "given") if item in known]
        shown_then: list[Any] = []
        if self.rules.repeat_after is not None:
            since = now - _duration(self.rules.repeat_after)
            shown_then = [item for item in person.impressions(now, since) if item in known and item not in barred]
        ask = Ask(served, person, now, channel, basket, eligible, check_flag(exclude_seen, "exclude_seen"))
        items, scores = ask.best(k, [*barred, *shown_then])
        if shown_then and len(items) < k:
            more, worth = ask.best(k, [*barred, *items])
            room = k - len(items)
            items, scores = np.concatenate([items, more[:room]]), np.concatenate([scores, worth[:room]])
        cold = not basket and not served.knows(person, now)
        return Answer(items, scores, cold)

    def next_touch(self, user: Any, at: Any, channel: str | None = None) -> Touch | None:
        """Return the next message worth sending to one person, or None.

        Parameters
        ----------
        user : id
            Id of the person.
        at : datetime, date or str
            Now: messages leave at or after it, within ``rules.days``.
        channel : str, optional
            Only there; by default on the channels of the rules.

        Raises
        ------
        ParameterError
            When the snapshot has no timing model or no audience.

        Notes
        -----
        The first message of the plan that :func:`omnireco.plan` makes of the person's candidates under the rules. What
        the person dislikes is not offered. ``CoolDown``, ``ServiceWindow`` and ``NotDisliked`` look at what the person
        has done until now, and not at the log that they were made with; where the rules have ``points``, ``Affordable``
        and ``Points`` at what the person has now. A withdrawal on a channel that the audience does not know closes all.
        """
        now, snap = check_instant(at, "at"), self.snapshot
        if snap.timing is None or snap.audience is None:
            lacking = "timing model" if snap.timing is None else "audience"
            raise ParameterError(
                f"next_touch: the snapshot has no {lacking}. Write om.live.Snapshot(model, "
                "timing=om.SendTime().fit(data), audience=people)."
            )
        person = self._of(user, now, "next_touch")
        if "next_touch" in self.rules.purposes and not person.events:
            return None
        data = self.data_of(user, at=at)
        names = [
            name
            for name in self._channels(snap.audience)
            if channel is None or (isinstance(channel, str) and name == channel)
        ]
        if not names:
            return None  # nobody has consented to a channel without consents
        limits = self.rules.per_person
        disliked = [item for item, liked in person.opinions(now).items() if not liked and item in snap.model.items]
        asked = data.requests([person.user], exclude=[disliked] if disliked else None, new_users=True)
        recs = snap.model.recommend(asked, k=3 if limits is None else limits.n_items)
        worth = TouchValue() if self.rules.value is None else self.rules.value
        found = candidates(
            recs,
            data,
            snap.timing,
            slots(at, days=self.rules.days),
            channels=names,
            eligibility=rules_now(self.rules.eligibility, person, now, self.rules.points),
            per_person=limits,
            value=replace(worth, fatigue=snap.fatigue) if worth.fatigue is None else worth,
        )
        limits_of = limits_now(self.rules.constraints, person, now, self.rules.points, snap.audience.channels)
        frame = plan(found, constraints=limits_of).to_frame()
        if not len(frame):
            return None
        first = frame.sort_values("send_at", kind="stable").iloc[0]
        return Touch(
            first["item_id"], first["channel"], first["send_at"], float(first["value"]), float(first["probability"])
        )

    def resume(self, user: Any, *, at: Any, idle: Any = "0s") -> tuple[Resumed, ...]:
        """Return what one person began and did not finish, on whatever device, the latest first.

        What they dislike is left out.

        Parameters
        ----------
        user : id
            Id of the person.
        at : datetime, date or str
            Now; what happens later is not known yet.
        idle : str or timedelta
            What was touched so recently is left out; nothing by default.

        Returns
        -------
        tuple of Resumed
            ``(item_id, channel, begun_at, last_at, touches, position)``: ``channel`` is where it was begun, and with
            ``Rules(position="watch")`` the position is the value of the last such event since, on any channel.
        """
        now = check_instant(at, "at")
        person = self._of(user, now, "resume")
        past = person.before(now)
        if not any(one.event == self.rules.begun for one in past):
            return ()
        log = log_of(person.user, past, ((), ()))
        step = self.rules.position
        known = any(one.event == step and one.value is not None for one in past)
        found = unfinished(
            Dataset(log, end=at),
            at=at,
            begun=self.rules.begun,
            finished=self.rules.finished,
            within=self.rules.within,
            idle="1us" if isinstance(idle, str) and idle == "0s" else idle,
            position=step if known else None,
            missing="ignore",
        )
        barred = {item for item, liked in person.opinions(now).items() if not liked}
        found = found[~found["item_id"].isin(list(barred))]
        names = ("item_id", "channel", "begun_at", "last_at", "touches")
        reached = found["position"].tolist() if known else [np.nan] * len(found)
        where = (None if np.isnan(place) else place for place in reached)
        return tuple(Resumed(*row) for row in zip(*(found[name] for name in names), where, strict=True))

    def state(self, user: Any, *, at: Any) -> State:
        """Return what is known of one person at an instant."""
        now = check_instant(at, "at")
        person = self._of(user, now)
        past, opinions = person.before(now), person.opinions(now)
        visit = person.session(now, check_duration(self.rules.session, "session"))
        known = self._served.known
        return State(
            len(past),
            tuple(dict.fromkeys(one.item for one in visit if one.item is not None)),
            tuple(item for item, liked in opinions.items() if liked),
            tuple(item for item, liked in opinions.items() if not liked),
            person.points(now, self.rules.points),
            len(person.messages(now)),
            {key: yes for key, (_, yes) in person.consents(now, self._ahead()).items()},
            sum(one.item is not None and one.item not in known for one in past),
        )

    def data_of(self, user: Any, *, at: Any) -> Dataset:
        """Return what is known of one person at an instant as a Dataset: what any verb of a batch run takes."""
        now, snap = check_instant(at, "at"), self.snapshot
        person = self._of(user, now)
        return Dataset(
            replace(person.log(now, self._served.names), end_us=now),
            messages=messages_of(person.user, person.messages(now), now),
            audience=audience_of(snap.audience, person, now, self._ahead()),
            catalog=snap.catalog,
            end=at,
        )

    def backfill(self, data: Any) -> int:
        """Take in the events and messages of a Dataset, for people who were there before; return how many were new.

        Events get ids made of what they are, so a second call adds nothing.
        """
        from omnireco.live.backfill import rows_of_data

        check_kind(data, Dataset, "data", "om.Dataset(log, messages=sent)")
        new = 0
        for rows in rows_of_data(data, self._key, self._roles):
            new += sum(self.store.append(rows).new)
        _log.info("backfill: %d events", new)
        return new

    def erase(self, users: Iterable[Any], *, files: Iterable[str | os.PathLike[str]] = ()) -> Receipt:
        """Remove people from the store, from files, and from the snapshot that answers here, with a receipt.

        Parameters
        ----------
        users : iterable of ids
            The people to remove.
        files : iterable of paths
            Saved logs, matrices, models and snapshots to remove them from. Other workers hold an old snapshot until
            they open the new one (:meth:`follow`).

        Returns
        -------
        Receipt
            What was removed, and what awaits the next fit.

        Raises
        ------
        StorageError
            When a file cannot be read: nothing is removed then. When one cannot be written: the erasure stays begun,
            and whoever opens the store next ends it.

        Notes
        -----
        Killed at any moment, it has not begun, or the next ``Live`` on the store finishes it before it answers, as
        ``erase([])`` does. Other workers of the store forget what they remember of anybody before they answer their
        next request, or at their next :meth:`follow`; memory that a process has given back is not overwritten before
        it is used again. An event of these people that is delivered later makes them known again: stop the stream
        first.
        """
        if isinstance(users, (str, bytes, Mapping)) or not isinstance(users, Iterable):
            raise ParameterError(f"erase: users must be a list of ids. Got {shown(users)}: write [user_id].")
        who = list(dict.fromkeys(check_id(user, f"erase: user {place}") for place, user in enumerate(users)))
        keys = [key_of_user(user, self._key) for user in who]
        if isinstance(files, (str, os.PathLike)) or not isinstance(files, Iterable):
            raise ParameterError(
                f"erase: files= takes a list of paths. Got {type(files).__name__}: files=['log.omnireco']."
            )
        listed = list(files)
        if odd := [path for path in listed if not isinstance(path, (str, os.PathLike))]:
            raise ParameterError(f"erase: files= takes a list of paths. One of them is a {type(odd[0]).__name__}.")
        paths = [str(Path(path).absolute()) for path in listed]
        for path in paths:
            load_mapped(path)  # what cannot be read is said before anything is removed
        note = json.dumps([who, paths])
        receipt = self._finish(note, self.store.erase(keys, note=note))
        for late in () if who else self.store.unfinished():
            self._finish(late)
        return receipt

    def _finish(self, note: str, gone: int = 0) -> Receipt:
        """Do what is left of an erasure once the store has removed its rows."""
        who, paths = json.loads(note)
        ids: dict[str, int] = {}
        awaits: list[str] = []
        for path in map(Path, paths):
            name = str(path) if path.name in ids else path.name
            ids[name], due = without_in_file(path, who, self._key) if path.exists() else (0, False)
            awaits += [name] if due else []
        parts, snap = {}, self.snapshot
        for name in ("model", "timing", "fatigue", "audience"):
            if getattr(snap, name) is not None:
                parts[name], ids[name], due = without_people(getattr(snap, name), who, self._key)
                awaits += [name] if due else []
        if any(parts[name] is not getattr(snap, name) for name in parts):
            self.swap(replace(snap, _ready=None, **parts))
        self._erasures += 1
        for user in who:
            self._people.pop(key_of_user(user, self._key), None)
        self.store.finish(note)
        _log.info("erase: %d people, %d events", len(who), gone)
        return Receipt(len(who), gone, ReadOnly(ids), tuple(awaits))

    def follow(
        self, path: str | os.PathLike[str], *, schema: str | None = None, at: Any = None, max_age: Any = None
    ) -> bool:
        """Open a snapshot file when it is another one than the last time, and answer with it; say whether it was.

        ``schema``, ``at`` and ``max_age`` are those of :meth:`Snapshot.open`. When it cannot be opened, the error is
        raised, and the snapshot that answers goes on.
        """
        generation = self.store.generation()
        if generation != self._generation:
            self._forget(generation)
        mark = _mark_of(path)
        if mark is not None and mark == self._followed:
            return False
        self.swap(Snapshot.open(path, schema=schema, at=at, max_age=max_age))
        self._followed = mark
        return True

    def expire(self, before: Any) -> int:
        """Forget what happened before an instant, except consents and withdrawals; return how many events that were."""
        kept = [name for name, role in self._roles.items() if role in ("consent", "unsubscribed", "undo")]
        gone = self.store.expire(check_instant(before, "before"), keep=kept)
        self._erasures += 1
        self._people.clear()
        return gone

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def _of(self, user: Any, now: int, verb: str = "") -> Person:
        """Return what may be used of a person for a purpose: everything, or nothing without their consent."""
        key = key_of_user(user, self._key)
        version, generation = self.store.look(key)
        if generation != self._generation:
            self._forget(generation)
        person = self._people.get(key)
        if person is None or person.version != version:
            person = self._read(check_id(user, "user"), key)
        purpose = self.rules.purposes.get(verb)
        if purpose is not None and not person.allows(purpose, now, self._ahead()):
            return Person.of(person.user, person.version, (), self._roles)
        return person

    def _ahead(self) -> int:
        return 0 if self.rules.ahead is None else _duration(self.rules.ahead)

    def _forget(self, generation: int) -> None:
        """Forget everybody who is remembered here: somebody was erased, maybe by another process, and not by name."""
        self._generation = generation
        self._erasures += 1
        self._people.clear()

    def _read(self, user: Any, key: str) -> Person:
        erasures = self._erasures
        version, held = self.store.read(key)
        rows = sorted(held, key=lambda row: row.at_us)[-self.rules.most :]
        person = Person.of(user, version, events_of(row[1:] for row in rows), self._roles)
        if rows:
            self._keep(key, person)
            self._unless_erased(key, erasures)
        else:  # strangers would fill the memory, and who was erased must not stay in it
            self._people.pop(key, None)
        return person

    def _unless_erased(self, key: str, erasures: int) -> None:
        """Forget somebody again who was read before an erasure and kept after it."""
        if self._erasures != erasures:
            self._people.pop(key, None)

    def _keep(self, key: str, person: Person) -> None:
        people = self._people
        while len(people) >= _PEOPLE:
            with suppress(RuntimeError):  # another thread has just added somebody
                people.pop(next(iter(people), key), None)
        people[key] = person

    def _fold(self, key: str, event: Event, before: int, after: int) -> None:
        person = self._people.get(key)
        if person is None or person.version != before:
            return
        if len(person.events) < self.rules.most:
            self._people[key] = person.with_event(event, after)
        else:
            newest = sorted((*person.events, event), key=Event.order)[-self.rules.most :]
            self._people[key] = Person.of(person.user, after, newest, self._roles)

    def _channels(self, audience: Audience) -> list[str]:
        wanted = self.rules.channels
        return [str(name) for name in audience.channels.ids if wanted is None or name in tuple(wanted)]


@lru_cache(maxsize=64)
def _duration(value: Any) -> int:
    """Return the microseconds of a duration that the rules have checked."""
    return check_duration(value, "repeat_after")


def _mark_of(path: Any) -> tuple[int, ...] | None:
    """Return what tells one file from its successor; None where there is none, which opening it will say."""
    try:
        found = os.stat(path)
    except (OSError, OverflowError, TypeError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _items(ids: Any, name: str) -> list[Any]:
    if isinstance(ids, (str, bytes, Mapping)) or not isinstance(ids, Iterable):
        raise ParameterError(f"recommend: {name} must be a list of item ids. Got {shown(ids)}: write {name}=[item].")
    return list(ids)
