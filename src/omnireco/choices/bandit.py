"""Decisions that learn: a linear contextual bandit over many arms, with exact probabilities for every choice."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import (
    check_array,
    check_choice,
    check_flag,
    check_integer,
    check_k,
    check_number,
    check_numbers,
    count_of,
    name_rows,
    no_such,
    shown,
)
from omnireco._core.compute import one_blas_thread, row_blocks, usable_threads
from omnireco._core.parts import Array, Parts, coded, freeze, numbers
from omnireco.choices.arms import Posteriors
from omnireco.choices.propensity import tables, thompson_propensities
from omnireco.choices.scoring import BLOCK_BYTES, Scorer
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, distinct_codes
from omnireco.errors import ParameterError, SchemaError, UnknownIdError
from omnireco.timing.explore import _mixed, _numbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Decisions", "LinearBandit", "LiveBandit"]

_LOG = logging.getLogger(__name__)
_EXPLORATION = {"thompson": 0.5, "linucb": 0.5, "epsilon_greedy": 0.05, "softmax": 0.05, "squarecb": 4.0}
_MOST = 1e6  # of a context or feature: squares of it times rounding still leave variances above 0
_MOST_REWARD = 1e15
_MOST_WEIGHT = 1e12
_LARGE = 1 << 24  # products below which our own threads and a limit on those of BLAS cost more than they save
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Decisions:
    """Chosen arms, and the probability that each was chosen with.

    Parameters
    ----------
    arms : Vocabulary
        The arms behind the codes.
    arm : ndarray of shape (n, k), int32
        Chosen arms, first slot first; -1 where none was eligible.
    propensity : ndarray of shape (n, k), float64
        Probability of the arm in its slot, given the slots before; NaN where it was not asked for.
    score : ndarray of shape (n, k), float32
        Expected reward of the chosen arm; -inf where there is none.
    ids : ndarray of shape (n,), int64
        Names of the decisions, by which rewards come back.
    """

    arms: Vocabulary
    arm: np.ndarray
    propensity: np.ndarray
    score: np.ndarray
    ids: np.ndarray

    parts: ClassVar[Parts] = {
        "arms": Ids(),
        "ids": Array(np.int64, ("n",), 0),
        "arm": coded("arms", "n", "k", none=True),
        "propensity": numbers("n", "k", low=0.0, high=1.0 + 1e-9, missing=True),
        "score": numbers("n", "k", dtype=np.float32, endless=True),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Decisions({len(self):,} of {self.arm.shape[1]} of {count_of(len(self.arms), 'arm')})"

    @property
    def arm_ids(self) -> np.ndarray:
        """Ids of the arms in the first slot, (n,); None where none was eligible."""
        first = self.arm[:, 0]
        if (first >= 0).all():
            return self.arms.decode(first)
        found = np.full(len(self), None, object)
        found[first >= 0] = self.arms.decode(first[first >= 0])
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return one row per decision and slot: ``decision_id rank arm_id propensity score``, without empty slots."""
        import pandas as pd

        row, slot = np.nonzero(self.arm >= 0)
        return pd.DataFrame(
            {
                "decision_id": self.ids[row],
                "rank": slot + 1,
                "arm_id": self.arms.decode(self.arm[row, slot]),
                "propensity": self.propensity[row, slot],
                "score": self.score[row, slot],
            }
        )


