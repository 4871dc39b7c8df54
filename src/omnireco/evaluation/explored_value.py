"""What a plan would have earned without its exploration, from the messages that were sent."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from omnireco._core.checks import check_duration, check_kind, count_of
from omnireco._core.contract import says_the_line
from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.off_policy import OffPolicy, off_policy
from omnireco.data.dataset import dataset_of
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import NONE, match
from omnireco.errors import DataWarning, EmptyError, ParameterError
from omnireco.planning.plan import Plan
from omnireco.timing.machines import answers_of_people

__all__ = ["explored_value"]

_FEW = 0.5  # of the touches sent, found in the log


@says_the_line("om.evaluation.explored_value(plan, om.MessageLog.from_frame(sent))")
def explored_value(
    plan: Plan, data: Any, *, within: Any = "1h", least_effective: float = 100, confidence: float = 0.95
) -> OffPolicy:
    """Estimate the responses per message that a plan earns without exploration, from the log of the explored plan.

    Parameters
    ----------
    plan : Plan
        Made with ``explore=``.
    data : Dataset or MessageLog
        What was sent, and what came back. Messages that the plan does not know are left out.
    within : duration
        How far from ``send_at`` a message may have left.
    least_effective, confidence
        As in :func:`omnireco.causal.off_policy`.

    Returns
    -------
    OffPolicy
        The policy ``"planned"``: the best touch always. Its lift is what exploration cost per message.

    Raises
    ------
    SchemaError
        When there are no messages.
    ParameterError
        When the plan was not explored.
    EmptyError
        When no message is one of the plan.

    Warns
    -----
    DataWarning
        When less than half of the plan is in the log.

    Notes
    -----
    A message that stands in its place weighs 1 / propensity, one that stands for another weighs 0: unbiased by design,
    since the lots are the plan's own. It is a value of the people who were written to. Deterministic; O(n log n).

    References
    ----------
    Horvitz and Thompson (1952), "A Generalization of Sampling Without Replacement from a Finite Universe".

    Examples
    --------
    >>> import numpy as np, pandas as pd, omnireco as om
    >>> n = 2000
    >>> frame = pd.DataFrame({"user_id": np.repeat(np.arange(n), 2), "item_id": ["a", "b"] * n, "channel": "push",
    ...                       "send_at": pd.Timestamp("2025-06-01 09:00", tz="UTC"), "value": [0.3, 0.2] * n})
    >>> made = om.plan(om.planning.Candidates.from_frame(frame), constraints=[om.FrequencyCap(1)], explore=0.2)
    >>> sent = made.to_frame().rename(columns={"send_at": "sent_at"})
    >>> read = np.random.default_rng(0).random(n) < np.where(sent["item_id"] == "a", 0.3, 0.2)
    >>> sent["responded_at"] = (sent["sent_at"] + pd.Timedelta("1h")).where(read)
    >>> log = om.MessageLog.from_frame(sent[["user_id", "item_id", "channel", "sent_at", "responded_at"]])
    >>> explored_value(made, log).table[["policy", "estimator", "value"]].round(2).values.tolist()
    [['planned', 'ips', 0.3], ['planned', 'snips', 0.3]]
    """
    check_kind(plan, Plan, "plan", "om.plan(touches, constraints=[...], explore=0.05)")
    if plan.exploration is None:
        raise ParameterError(
            "explored_value: this plan was not explored, so its log says nothing of what else there is. Write "
            "om.plan(touches, constraints=[...], explore=0.05)."
        )
    length = check_duration(within, "within")
    messages: Any = dataset_of(data, "explored_value", ("messages",)).messages
    sent = np.flatnonzero(plan.reason == 0)
    row, touch = _met(plan, messages, sent, length)
    if not row.size:
        raise EmptyError(
            f"explored_value: none of {count_of(len(messages), 'message')} is one of the plan's "
            f"{count_of(sent.size, 'touch', 'touches')}. Give the log of what this plan sent, or widen within=."
        )
    if row.size < _FEW * sent.size:
        warnings.warn(
            f"explored_value: {row.size:,} of the plan's {count_of(sent.size, 'touch', 'touches')} are in the log. "
            "What is missing must be missing whatever was sent.",
            DataWarning,
            stacklevel=3,
        )
    answered_at, n_machine = answers_of_people(messages)
    logged = LoggedDecisions(
        (answered_at[row] != NEVER).astype(np.float64),
        plan.exploration.propensity[touch],
        people=messages.users.ids[messages.user[row]],
        n_machine=n_machine,
    )
    chance = plan.exploration.planned[touch].astype(np.float64)
    return off_policy(logged, {"planned": chance}, least_effective=least_effective, confidence=confidence)


def _met(plan: Plan, messages: Any, sent: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return messages and the touches that they are, each at most once: nearest in time, the earlier of equals."""
    t = plan.touches.touches
    pairs = (
        (messages.users, t.users, "user_id", messages.user),
        (messages.items, t.items, "item_id", messages.item),
        (messages.channels, t.channels, "channel", messages.channel),
    )
    codes = []
    for theirs, ours, column, code in pairs:
        table = match(ours, theirs, ("the plan", "the messages"), column=column)
        codes.append(np.append(table, np.int32(NONE))[code].astype(np.int64))
    known = np.flatnonzero(np.all([code >= 0 for code in codes], axis=0))
    user, item, channel = (code[known] for code in codes)
    shape = (max(1, len(t.items)), max(1, len(t.channels)))
    key = (user * shape[0] + item) * shape[1] + channel
    ours = (t.user[sent].astype(np.int64) * shape[0] + t.item[sent]) * shape[1] + t.channel[sent]
    order = np.lexsort((t.send_at[sent], ours))
    low, high = (np.searchsorted(ours[order], key, side=side) for side in ("left", "right"))
    best, touch = np.full(key.size, length + 1), np.full(key.size, NONE, np.int64)
    for step in range(int((high - low).max(initial=0))):
        now = np.flatnonzero(low + step < high)
        one = sent[order[low[now] + step]]
        away = np.abs(messages.sent_at[known[now]] - t.send_at[one])
        closer = away < best[now]
        best[now[closer]], touch[now[closer]] = away[closer], one[closer]
    found = np.flatnonzero(touch != NONE)
    found = found[np.lexsort((known[found], best[found], touch[found]))]
    first = np.ones(found.size, np.bool_)
    first[1:] = touch[found[1:]] != touch[found[:-1]]
    found = np.sort(found[first])
    return known[found], touch[found]
