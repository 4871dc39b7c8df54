"""What is asked of a log: policies, estimators and groups of actions, checked once and as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from omnireco._core.checks import check_names, check_numbers, shown
from omnireco.causal.arrays import matrix, vector
from omnireco.causal.estimating import ESTIMATORS, NEED_MODEL
from omnireco.causal.logged import LoggedDecisions
from omnireco.errors import ParameterError

__all__ = [
    "chances",
    "check_actions",
    "group_of_actions",
    "grouped_weights",
    "modelled",
    "wanted_estimators",
    "without_support",
]


def modelled(
    model: np.ndarray | None, every: np.ndarray | None, chosen: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return what a model predicts of a policy and of the logged action."""
    if model is None or chosen is None:
        return None, None
    if every is None:
        raise ParameterError(
            f"dm, dr and sndr need the policy's probability of every action: pass policy as ({len(model)}, n_actions)."
        )
    if every.shape != model.shape:
        raise ParameterError(f"policy has the shape {every.shape} and predicted {model.shape}: they must agree.")
    return (every * model).sum(axis=1), model[np.arange(len(model)), chosen]


def group_of_actions(given: Any, decisions: LoggedDecisions) -> np.ndarray:
    """Return the group of every action, as an indicator (n_actions, n_groups)."""
    if decisions.distribution is None:
        raise ParameterError(
            "groups= needs the logging policy's probability of every action: LoggedDecisions(..., distribution=)."
        )
    codes, total = check_numbers(given, "groups"), decisions.distribution.shape[1]
    if codes.shape != (total,) or (codes != np.floor(codes)).any() or codes.min(initial=0) < 0:
        raise ParameterError(f"groups must be {total:,} integers from 0, one per action. Got the shape {codes.shape}.")
    if codes.max(initial=0) >= total:
        raise ParameterError(f"groups holds {int(codes.max())}: number the groups from 0 without gaps.")
    return np.eye(total)[codes.astype(np.int64)]


def grouped_weights(
    group: np.ndarray | None, every: np.ndarray | None, decisions: LoggedDecisions
) -> np.ndarray | None:
    """Return the importance weights over groups, sum_g pi(a) / sum_g p(a) for the group g of the logged action."""
    if group is None:
        return None
    if every is None or every.shape != decisions.distribution.shape:
        raise ParameterError(
            "mips needs the policy's probability of every action: pass policy with the shape "
            f"{decisions.distribution.shape}."
        )
    rows, which = np.arange(len(decisions)), group.argmax(axis=1)[decisions.actions]
    weight: np.ndarray = (every @ group)[rows, which] / (decisions.distribution @ group)[rows, which]
    return weight


def without_support(every: np.ndarray | None, chosen: np.ndarray | None) -> float:
    """Return the policy's expected share of choices of actions that the log never made; NaN when unknown."""
    if every is None or chosen is None:
        return float("nan")
    never = np.bincount(chosen, minlength=every.shape[1]) == 0
    return float(every[:, never].sum(axis=1).mean())


def chances(given: Any, name: str, n: int, chosen: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the probability of the logged choice (n,), and of every action where it was given."""
    array = check_numbers(given, name)
    if array.ndim == 1:
        share, every = vector(array, name, n), None
    else:
        every = matrix(array, name, n)
        if chosen is None:
            raise ParameterError(
                f"{name} has a column per action, so actions= must say which was logged: "
                "LoggedDecisions(..., actions=)."
            )
        if chosen.max(initial=0) >= every.shape[1]:
            raise ParameterError(f"actions holds {int(chosen.max())}, and {name} has {every.shape[1]} columns.")
        off = np.abs(every.sum(axis=1) - 1) > 1e-6
        if off.any():
            raise ParameterError(f"{name}: {int(off.sum()):,} rows do not sum to 1. Normalise over allowed actions.")
        share = every[np.arange(n), chosen]
    lowest, highest = (share, share) if every is None else (every, every)
    if lowest.min() < 0 or highest.max() > 1 + 1e-9:
        raise ParameterError(f"{name} holds numbers outside [0, 1]: it must be probabilities.")
    return share, every


def check_actions(chosen: np.ndarray | None, model: np.ndarray | None) -> None:
    """Refuse predictions of fewer actions than were logged, or without the logged actions."""
    if model is None:
        return
    if chosen is None:
        raise ParameterError(
            "predicted has a column per action, so actions= must say which was logged: LoggedDecisions(..., actions=)."
        )
    if chosen.max(initial=0) >= model.shape[1]:
        raise ParameterError(f"actions holds {int(chosen.max())}, and predicted has {model.shape[1]} columns.")


def wanted_estimators(
    given: Iterable[str] | None, has_model: bool, has_groups: bool, has_loggers: bool
) -> tuple[str, ...]:
    """Return the estimators to compute: those asked for, or the usual ones that the input allows."""
    if given is None:
        usual = tuple(name for name in ESTIMATORS[:5] if has_model or name not in NEED_MODEL)
        return (*usual, "mips") if has_groups else usual
    names = tuple(dict.fromkeys(check_names(given, "estimators")))
    if not names:
        raise ParameterError("estimators is empty. Leave it out, or write estimators=['snips'].")
    for name in names:
        if not isinstance(name, str) or name not in ESTIMATORS:
            raise ParameterError(f"estimators must be some of {', '.join(ESTIMATORS)}. Got {shown(name)}.")
        if name in NEED_MODEL and not has_model:
            raise ParameterError(f"{name} needs predicted=, the rewards that a model predicts (cross_fitted_rewards).")
        if name == "mips" and not has_groups:
            raise ParameterError("mips needs groups=, a group per action.")
        if name.startswith("weighted") and not has_loggers:
            raise ParameterError(
                f"{name} needs the logging policies: LoggedDecisions(..., by_logger=probabilities, logger=codes)."
            )
    return names