@dataclass(frozen=True, slots=True)
class LinearBandit:
    """A contextual bandit whose rewards are linear in the context: parameters only.

    Which of many arms (an offer, a banner, a layout) for this person now, when the answer must be learned while
    deciding. Expected reward ``x'(B f_a + delta_a)``: what arms with like features share, plus what is an arm's own.

    Parameters
    ----------
    policy : {"thompson", "linucb", "epsilon_greedy", "softmax", "squarecb"}
        How uncertainty becomes choices. ``thompson``: the best of scores drawn from their posteriors. ``linucb``: the
        best upper bound, mean + exploration times width. ``epsilon_greedy``: the best mean, but any arm with
        probability ``exploration``. ``softmax``: by exp(mean / (exploration times the noise)). ``squarecb``: the best
        mean most of all, others by the inverse of their gap, less and less.
    exploration : float, optional
        How much, in posterior standard deviations (``thompson``, ``linucb``) or as above; in ``squarecb`` more of it
        means less exploration, as in its paper. By default 0.5, 0.5, 0.05, 0.05 and 4 in the order above.
    regularization : float, default 1
        Prior precision of coefficients, in units of the noise.
    shared : bool, default True
        Whether arms learn from each other: what they have in common, by their features where they have some; how far
        arms stray from it, in level and in how the context matters to them, is learned. A new arm starts there. False:
        disjoint arms, each a ridge regression of its own.
    intercept : bool, default True
        Whether a 1 is put before each context.
    noise : float, optional
        Standard deviation of rewards around their expectation; learned by default.
    discount : float, default 1
        What an event still counts after the next one was learned: 0.999 forgets over some thousand events.
    floor : float, default 0.01
        Share of choices that is even over the eligible arms, whatever the policy: without it some arms have
        probability 0, and no log of theirs can ever be evaluated for another policy.
    groups : int, optional
        For ``thompson``: draw this many sets of coefficients per batch, and let each context use one of them. The
        chances of each context stay the same and the work is less; contexts of one group err together.
    exact : bool, default False
        Whether widths are computed exactly, at any number of arms; see the notes.
    memory : int, default 100_000
        How many decisions wait for their rewards; the oldest are forgotten first.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    Notes
    -----
    ``linucb`` names the arm of the exact method: a dozen candidates by an approximate width in the common eigenbasis
    of the covariances, then exact widths. ``thompson`` draws each arm's score from its own posterior, independently
    also where arms share coefficients; with more than 65,536 numbers in all covariances its widths are those of the
    eigenbasis. Its propensities are those of what it does, by quadrature.

    References
    ----------
    Li et al. (2010), A contextual-bandit approach to personalized news article recommendation (LinUCB); Agrawal and
    Goyal (2013), Thompson sampling for contextual bandits with linear payoffs; Foster and Rakhlin (2020), Beyond UCB
    (SquareCB); Russac et al. (2019), Weighted linear bandits (discounting).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> live = LinearBandit(policy="thompson").start(["tea", "cup"], n_features=2)
    >>> for _ in range(50):
    ...     x = rng.normal(size=(20, 2))
    ...     chosen = live.decide(x)
    ...     liked = np.where(chosen.arm_ids == "tea", x[:, 0] > 0, x[:, 1] > 0)
    ...     live.reward(chosen.ids, liked.astype(float))
    >>> live
    LiveBandit(thompson, 2 arms, 2 features, 1,000 rewards)
    >>> live.decide([[2.0, -2.0], [-2.0, 2.0]]).arm_ids.tolist()
    ['tea', 'cup']
    """

    policy: str = "thompson"
    exploration: float | None = None
    regularization: float = 1.0
    shared: bool = True
    intercept: bool = True
    noise: float | None = None
    discount: float = 1.0
    floor: float = 0.01
    groups: int | None = None
    exact: bool = False
    memory: int = 100_000

    def __post_init__(self) -> None:
        check_choice(self.policy, "policy", tuple(_EXPLORATION))
        if self.exploration is not None:
            check_number(self.exploration, "exploration", low=0.0, high=_MOST_REWARD)
            if self.policy == "epsilon_greedy":
                check_number(self.exploration, "exploration", low=0.0, high=1.0)
            if self.policy == "softmax":
                check_number(self.exploration, "exploration", above=0.0)
        check_number(self.regularization, "regularization", above=0.0, high=_MOST_REWARD)
        if self.regularization < 1.0 / _MOST:
            raise ParameterError(f"regularization must be at least {1.0 / _MOST:g}. Got {self.regularization:g}.")
        check_flag(self.shared, "shared")
        check_flag(self.intercept, "intercept")
        if self.noise is not None:
            check_number(self.noise, "noise", above=0.0, high=_MOST_REWARD)
        check_number(self.discount, "discount", above=0.0, high=1.0)
        check_number(self.floor, "floor", low=0.0, high=1.0)
        if self.groups is not None:
            check_integer(self.groups, "groups", low=1)
            if self.policy != "thompson":
                raise ParameterError(
                    f"groups is for policy='thompson'. Got policy={shown(self.policy)}: leave groups out."
                )
        check_flag(self.exact, "exact")
        check_integer(self.memory, "memory", low=1)

    def start(self, arms: Iterable[Any], *, n_features: int, features: Any = None) -> LiveBandit:
        """Return a live bandit that knows nothing yet.

        Parameters
        ----------
        arms : array-like of int or str
            Ids of the arms.
        n_features : int
            Length of a context; 0 for a bandit without contexts.
        features : array-like of shape (n_arms, q), optional
            What is known of each arm, such as its category as zeros and ones. Scale them to about 1.

        Returns
        -------
        LiveBandit
        """
        n_features = check_integer(n_features, "n_features", low=0, high=10_000)
        if n_features == 0 and not self.intercept:
            raise ParameterError("A bandit with n_features=0 needs intercept=True: there is nothing else to learn.")
        table = None if features is None else _matrix(features, "features")
        if table is not None and not self.shared:
            raise ParameterError("features say what arms share, and shared=False. Leave one of them out.")
        n_shared = None if not self.shared else 1 + (0 if table is None else table.shape[1])
        state = Posteriors.empty(
            n_features + self.intercept, self.regularization, self.discount, n_shared, level=self.intercept
        )
        live = LiveBandit(self, Vocabulary(np.empty(0, np.int64)), state, Scorer(state, self.exact))
        live.add_arms(arms, features=table)
        return live

    def fit(
        self,
        arms: Any,
        contexts: Any,
        rewards: Any,
        *,
        features: Any = None,
        arm_ids: Iterable[Any] | None = None,
        weights: Any = None,
    ) -> LiveBandit:
        """Return a live bandit that has learned a log: a warm start.

        Parameters
        ----------
        arms : array-like of shape (n,)
            The arm of each event.
        contexts : array-like of shape (n, d)
        rewards : array-like of shape (n,)
        features : array-like of shape (n_arms, q), optional
            Features of ``arm_ids``, or of the sorted ids in ``arms``.
        arm_ids : array-like, optional
            All arms, also those without an event.
        weights : array-like of shape (n,), optional
            What an event counts.

        Returns
        -------
        LiveBandit
        """
        x = _matrix(contexts, "contexts")
        known = Vocabulary.from_ids(arms, "arms").ids if arm_ids is None else arm_ids
        live = self.start(known, n_features=x.shape[1], features=features)
        live.update(arms, x, rewards, weights=weights)
        live.refresh(steps=10)
        _LOG.info("fit %r", live)
        return live

    def __getattr__(self, name: str) -> NoReturn:
        """Say how to get a live bandit, when one of its verbs is called on the parameters."""
        no_such(
            self,
            name,
            ("decide", "reward", "update", "expected"),
            "start(arms, n_features=...), or .fit(arms, contexts, rewards)",
        )


