"""Bandits and their decisions: posteriors, decisions that wait for rewards, and numbers that must agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.form import Form
from omnireco._core.parts import Array, Maybe, coded, demand, numbers
from omnireco._core.small import Each, Flag, Number, Value, Whole, settings
from omnireco.choices.arms import Posteriors
from omnireco.choices.bandit import LinearBandit
from omnireco.choices.decisions import Decisions
from omnireco.choices.feedback import Feedback
from omnireco.choices.live import LiveBandit
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary

__all__ = ["FORMS"]

_STATE = ("d", "theta", "cov", "features", "count", "a", "b", "rr", "surprise", "n_events", "n_fitted", "scale",
          "level", "offset", "shared", "spread")  # fmt: skip
_WAITING = ("id", "x", "serial")
_MOST_ARMS, _MOST_GROUPS = 1 << 24, 1 << 20  # that ever were; that share draws
_LARGE, _SUM = 1e60, 1e140  # products of such numbers are finite; sums that fade carry a scale of up to 1e100


def _moderate(*shape: str, most: float = _LARGE) -> Array:
    return numbers(*shape, low=-most, high=most)


def _take(live: LiveBandit) -> dict[str, Any]:
    state, rest = live.parts()
    n_serials, decided, rewards, n_basis = live.counts()
    known = {name: getattr(state, name) for name in _STATE} | {name: rest.get(name) for name in _WAITING}
    known |= {"n_serials": n_serials, "decided": decided, "rewards": rewards, "n_basis": n_basis}
    return known | {"bandit": live.bandit, "arms": live.arms, "serials": rest["serials"], "basis": rest["basis"]}


def _build(bandit: LinearBandit, arms: Vocabulary, serials: Any, basis: Any, n_serials: int, decided: int, rewards: int,
           n_basis: float, id: Any, x: Any, serial: Any, **state: Any) -> LiveBandit:  # fmt: skip
    posteriors = Posteriors(regularization=bandit.regularization, discount=bandit.discount, **state)
    waiting = {} if id is None else {"id": id, "x": x, "serial": serial}
    waiting |= {"serials": serials, "basis": basis}
    return LiveBandit.from_parts(bandit, arms, posteriors, waiting, [n_serials, decided, rewards, n_basis])


def _check(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    bandit, arms, d = parts["bandit"], len(parts["arms"]), parts["d"]
    keeps = bandit.shared or bandit.discount < 1.0
    q = parts["features"].shape[1] if bandit.shared and parts["features"] is not None else 0
    demand((bandit.groups or 1) <= _MOST_GROUPS, "its groups are too many")
    demand(bandit.shared == (parts["features"] is not None), "features do not fit the bandit")
    wanted = {
        "theta": (arms, d),
        "cov": (arms, d, d),
        "count": (arms,),
        "a": (arms, d, d) if keeps else (0, 0, 0),
        "b": (arms, d) if keeps else (0, 0),
        "rr": (arms if keeps else 0,),
        "shared": (d, q) if q else (0, 0),
        "spread": (d * q, d * q) if q else (0, 0),
    }
    wrong = [name for name, shape in wanted.items() if parts[name].shape != shape]
    demand(
        not wrong and len(parts["offset"]) == 2,
        f"{', '.join(wrong) or 'offset'} do not fit {arms:,} arms of {d:,} numbers",
    )
    demand(parts["level"] == bandit.intercept and d >= 1, "the level does not fit the bandit")
    demand(parts["basis"].shape in ((0, 0), (d, d)), "the basis does not fit")
    covariances = np.diagonal(parts["cov"], axis1=1, axis2=2)
    demand((covariances >= 0).all(), "a variance is below 0")
    _check_waiting(parts, sizes, d)


def _check_waiting(parts: Mapping[str, Any], sizes: Mapping[str, int], d: int) -> None:
    """Raise unless the ring of decisions that wait is as large as so many decisions have made it."""
    have = [parts[name] is not None for name in _WAITING]
    demand(all(have) or not any(have), "decisions that wait are not whole")
    size = sizes.get("waiting", 0)
    demand(size >= min(parts["bandit"].max_pending, parts["decided"]), "decisions that wait are fewer than were made")
    demand(size <= max(64, parts["bandit"].max_pending), "more decisions wait than are remembered")
    if all(have):
        demand(parts["x"].shape == (size, d) and parts["id"].max(initial=-1) < parts["decided"], "decisions do not fit")
        demand(parts["serial"].max(initial=-1) < parts["n_serials"], "a decision names an arm that never was")
    demand(not len(parts["serials"]) or parts["serials"][-1] < parts["n_serials"], "an arm has a number that never was")


def _take_feedback(feedback: Feedback) -> dict[str, Any]:
    arms = Vocabulary(feedback.arm_ids)
    arrays = {name: getattr(feedback, name) for name in ("contexts", "rewards", "features", "weights")}
    return {"arm_ids": arms, "arm": arms.codes(feedback.arms)} | arrays


def _build_feedback(arm_ids: Vocabulary, arm: np.ndarray, **arrays: Any) -> Feedback:
    return Feedback(arm_ids.ids[arm], arm_ids=arm_ids.ids, **arrays)


FORMS = (
    Form(
        Feedback,
        "feedback",
        {
            "arm_ids": Ids(),
            "arm": coded("arm_ids", "n"),
            "contexts": _moderate("n", "d"),
            "rewards": _moderate("n"),
            "features": Maybe(_moderate("arm_ids", "q")),
            "weights": Maybe(numbers("n", low=0.0)),
        },
        take=_take_feedback,
        build=_build_feedback,
    ),
    Form(
        LiveBandit,
        "live bandit",
        {
            "bandit": Value((LinearBandit,)),
            "arms": Ids(),
            "d": Whole(1, 1 << 16),
            **{
                name: _moderate("arms", "d_") if name == "theta" else _moderate("arms", "d_", "d_")
                for name in ("theta", "cov")
            },
            "features": Maybe(_moderate("arms", "q")),
            "count": numbers("arms", low=0.0),
            "a": _moderate("kept", "a_", "a_", most=_SUM),
            "b": _moderate("kept", "a_", most=_SUM),
            "rr": numbers("kept", low=0.0, high=_SUM * _LARGE),
            **{name: Number(low=0.0) for name in ("surprise", "n_events", "n_fitted")},
            "scale": Number(1e-300, 1.0),
            "level": Flag(),
            "offset": Each(Number(low=1e-12)),
            "shared": _moderate("s_", "t_"),
            "spread": _moderate("u_", "u_"),
            "serials": Array(np.int64, ("arms",), 0, order="distinct"),
            "basis": _moderate("v_", "v_"),
            "n_serials": Whole(0, _MOST_ARMS),
            "decided": Whole(),
            "rewards": Whole(),
            "n_basis": Number(low=-1.0),
            "id": Maybe(Array(np.int64, ("waiting",), -1)),
            "x": Maybe(_moderate("waiting", "x_")),
            "serial": Maybe(Array(np.int64, ("waiting", "slots"), -1)),
        },
        take=_take,
        build=_build,
        check=_check,
    ),
    Form(Decisions, "decisions"),
    *settings(LinearBandit),
)
