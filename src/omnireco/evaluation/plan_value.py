"""What a plan would earn, from a log of earlier messages whose choices were made with known probabilities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from omnireco._core.checks import check_kind, check_names, check_number, count_of
from omnireco._core.contract import says_the_line
from omnireco._core.units import HOUR_US
from omnireco.causal.estimating import clustered_error
from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.off_policy import OffPolicy, valued
from omnireco.data.clock import local_us
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.planning.plan import Plan

__all__ = ["plan_value"]

CHOICES = ("channel", "hour", "item_id", "creative_id")
_CLEAR = 4.0  # standard errors by which weights may average below 1
_UNKNOWN = -2


@says_the_line("om.evaluation.plan_value(plan, om.Dataset(messages=sent, audience=people), by=['channel'])")
def plan_value(
    plan: Plan,
    data: Any,
    *,
    by: Iterable[str] | str = ("channel",),
    least_covered: float = 0.8,
    least_effective: float = 1000,
    confidence: float = 0.95,
    k: int = 5,
) -> OffPolicy:
    """Estimate the responses per message that a plan would get, before it is sent, or refuse.

    A plan says what it expects by the models that made it. This asks a log instead: what came back where the same
    people were sent what the plan would send them.

    Parameters
    ----------
    plan : Plan
        The plan, before it is sent.
    data : Dataset or MessageLog
        Earlier messages with propensities; the audience for ``by="hour"``.
    by : str or iterable of str
        What the propensity is the probability of: some of ``channel hour item_id creative_id``. ``hour`` is the local
        hour of the day. What else differs between log and plan is taken to have no effect.
    least_covered : float
        Refuse where fewer of the planned messages, as a share, are to people in the log, by choices that the log makes.
    least_effective, confidence, k
        As in :func:`omnireco.causal.off_policy`.

    Returns
    -------
    OffPolicy
        ``snips`` of the policy ``"plan"``: responses per planned message; the lift is over what the log got from the
        same people. ``without_support`` is the share of planned messages that the log says nothing about; the value is
        that of the others.

    Raises
    ------
    SchemaError
        When there are no messages or no propensities, or no zones for ``"hour"``.
    ParameterError
        When ``by`` names something else.
    EmptyError
        When the plan sends nothing, or nobody in it was ever sent a message.

    Notes
    -----
    The plan as a policy: a person's planned messages, in the shares of the choices ``by``. Each logged message of that
    person weighs (share / propensity) times planned messages over logged ones, and the value is the weighted mean of
    the responses (self-normalised; intervals are over people). It supposes that a person responds in the planned days
    as in the logged ones, and that messages do not change what later ones earn. Weights that average clearly below 1
    mean that the plan sends what the log could not have sent, clearly above 1 that the propensities are of another
    choice: then there is no value. Deterministic.

    References
    ----------
    Swaminathan and Joachims (2015), "The Self-Normalized Estimator for Counterfactual Learning".

    Examples
    --------
    >>> import numpy as np, pandas as pd, omnireco as om
    >>> rng = np.random.default_rng(0)
    >>> at, channel = pd.Timestamp("2025-05-01", tz="UTC"), rng.choice(["email", "push"], 4000)
    >>> sent = pd.DataFrame({"user_id": np.arange(4000) % 500, "channel": channel, "propensity": 0.5,
    ...                      "sent_at": at + pd.to_timedelta(np.arange(4000), unit="h")})
    >>> read = rng.random(4000) < np.where(channel == "push", 0.3, 0.1)
    >>> sent["responded_at"] = (sent["sent_at"] + pd.Timedelta("1h")).where(read)
    >>> frame = pd.DataFrame({"user_id": np.arange(500), "item_id": "tea", "channel": "push", "value": 1.0,
    ...                       "send_at": pd.Timestamp("2025-11-01", tz="UTC")})
    >>> found = plan_value(om.plan(om.planning.Candidates.from_frame(frame)), om.MessageLog.from_frame(sent))
    >>> float(found.table["value"][0].round(1))
    0.3
    """
    check_kind(plan, Plan, "plan", "om.plan(touches, constraints=[...])")
    check_number(least_covered, "least_covered", low=0, high=1)
    choices = (by,) if isinstance(by, str) else check_names(by, "by")
    strange = [name for name in choices if name not in CHOICES]
    if strange or not choices:
        raise ParameterError(f"plan_value: by must be some of {', '.join(CHOICES)}. Write by=['channel'].")
    whole = dataset_of(data, "plan_value", ("messages",))
    sent: Any = whole.messages
    logged = LoggedDecisions.of(whole)
    touches, rows = plan.touches.touches, np.flatnonzero(plan.reason == 0)
    if not rows.size:
        raise EmptyError("plan_value: the plan sends nothing.")
    person = match(sent.users, touches.users, ("messages", "plan"))[touches.user[rows]]
    planned = [_planned(name, touches, rows) for name in choices]
    past = [_logged(name, sent, whole) for name in choices]
    action, of_log = _same_codes(planned, past)
    inside = (person != NONE) & np.isin(action, of_log) & (action >= 0)
    covered = float(inside.mean())
    if not inside.any():
        raise EmptyError(
            f"plan_value: none of {count_of(rows.size, 'planned message')} is to somebody in the log by a choice that "
            "the log makes. Give the log of an earlier campaign to these people, with propensities."
        )
    n_planned = np.bincount(person[inside], minlength=sent.n_users)
    kept = np.flatnonzero(n_planned[sent.user] > 0)
    n_actions = int(max(action.max(), of_log.max())) + 1
    key, count = np.unique(person[inside] * n_actions + action[inside], return_counts=True)
    mine = sent.user[kept].astype(np.int64) * n_actions + np.maximum(of_log[kept], 0)
    at = np.minimum(np.searchsorted(key, mine), key.size - 1)
    hits = np.where((key[at] == mine) & (of_log[kept] >= 0), count[at], 0)
    share = hits / n_planned[sent.user[kept]]
    n_logged = np.bincount(sent.user[kept], minlength=sent.n_users)
    importance = (n_planned / np.maximum(1, n_logged))[sent.user[kept]]
    people = sent.users.ids[sent.user[kept]]
    part = LoggedDecisions(logged.rewards[kept], logged.propensity[kept], people=people, n_machine=logged.n_machine)
    found = valued(
        part,
        {"plan": share * importance / importance.max()},
        estimators=["snips"],
        least_effective=least_effective,
        confidence=confidence,
        k=k,
    )
    return _with_support(found, share / part.propensity, part, covered, least_covered)


def _with_support(
    found: OffPolicy, weight: np.ndarray, part: LoggedDecisions, covered: float, least_covered: float
) -> OffPolicy:
    """Return the estimate with what the log supports of the plan; without a value where that is too little."""
    cluster, n_people = part.clusters
    mean, error = float(weight.mean()), clustered_error(weight, cluster, n_people)
    checks, table = found.diagnostics.copy(), found.table.copy()
    checks["mean_weight"], checks["mean_weight_se"], checks["largest_weight"] = mean, error, float(weight.max())
    checks["without_support"] = 1 - covered
    refused = str(checks["refused"].iloc[0])
    if covered < least_covered:
        refused = (
            f"The log supports {covered:.0%} of the planned messages, and {least_covered:.0%} is the minimum. Plan for "
            "people and choices of the log, or lower least_covered= and report it."
        )
    elif mean + _CLEAR * error < 1:
        refused = (
            f"Weights average {mean:.3f}, clearly below 1: for some people the plan sends what the log never could, or "
            "the propensities are of another choice than by=."
        )
    elif mean - _CLEAR * error > 1 + 1e-6:
        refused = (
            f"Weights average {mean:.3f}, clearly above 1, which no right propensities give: they are of another "
            "choice than by=, or too small."
        )
    checks["refused"] = refused
    if refused:
        table[["value", "low", "high", "lift", "lift_low", "lift_high"]] = np.nan
    return replace(found, table=table, diagnostics=checks)


def _planned(name: str, touches: Any, rows: np.ndarray) -> np.ndarray:
    """Return what the plan chooses, as labels; None where it does not say."""
    if name == "channel":
        return touches.channels.ids.astype(object)[touches.channel[rows]]
    if name == "hour":
        local = touches.local_at[rows]
        return _labels(local // HOUR_US % 24, local != NEVER)
    if name == "item_id":
        return _ids(touches.items, touches.item[rows])
    if "creative_id" not in touches.labels:
        raise SchemaError("plan_value: by='creative_id', and the plan has no creatives. Leave it out of by=.")
    known, codes = touches.labels["creative_id"]
    return _ids(known, codes[rows])


def _logged(name: str, sent: MessageLog, data: Dataset) -> np.ndarray:
    """Return what the log chose, as labels."""
    if name == "channel":
        return sent.channels.ids.astype(object)[sent.channel]
    if name == "hour":
        people = data.part("audience", "plan_value: by='hour'")
        row = match(people.users, sent.users, ("audience", "messages"))[sent.user]
        zone = np.append(people.zone, np.int32(NONE))[row]
        local = np.where(zone >= 0, local_us(sent.sent_at, zone, people.zones), NEVER)
        return _labels(local // HOUR_US % 24, zone >= 0)
    return _ids(sent.items, sent.item) if name == "item_id" else _ids(sent.creatives, sent.creative)


def _ids(known: Vocabulary, codes: np.ndarray) -> np.ndarray:
    labels = np.empty(len(known) + 1, object)  # the last one is None, for a code of -1
    labels[:-1] = known.ids
    return labels[codes]


def _labels(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    labels = values.astype(object)
    labels[~known] = None
    return labels


def _same_codes(planned: list[np.ndarray], past: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of combinations that plan and log share; below 0 where one part is not known."""
    code = np.zeros(planned[0].size + past[0].size, np.int64)
    missing = np.zeros(code.size, np.bool_)
    for one, other in zip(planned, past, strict=True):
        labels = np.concatenate([one, other])
        gone = np.array([label is None for label in labels], np.bool_)
        missing |= gone
        _, found = np.unique(np.where(gone, "", labels).astype(str), return_inverse=True)
        code = np.unique(code * (int(found.max(initial=0)) + 1) + found, return_inverse=True)[1].astype(np.int64)
    code[missing] = _UNKNOWN
    return code[: planned[0].size], code[planned[0].size :]