@dataclass(slots=True, eq=False, repr=False)
class LiveBandit:
    """A bandit at work: it decides and learns, and changes in place; made by `LinearBandit.start` or `.fit`.

    The one value of this library that is not frozen: the covariances of ten thousand arms are a third of a gigabyte,
    and a copy for every click would leave none for deciding. ``copy`` gives an independent one.

    Attributes
    ----------
    bandit : LinearBandit
        The parameters.
    arms : Vocabulary
        Ids of the arms.
    """

    bandit: LinearBandit
    arms: Vocabulary
    _state: Posteriors
    _scorer: Scorer
    _serial: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    _row: dict[Any, int] = field(default_factory=dict)
    _n_serials: int = 0
    _next: int = 0
    _rewards: int = 0
    _waiting: dict[str, np.ndarray] = field(default_factory=dict)
    _x: np.ndarray = field(default_factory=lambda: np.empty(0))
    _keys: dict[int, np.uint64] = field(default_factory=dict)

    def __repr__(self) -> str:
        d = self._state.d - self.bandit.intercept
        size = f"{count_of(len(self.arms), 'arm')}, {count_of(d, 'feature')}, {count_of(self._rewards, 'reward')}"
        return f"LiveBandit({self.bandit.policy}, {size})"

    @property
    def noise(self) -> float:
        """Standard deviation of rewards around their expectation: given, or learned so far."""
        return float(np.sqrt(self._state.variance)) if self.bandit.noise is None else self.bandit.noise

    def copy(self) -> LiveBandit:
        """Return an independent copy of this bandit as it is now."""
        from copy import deepcopy

        return deepcopy(self)

    def decide(
        self,
        contexts: Any,
        *,
        k: int = 1,
        eligible: Any = None,
        seed: int = 0,
        keys: Any = None,
        propensities: bool = True,
        threads: int | None = None,
    ) -> Decisions:
        """Choose k arms for each context.

        Parameters
        ----------
        contexts : array-like of shape (n, d)
        k : int, default 1
            Slots. Each is decided anew among the arms left, so its propensity is exact given those before it.
        eligible : array-like of bool or sparse matrix, shape (n, n_arms), optional
            Arms that may be chosen, in the order of ``arms``; others have probability 0.
        seed : int
        keys : array-like of int or str, shape (n,), optional
            What a draw belongs to, such as the person; by default the number of the decision. With keys, change the
            seed from day to day.
        propensities : bool, default True
            Whether to compute them. Only Thompson sampling pays for it.
        threads : int, optional

        Returns
        -------
        Decisions
            Their contexts wait for rewards; see ``reward``.

        Raises
        ------
        SchemaError
            When shapes disagree, or a number is not finite or above 1e6 in size.
        """
        from omnireco._kernels.choice import bandit_loops as kernels

        x = self._contexts(contexts)
        n, k, propensities = len(x), check_k(k), check_flag(propensities, "propensities")
        if not len(self.arms):
            raise ParameterError("There are no arms to decide among: live.add_arms([...]).")
        if self.bandit.groups is not None and k > 1:
            raise ParameterError("groups draws one set of scores per context, so k must be 1. Leave groups out.")
        allowed = self._allowed(eligible, n)
        ids = np.arange(self._next, self._next + n)
        numbers = ids if keys is None else _key_numbers(keys)
        if numbers.shape != (n,):
            raise SchemaError(f"keys must hold one value per context, ({n},). Got {numbers.shape}.")
        self.refresh_if_due()
        self._scorer.ready()
        arm, propensity = np.full((n, k), NONE, np.int32), np.full((n, k), np.nan)
        job = _Job(self, allowed, k, self._key(seed), propensities, self._draws(self._key(seed)))
        ranked = self.bandit.policy == "linucb"  # looks at its candidates arm by arm: the more contexts, the better
        blocks = list(row_blocks(n, 8 * len(self.arms), memory=(64 if ranked else 1) * BLOCK_BYTES, most=8192))
        threads = usable_threads(threads)

        def run(block: slice) -> None:
            job.run(x[block], numbers[block], block, arm[block], propensity[block])

        if n * self._state.theta.size < _LARGE:
            for block in blocks:
                run(block)
        else:
            with one_blas_thread(), ThreadPoolExecutor(min(threads, len(blocks))) as pool:
                list(pool.map(run, blocks))
        self._next += n
        if not propensities:
            propensity[arm >= 0] = np.nan
        score = np.empty((n, k), np.float32)
        kernels.scores_of(x, self._state.theta, arm, score)
        self._remember(ids, x, arm)
        return Decisions(self.arms, arm, propensity, score, ids)

    def reward(self, ids: Any, rewards: Any, *, cascade: bool = False) -> None:
        """Learn the rewards of earlier decisions, whenever they come and in any order.

        Parameters
        ----------
        ids : array-like of int, shape (n,)
            ``Decisions.ids``; each may be rewarded once.
        rewards : array-like of shape (n,) or (n, k)
            One number per decision, or one per slot; NaN for a slot that nobody looked at.
        cascade : bool, default False
            Whether people read slots in order and stop at the first reward: later slots then teach nothing.

        Raises
        ------
        UnknownIdError
            When decisions are not known, were forgotten or have been rewarded already. Nothing is learned then.
        """
        cascade = check_flag(cascade, "cascade")
        ids = np.atleast_1d(check_array(ids, "ids", error=SchemaError))
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise SchemaError(f"ids must be whole numbers, shape (n,): Decisions.ids. Got {ids.dtype} {ids.shape}.")
        ids = ids.astype(np.int64)
        given = check_numbers(rewards, "rewards", error=SchemaError)
        given = given.reshape(-1, 1) if given.ndim < 2 else given
        if len(given) != ids.size:
            raise SchemaError(f"reward: {ids.size:,} ids and {len(given):,} rewards. Give one (row) per decision.")
        waiting = self._waiting
        at = ids % len(waiting["id"]) if waiting else np.zeros(ids.size, np.int64)
        known = waiting["id"][at] == ids if waiting else np.zeros(ids.size, np.bool_)
        known[(ids < 0) | np.isin(np.arange(ids.size), _repeated(ids))] = False
        if not known.all():
            raise UnknownIdError(
                f"{int((~known).sum()):,} of {ids.size:,} decisions are unknown, forgotten or already rewarded: "
                f"{name_rows(~known)}. LinearBandit(memory=...) says how many wait; for older ones call "
                "update(arms, contexts, rewards)."
            )
        if not ids.size:
            return
        serial = waiting["serial"][at]
        if given.shape[1] > serial.shape[1] or np.isinf(given).any() or (given.shape[1] == 1 and np.isnan(given).any()):
            raise SchemaError(
                f"rewards must be finite and no wider than the slots ({serial.shape[1]}). Got shape {given.shape}; "
                "NaN is for slots that nobody looked at."
            )
        if (large := (np.abs(given) > _MOST_REWARD).any(axis=1)).any():
            raise SchemaError(_too_large("reward: a reward", _MOST_REWARD, large))
        rows = np.append(self._rows_of_serials(), NONE)[serial[:, : given.shape[1]]]
        seen = (rows >= 0) & ~np.isnan(given)
        if cascade:
            hit = np.nan_to_num(given) > 0
            seen &= (np.cumsum(hit, axis=1) - hit) == 0
        decision, slot = np.nonzero(seen)
        self._learn(rows[decision, slot], waiting["x"][at[decision]], given[decision, slot], None)
        waiting["id"][at] = -1

    def update(self, arms: Any, contexts: Any, rewards: Any, *, weights: Any = None) -> None:
        """Learn events of any origin: one, or as many as there are.

        Parameters
        ----------
        arms : id, or array-like of shape (n,)
        contexts : array-like of shape (d,) for one arm, or (n, d)
        rewards : number, or array-like of shape (n,)
        weights : array-like of shape (n,), optional
            What an event counts; 1 by default.

        Raises
        ------
        UnknownIdError
            When an arm is not known.
        SchemaError
            When shapes disagree, or a number is not finite or too large (contexts above 1e6 in size, rewards above
            1e15, weights above 1e12): such numbers would leave nothing of what was learned. Nothing is learned then.

        Notes
        -----
        One event costs O(d^2), whatever the number of arms; many of one arm are learned together. The order does not
        matter (but for ``discount``). A shared model spreads what an arm taught to the others when it is fitted again,
        which it is by itself whenever the number of events has grown by a quarter, or by ``refresh``.
        """
        if isinstance(contexts, np.ndarray) and contexts.ndim == 1 and weights is None:
            self._update_one(arms, contexts, rewards)
            return
        x = self._contexts(contexts)
        reward = np.atleast_1d(check_numbers(rewards, "rewards", error=SchemaError))
        given = check_array(arms, "arms", error=SchemaError)
        rows = self.arms.codes(np.atleast_1d(given) if given.ndim == 0 else arms).astype(np.int64)
        weight = None if weights is None else check_numbers(weights, "weights", error=SchemaError)
        if rows.shape != (len(x),) or reward.shape != (len(x),) or (weight is not None and weight.shape != (len(x),)):
            raise SchemaError(
                f"update: {len(x):,} contexts, {rows.size:,} arms and {reward.size:,} rewards. Give one each per event."
            )
        bad = ~np.isfinite(reward) if weight is None else ~(np.isfinite(reward) & np.isfinite(weight) & (weight >= 0))
        if bad.any():
            raise SchemaError(f"update: a reward or weight is missing, infinite or negative in {name_rows(bad)}.")
        if (large := np.abs(reward) > _MOST_REWARD).any():
            raise SchemaError(_too_large("update: a reward", _MOST_REWARD, large))
        if weight is not None and (large := weight > _MOST_WEIGHT).any():
            raise SchemaError(_too_large("update: a weight", _MOST_WEIGHT, large))
        self._learn(rows, x, reward, weight)

    def expected(self, contexts: Any) -> np.ndarray:
        """Return the expected reward of every arm, float64 of shape (n, n_arms)."""
        x = self._contexts(contexts)
        self.refresh_if_due()
        return np.asarray(x @ self._state.theta.T)

    def probabilities(self, contexts: Any, *, eligible: Any = None) -> np.ndarray:
        """Return the probability of every arm in the first slot, float64 of shape (n, n_arms).

        What ``off_policy`` takes as a target: the whole policy, without deciding anything.

        Parameters
        ----------
        contexts : array-like of shape (n, d)
        eligible : array-like of bool or sparse matrix, shape (n, n_arms), optional

        Returns
        -------
        ndarray of shape (n, n_arms)
            Rows sum to 1 (within 1e-6 for Thompson sampling), and to 0 where no arm is eligible.
        """
        x = self._contexts(contexts)
        allowed = self._allowed(eligible, len(x))
        mask = np.ones((len(x), len(self.arms)), np.bool_) if allowed is None else allowed
        found = np.zeros(mask.shape)
        if not found.size:
            return found
        self.refresh_if_due()
        self._scorer.ready()
        for block in row_blocks(len(x), 32 * max(1, len(self.arms))):
            found[block] = self._whole_policy(x[block], mask[block])
        return found

    def _whole_policy(self, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        bandit, amount, noise = self.bandit, _amount(self.bandit), max(self.noise, 1e-12)
        n_open = mask.sum(axis=1, keepdims=True)
        if bandit.policy == "thompson":
            width = np.asarray(self._scorer.widths(x, exact=bandit.groups is not None), np.float64) * (amount * noise)
            main = thompson_propensities(self._scorer.means(x), width, eligible=mask)
        elif bandit.policy in ("linucb", "epsilon_greedy"):
            ranking = self._scorer.ranking(x, amount * noise if bandit.policy == "linucb" else 0.0, mask, False, 1)
            main = (np.arange(mask.shape[1]) == ranking[:, :1]).astype(np.float64)
            if bandit.policy == "epsilon_greedy":
                main = (1.0 - amount) * main + amount * mask / np.maximum(n_open, 1)
        else:
            mean = np.where(mask, np.asarray(self._scorer.means(x), np.float64), -np.inf)
            best = mean.argmax(axis=1)
            top = np.where(n_open > 0, mean[np.arange(len(x)), best][:, None], 0.0)
            gap = np.where(mask, top - np.where(mask, mean, 0.0), 1e300)
            if bandit.policy == "softmax":
                main = np.exp(-np.minimum(gap / (amount * noise), 700.0)) * mask
                main /= np.maximum(main.sum(axis=1, keepdims=True), 1e-300)
            else:
                rate = squarecb_rate(self._state, amount, noise)
                main = mask / (np.maximum(n_open, 1) + rate * np.sqrt(n_open) * np.where(mask, gap, 0.0))
                main[np.arange(len(x)), best] = 0.0
                main[np.arange(len(x)), best] = 1.0 - main.sum(axis=1)
        return np.where(mask, (1.0 - bandit.floor) * main + bandit.floor / np.maximum(n_open, 1), 0.0)

    def widths(self, contexts: Any) -> np.ndarray:
        """Return the posterior standard deviation of the expected reward of every arm, (n, n_arms)."""
        x = self._contexts(contexts)
        self.refresh_if_due()
        self._scorer.ready()
        return self.noise * np.asarray(self._scorer.widths(x, exact=True), np.float64)

    def refresh(self, *, steps: int = 1) -> None:
        """Fit shared coefficients again, and how far arms stray from them; disjoint arms have nothing to refresh."""
        self._state.refit(steps=check_integer(steps, "steps", low=1, high=1_000))
        self._scorer.reset()

    def refresh_if_due(self) -> None:
        """Refresh where enough was learned since the last time."""
        if self._state.due:
            self.refresh(steps=self._state.affordable_steps)

    def add_arms(self, arms: Iterable[Any], *, features: Any = None) -> None:
        """Add arms that may be chosen from now on.

        Where arms are shared a new one starts from what its features promise, else from zero.
        """
        if not isinstance(arms, (Vocabulary, Iterable)):
            raise ParameterError(f"arms must be a list of ids. Got {type(arms).__name__}.")
        known, codes = Vocabulary.encode(arms.ids if isinstance(arms, Vocabulary) else list(arms), "arms")
        order = known.ids[codes]
        if len(known) < order.size:
            raise ParameterError(f"arms: {order.size - len(known):,} ids are named twice. Name each once.")
        if not order.size:
            return
        if len(self.arms) and self.arms.ids.dtype != order.dtype:
            raise ParameterError("The new arms' ids are of another kind (integers, strings) than those here.")
        if any(arm in self._row for arm in order.tolist()):
            raise ParameterError("Some of these arms are here already. Add only new ones, or remove_arms first.")
        table = None
        if self._state.features is not None:
            extra = self._state.features.shape[1] - 1
            given = np.empty((order.size, 0)) if features is None else _matrix(features, "features")
            if given.shape != (order.size, extra):
                raise SchemaError(f"features must have the shape ({order.size}, {extra}). Got {given.shape}.")
            table = np.concatenate([np.ones((order.size, 1)), given], axis=1)
        elif features is not None:
            raise ParameterError("These arms are disjoint and have no features: start with shared=True.")
        self._state.grow(order.size, table)
        self._serial = np.append(self._serial, np.arange(self._n_serials, self._n_serials + order.size))
        self._n_serials += order.size
        self._name(np.concatenate([self.arms.ids, order]) if len(self.arms) else order)

    def remove_arms(self, arms: Any) -> None:
        """Remove arms; rewards of theirs that still come are ignored."""
        rows = distinct_codes(self.arms, arms)
        self._state.drop(rows)
        self._serial = np.delete(self._serial, rows)
        self._name(np.delete(self.arms.ids, rows))

    def parts(self) -> tuple[Posteriors, dict[str, np.ndarray]]:
        """Return what a file keeps beside ``arms`` and ``counts()``: posteriors, decisions that wait, and the basis."""
        return self._state, {**self._waiting, "serials": self._serial, "basis": self._scorer.basis}

    def counts(self) -> list[float]:
        """Return how many arms there ever were, decisions were made and rewards learned, now and at the basis."""
        return [self._n_serials, self._next, self._rewards, self._scorer.n_basis]

    @classmethod
    def from_parts(
        cls, bandit: LinearBandit, arms: Vocabulary, state: Posteriors, waiting: dict[str, np.ndarray], counts: Any
    ) -> LiveBandit:
        """Return the bandit that was taken apart."""
        serial = waiting.pop("serials")
        row = {arm: at for at, arm in enumerate(arms.ids.tolist())}
        *whole, at_basis = counts
        scorer = Scorer(state, bandit.exact, waiting.pop("basis"), n_basis=float(at_basis))
        n_serials, following, rewards = (int(count) for count in whole)
        return cls(bandit, arms, state, scorer, serial, row, n_serials, following, rewards, waiting)

    def _name(self, ids: np.ndarray) -> None:
        self.arms = Vocabulary(ids)
        self._row = {arm: row for row, arm in enumerate(ids.tolist())}
        self._scorer.reset()

    def _update_one(self, arm: Any, context: np.ndarray, reward: Any) -> None:
        """Learn one event with as little around it as there can be."""
        try:
            row = self._row.get(arm)
        except TypeError:  # a list, whose contexts are no table
            raise SchemaError("update: one context takes one arm. Write update(arm, context, reward).") from None
        if row is None:
            raise UnknownIdError("update: this arm is unknown here. Add it: live.add_arms([...]).")
        x = self._x
        if x.size != self._state.d:
            x = self._x = np.ones(self._state.d)
        if context.size != x.size - self.bandit.intercept:
            raise SchemaError(f"update: a context has {x.size - self.bandit.intercept} numbers. Got {context.size}.")
        if context.dtype.kind not in "biuf" or isinstance(reward, (str, bytes)) or np.ndim(reward):
            raise SchemaError("update: one context needs numbers, and one number as its reward.")
        if self.bandit.intercept:
            x[1:] = context
        else:
            x[:] = context
        try:
            reward = float(reward)
        except (TypeError, ValueError):
            raise SchemaError(f"update: the reward must be a number. Got {type(reward).__name__}.") from None
        # one comparison each: this is the path of a live service; NaN fails it as well
        if x.size and not (x.min() >= -_MOST and x.max() <= _MOST and abs(reward) <= _MOST_REWARD):
            raise SchemaError(
                "update: the context or the reward is missing, infinite or too large "
                f"(contexts reach to {_MOST:g}, rewards to {_MOST_REWARD:g}). Scale them to about 1."
            )
        if not self._state.learn_one(row, x, reward):
            raise SchemaError("update: the context or the reward is missing or infinite.")
        self._rewards += 1
        self._scorer.learned(row)

    def _learn(self, rows: np.ndarray, x: np.ndarray, reward: np.ndarray, weight: np.ndarray | None) -> None:
        with one_blas_thread() if x.size * self._state.d > _LARGE else nullcontext():
            self._state.learn(rows, x, reward, np.ones(rows.size) if weight is None else weight)
        self._rewards += rows.size
        self._scorer.learned(rows)

    def _contexts(self, contexts: Any) -> np.ndarray:
        """Return contexts as float64 (n, d), with the 1 in front."""
        x = _matrix(contexts, "contexts")
        if x.shape[1] != self._state.d - self.bandit.intercept:
            raise SchemaError(
                f"contexts must have {self._state.d - self.bandit.intercept} columns, as at the start. "
                f"Got {x.shape[1]}."
            )
        if self.bandit.intercept:
            x = np.concatenate([np.ones((len(x), 1)), x], axis=1)
        return np.ascontiguousarray(x)

    def _allowed(self, eligible: Any, n: int) -> np.ndarray | None:
        if eligible is None:
            return None
        table = (
            eligible.toarray() != 0 if sp.issparse(eligible) else check_array(eligible, "eligible", error=SchemaError)
        )
        if table.shape != (n, len(self.arms)) or table.dtype != np.bool_:
            raise SchemaError(
                f"eligible must be bool (or sparse) of shape ({n}, {len(self.arms)}), one column per arm in the order "
                f"of live.arms. Got {table.dtype} {table.shape}."
            )
        return np.ascontiguousarray(table)

    def _key(self, seed: int) -> np.uint64:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed not in self._keys:
            name = f"{check_integer(seed, 'seed', low=0)}/bandit".encode()
            seed = int(seed)
            self._keys = {seed: np.uint64(int.from_bytes(hashlib.sha256(name).digest()[:8], "little"))}
        return self._keys[seed]

    def _draws(self, key: np.uint64) -> np.ndarray:
        """Return the sets of coefficients that a batch shares, (groups, K, d); none where each context draws."""
        if self.bandit.groups is None:
            return np.empty((0, 0, 0), np.float32)
        bits = np.random.SeedSequence([int(key), self._next])
        shape = (self.bandit.groups, *self._state.theta.shape)
        noise = np.random.Generator(np.random.PCG64(bits)).standard_normal(shape)
        return self._scorer.draws(noise, _amount(self.bandit) * self.noise).astype(np.float32)

    def _rows_of_serials(self) -> np.ndarray:
        """Return the row of each arm that ever was, by its number; -1 for those removed."""
        rows = np.full(self._n_serials, NONE, np.int64)
        rows[self._serial] = np.arange(self._serial.size)
        return rows

    def _remember(self, ids: np.ndarray, x: np.ndarray, arm: np.ndarray) -> None:
        """Keep the newest decisions in a ring, where decision i lies at i modulo its size."""
        k, most = arm.shape[1], self.bandit.memory
        have = self._waiting
        size = len(have["id"]) if have else 0
        wide = max(k, have["serial"].shape[1] if have else 1)
        need = min(most, max(64, size))
        while need < min(most, self._next):
            need = min(most, 2 * need)
        if need != size or (have and wide > have["serial"].shape[1]):
            fresh = {
                "id": np.full(need, -1),
                "x": np.zeros((need, self._state.d)),
                "serial": np.full((need, wide), NONE),
            }
            if have:  # a ring only grows before it is full, so everything lies where it did
                fresh["id"][:size], fresh["x"][:size] = have["id"], have["x"]
                fresh["serial"][:size, : have["serial"].shape[1]] = have["serial"]
            self._waiting = have = fresh
        ids, x, arm = ids[-need:], x[-need:], arm[-need:]
        serial = self._serial[arm]
        serial[arm < 0] = NONE
        start = int(ids[0]) % need if ids.size else 0
        head = min(ids.size, need - start)  # what does not fit before the end goes to the beginning
        parts = [(slice(head), slice(start, start + head)), (slice(head, None), slice(ids.size - head))]
        for rows, at in parts if head < ids.size else parts[:1]:
            have["id"][at], have["x"][at], have["serial"][at, :k] = ids[rows], x[rows], serial[rows]
            if k < wide:
                have["serial"][at, k:] = NONE


@dataclass(frozen=True, slots=True)
class _Job:
    """What all blocks of one call of decide have in common."""

    live: LiveBandit
    allowed: np.ndarray | None
    k: int
    key: np.uint64
    wanted: bool
    draws: np.ndarray

    def run(self, x: np.ndarray, numbers: np.ndarray, block: slice, arm: np.ndarray, chance: np.ndarray) -> None:
        """Fill arm and chance (m, k) for some rows."""
        from omnireco._kernels.choice import bandit_loops as kernels

        live, bandit, scorer = self.live, self.live.bandit, self.live._scorer
        amount = _amount(bandit)
        everywhere = self.allowed is None
        allowed = np.ones((1, 1), np.bool_) if self.allowed is None else self.allowed[block]
        floor, policy = bandit.floor, bandit.policy
        common = (allowed, everywhere)
        if policy in ("linucb", "epsilon_greedy"):
            bonus = amount * live.noise if policy == "linucb" else 0.0
            if policy == "epsilon_greedy":
                floor = 1.0 - (1.0 - floor) * (1.0 - amount)
            need = min(len(live.arms), 2 * self.k if floor > 0.0 else self.k)
            ranking = scorer.ranking(x, bonus, *common, need)
            kernels.pick_ranked(ranking, *common, len(live.arms), self.k, floor, self.key, numbers, arm, chance)
        elif policy == "thompson" and bandit.groups is None:
            mean, width = scorer.moments(x)
            width *= np.asarray(amount * live.noise, width.dtype)
            serial = live._serial.view(np.uint64) * _GOLDEN
            kernels.pick_drawn(
                mean, width, *common, self.k, floor, self.key, numbers, serial, *tables(), self.wanted,
                arm, chance,
            )  # fmt: skip
        elif policy == "thompson":
            self._grouped(x, numbers, *common, arm, chance)
        else:
            noise = max(live.noise, 1e-12)
            rate = 1.0 / (amount * noise) if policy == "softmax" else squarecb_rate(live._state, amount, noise)
            kind = 0 if policy == "softmax" else 1
            kernels.pick_weighted(kind, scorer.means(x), rate, *common, self.k, floor, self.key, numbers, arm, chance)

    def _grouped(
        self, x: np.ndarray, numbers: np.ndarray, allowed: np.ndarray, everywhere: bool, arm: np.ndarray,
        chance: np.ndarray,
    ) -> None:  # fmt: skip
        """Let each context use one of a few draws of all coefficients."""
        from omnireco._kernels.choice import bandit_loops as kernels

        live, scorer = self.live, self.live._scorer
        group = _mixed(numbers.view(np.uint64) ^ self.key) % np.uint64(len(self.draws))
        score, small = np.empty((len(x), len(live.arms)), np.float32), x.astype(np.float32)
        for g in range(len(self.draws)):
            rows = np.flatnonzero(group == g)
            score[rows] = small[rows] @ self.draws[g].T
        ranking = np.empty((len(x), min(len(live.arms), 2)), np.int64)
        kernels.shortlist(score, allowed, everywhere, ranking.shape[1], ranking)
        floor = live.bandit.floor
        kernels.pick_ranked(ranking, allowed, everywhere, len(live.arms), 1, floor, self.key, numbers, arm, chance)
        if self.wanted:
            from omnireco._kernels.choice.highest import chances_of

            width = np.asarray(scorer.widths(x, exact=True) * (_amount(live.bandit) * live.noise), np.float64)
            mean = np.asarray(x @ live._state.theta.T)
            chances_of(mean, width, allowed, everywhere, arm[:, 0], floor, tables()[1], chance[:, 0])


def _amount(bandit: LinearBandit) -> float:
    return _EXPLORATION[bandit.policy] if bandit.exploration is None else bandit.exploration


def squarecb_rate(state: Posteriors, amount: float, noise: float) -> float:
    """Return gamma / sqrt(K): the paper's sqrt(K n / regret), the regret of a ridge regression being d noise^2."""
    return amount * float(np.sqrt((1.0 + state.n_events) / state.d)) / noise


def _matrix(table: Any, name: str) -> np.ndarray:
    """Return a table of finite numbers as float64 (n, d)."""
    x = table.toarray() if sp.issparse(table) else table
    try:
        x = check_numbers(x, name, error=SchemaError)
    except SchemaError:
        raise SchemaError(f"{name} must hold numbers, shape (n, d). Encode other columns: pd.get_dummies.") from None
    if x.ndim != 2:
        raise SchemaError(f"{name} must have the shape (n, d). Got {x.shape}. One row: {name}[None, :].")
    if not np.isfinite(x).all():
        raise SchemaError(
            f"{name} is missing or infinite in {name_rows(~np.isfinite(x).all(axis=1))}. Fill or drop it."
        )
    if (large := np.abs(x).max(axis=1, initial=0.0) > _MOST).any():
        raise SchemaError(_too_large(name, _MOST, large))
    return x


def _key_numbers(keys: Any) -> np.ndarray:
    """Return the number behind each key, int64 (n,)."""
    try:
        given = np.asarray(keys)
    except ValueError:  # rows of different lengths
        given = np.empty(0, np.float64)
    if given.dtype.kind not in "iuUO" or given.ndim != 1:
        raise SchemaError(f"keys must be integers or strings, one per context. Got {given.dtype} {given.shape}.")
    return np.asarray(_numbers(given).view(np.int64))


def _too_large(what: str, most: float, rows: np.ndarray) -> str:
    return f"{what} is larger than {most:g} in {name_rows(rows)}. Scale contexts and rewards to about 1."


def _repeated(ids: np.ndarray) -> np.ndarray:
    """Return positions of ids that stood before."""
    again = np.ones(ids.size, np.bool_)
    again[np.unique(ids, return_index=True)[1]] = False
    return np.flatnonzero(again)
