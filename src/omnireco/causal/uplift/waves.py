"""Messages of a Dataset as treatments: who was written to at the start of a wave, and what they then did."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_known
from omnireco._core.units import DAY_US
from omnireco.causal.uplift.experiment import Experiment
from omnireco.causal.uplift.features import Feature
from omnireco.data.dataset import Dataset
from omnireco.data.vocabulary import NONE, Vocabulary, unite
from omnireco.errors import EmptyError, ParameterError, SchemaError

__all__ = ["NO_MESSAGE", "Waves", "features_at", "of_messages", "target_events"]

NO_MESSAGE = "no message"
_SPANS = (7, 30, 90)  # days
_TOO_SURE = 4.0  # standard errors by which outcomes before a message may exceed those of people without one


class Waves(NamedTuple):
    """How messages become treatments; durations in microseconds."""

    target: Any
    outcome: str
    arm: str
    horizon: int
    within: int
    n: int | None


def of_messages(data: Dataset, waves: Waves, where: str) -> Experiment:
    """Return one row per person and wave; see :class:`Uplift` for what is a treatment and what its outcome."""
    events, messages = data.events, data.messages
    if waves.target is None:
        raise ParameterError(
            f"{where}: which event is the outcome? Write om.causal.Uplift(target='purchase'), or give an experiment: "
            "om.causal.Experiment.from_frame(...)."
        )
    if events is None or messages is None or not len(messages) or not len(events):
        raise EmptyError(f"{where}: there is no message or no event to learn from.")
    wanted = target_events(events, waves.target, where)
    starts = _starts(data, waves, where)
    users, codes = unite([events.users, messages.users, *_audience(data)], "user_id")
    names, message_arm = _arms_of(messages, waves.arm, where)
    user_of_event, user_of_message = codes[0][events.user], codes[1][messages.user]
    n_users, parts = len(users), []
    first = np.full(n_users, np.iinfo(np.int64).max)
    for code, at in ((user_of_event, events.at), (user_of_message, messages.sent_at)):
        np.minimum.at(first, code, at)
    early = _Early()
    for start in starts:
        people = np.flatnonzero(first < start)
        arm, sent_at = _treated(messages.sent_at, user_of_message, message_arm, (start, start + waves.within), n_users)
        y, done_at = _outcomes(events, user_of_event, wanted, start, waves, n_users)
        early.add(arm[people], sent_at[people], done_at[people], start)
        before, _ = _outcomes(events, user_of_event, wanted, start - waves.horizon, waves, n_users)
        x, px = (
            features_at(data, users, codes, wanted, at)[people] for at in (start, start - waves.horizon)
        )  # what was known before the wave; and before the placebo
        parts.append((people, arm[people], y[people], x, before[people], px))
    early.check(where)
    user, arm, y, x, before, px = (np.concatenate(column) for column in zip(*parts, strict=True))
    used = np.flatnonzero(np.bincount(arm, minlength=len(names) + 1))
    place = np.full(len(names) + 1, NONE)
    place[used] = np.arange(used.size)
    arms = tuple((NO_MESSAGE, *map(str, names.ids))[code] for code in used)
    if 0 not in used:
        raise EmptyError(
            f"{where}: everybody was written to at the start of every wave, so there is no control. Keep some people "
            "out by lot, or choose a shorter within=."
        )
    if used.size == 1:
        raise EmptyError(f"{where}: nobody was written to at the start of any wave: there is no treatment to measure.")
    kept, code = np.unique(user, return_inverse=True)
    return Experiment(
        arms,
        users.take(kept),
        code.astype(np.int32),
        place[arm].astype(np.int32),
        y,
        x,
        tuple(Feature(name) for name in feature_names(data)),
        None,
        None,
        before,
        px,
        _labels(data, users, user),
    )


def feature_names(data: Dataset) -> list[str]:
    """Return a name per feature of :func:`features_at`."""
    found = [f"{what} of {days} days" for what in ("targets", "events", "messages") for days in _SPANS]
    found += ["days since a target", "days since an event", "days known"]
    for name, (values, _) in ({} if data.audience is None else data.audience.attributes).items():
        found += [f"{name}={value}" for value in values.ids[1:]]
    return found


def features_at(data: Dataset, users: Vocabulary, codes: list[np.ndarray], wanted: np.ndarray, at: int) -> np.ndarray:
    """Return what was known of everybody before an instant, (n_users, d): counts and days, logarithms of them."""
    events, messages = data.events, data.messages
    n = len(users)
    columns: list[np.ndarray] = []
    last = np.full((3, n), np.nan)
    logs: list[tuple[np.ndarray, np.ndarray]] = []
    if events is not None:
        user = codes[0][events.user]
        logs += [(user[wanted], events.at[wanted]), (user, events.at)]
    if messages is not None:
        logs.append((codes[1][messages.user], messages.sent_at))
    for row, (user, when) in enumerate(logs):
        for days in _SPANS:
            inside = (when < at) & (when >= at - days * DAY_US)
            columns.append(np.log1p(np.bincount(user[inside], minlength=n)))
        past = when < at
        latest = np.full(n, np.iinfo(np.int64).min)
        np.maximum.at(latest, user[past], when[past])
        last[row] = np.where(latest > np.iinfo(np.int64).min, (at - latest) / DAY_US, np.nan)
    first: np.ndarray = np.full(n, at)
    for user, when in logs[1:]:
        np.minimum.at(first, user, np.minimum(when, at))
    columns += [np.log1p(np.nan_to_num(last[row], nan=365.0)) for row in (0, 1)]
    columns.append(np.log1p((at - first) / DAY_US))
    if data.audience is not None:
        known = len(data.audience.users) > 0
        place = data.audience.users.codes(users.ids, missing="none") if known else np.full(n, NONE)
        for values, code in data.audience.attributes.values():
            mine = np.append(code, np.int32(NONE))[place]
            columns += [(mine == level).astype(np.float64) for level in range(1, len(values))]
    return np.column_stack(columns)


class _Early:
    """Outcomes that came before the message of their wave: with a message that was decided by lot there are few."""

    def __init__(self) -> None:
        self.before, self.expected, self.n = 0.0, 0.0, 0

    def add(self, arm: np.ndarray, sent_at: np.ndarray, done_at: np.ndarray, start: int) -> None:
        treated, control = arm > 0, arm == 0
        if not treated.any() or not control.any():
            return
        self.before += float((done_at[treated] < sent_at[treated]).sum())
        delay = np.sort(done_at[control] - start)
        share = np.searchsorted(delay, sent_at[treated] - start) / delay.size
        self.expected += float(share.sum())
        self.n += int(treated.sum())

    def check(self, where: str) -> None:
        excess = self.before - 2.0 * self.expected
        if excess > _TOO_SURE * np.sqrt(max(self.expected, 1.0)) and excess > 5:
            raise ParameterError(
                f"{where}: {self.before:,.0f} of {self.n:,} messages followed the outcome that they should cause, and "
                f"{self.expected:,.0f} would by chance: they were decided after it, as receipts and thanks are. Leave "
                "such messages out of the Dataset: om.Dataset(log, messages=promotions, audience=people)."
            )


def target_events(events: Any, target: Any, where: str) -> np.ndarray:
    """Return the rows of the events that count."""
    names = (target,) if isinstance(target, str) else tuple(target)
    known = check_known(names, map(str, events.events.ids), f"{where}: target", missing=None)
    return np.flatnonzero(np.isin(events.events.ids[events.event].astype(str), known))


def _starts(data: Dataset, waves: Waves, where: str) -> list[int]:
    """Return the beginnings of the waves, the latest first: whole horizons back from the end of what is known."""
    events, messages = data.events, data.messages
    known_from = min(int(at[0]) for at in (events.at, messages.sent_at))  # type: ignore[union-attr]
    room = (data.end_us - known_from) // waves.horizon - 2
    n = min(room, waves.n or 52)
    if n < 1:
        raise ParameterError(
            f"{where}: the log is shorter than three horizons of {waves.horizon / DAY_US:g} days: one before, one for "
            "the placebo, one for the outcome. Choose a shorter horizon=."
        )
    return [data.end_us - number * waves.horizon for number in range(1, int(n) + 1)]


def _audience(data: Dataset) -> list[Vocabulary]:
    return [] if data.audience is None else [data.audience.users]


def _arms_of(messages: Any, arm: str, where: str) -> tuple[Vocabulary, np.ndarray]:
    """Return the arms and the code of each message's."""
    names, code = {
        "channel": (messages.channels, messages.channel),
        "creative": (messages.creatives, messages.creative),
        "item": (messages.items, messages.item),
    }[arm]
    if not len(names):
        raise SchemaError(f"{where}: no message has {'an' if arm == 'item' else 'a'} {arm}. Write arm='channel'.")
    return names, code


def _treated(
    sent_at: np.ndarray, user: np.ndarray, code: np.ndarray, window: tuple[int, int], n_users: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the arm of each person (0: none), of their first message in the window, and when it was sent."""
    low, high = np.searchsorted(sent_at, window)
    rows = np.arange(low, high)[::-1]
    rows = rows[code[rows] >= 0]
    arm, at = np.zeros(n_users, np.int64), np.full(n_users, np.iinfo(np.int64).min)
    arm[user[rows]] = code[rows] + 1  # the first message is written last
    at[user[rows]] = sent_at[rows]
    return arm, at


def _outcomes(
    events: Any, user: np.ndarray, wanted: np.ndarray, start: int, waves: Waves, n_users: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each person did within the horizon, and when first (the largest instant: never)."""
    at = events.at[wanted]
    rows = wanted[(at >= start) & (at < start + waves.horizon)]
    if waves.outcome == "value":
        if events.value is None:
            raise SchemaError("Uplift.fit: outcome='value' needs events with a value. Write outcome='any'.")
        y = np.bincount(user[rows], weights=np.nan_to_num(events.value[rows]), minlength=n_users)
    else:
        y = np.minimum(np.bincount(user[rows], minlength=n_users), 1).astype(np.float64)
    done = np.full(n_users, np.iinfo(np.int64).max)
    np.minimum.at(done, user[rows], events.at[rows])
    return y, done


def _labels(data: Dataset, users: Vocabulary, user: np.ndarray) -> dict[str, tuple[Vocabulary, np.ndarray]]:
    if data.audience is None or not len(data.audience.users):
        return {}
    row = data.audience.users.codes(users.ids, missing="none")[user]
    return {
        name: (values, np.append(code, np.int32(NONE))[row].astype(np.int32))
        for name, (values, code) in data.audience.attributes.items()
    }
