"""A bandit at work: it decides, learns from rewards that come later, and takes arms in and out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import (
    check_array,
    check_flag,
    check_integer,
    check_k,
    check_numbers,
    count_of,
    name_rows,
)
from omnireco._core.compute import one_blas_thread, row_blocks, suited, usable_threads
from omnireco._core.contract import had_verbs, says_the_line
from omnireco._core.notebook import shown_html
from omnireco.choices.arms import Posteriors
from omnireco.choices.decisions import Decisions
from omnireco.choices.inputs import (
    MOST,
    MOST_REWARD,
    MOST_WEIGHT,
    key_numbers,
    matrix_of_numbers,
    repeated,
    too_large,
)
from omnireco.choices.policies import EXPLORATION, Batch, Policy
from omnireco.choices.scoring import BLOCK_BYTES, Scorer
from omnireco.choices.waiting import remember
from omnireco.data.vocabulary import NONE, Vocabulary, distinct_codes
from omnireco.errors import ParameterError, SchemaError, UnknownIdError

__all__ = ["LiveBandit"]

_LARGE = 1 << 24  # products below which our own threads and a limit on those of BLAS cost more than they save


@had_verbs(
    probabilities="live.propensity(contexts)",
    refresh_if_due="live.refresh(); what is due is refreshed by itself",
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

    bandit: Any  # a LinearBandit, whose file makes this class
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

    _repr_html_ = shown_html

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
            What is known at each decision, d numbers.
        k : int, default 1
            Slots. Each is decided anew among the arms left, so its propensity is exact given those before it.
        eligible : array-like of bool or sparse matrix, shape (n, n_arms), optional
            Arms that may be chosen, in the order of ``arms``; others have probability 0.
        seed : int
            Of the draws, 0 or more; 0 by default.
        keys : array-like of int or str, shape (n,), optional
            What a draw belongs to, such as the person; by default the number of the decision. With keys, change the
            seed from day to day.
        propensities : bool, default True
            Whether to compute them. Only Thompson sampling pays for it.
        threads : int, optional
            All usable cores by default; never changes the result.

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
        numbers = ids if keys is None else key_numbers(keys)
        if numbers.shape != (n,):
            raise SchemaError(f"keys must hold one value per context, ({n},). Got {numbers.shape}.")
        self._refresh_if_due()
        self._scorer.ready()
        arm, propensity = np.full((n, k), NONE, np.int32), np.full((n, k), np.nan)
        key = self._key(seed)
        job = Batch(self._policy(), allowed, k, key, propensities, self._draws(key))
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
        suited(kernels.scores_of, arm.size * x.shape[1])(x, self._state.theta, arm, score)
        serial = self._serial[arm]
        serial[arm < 0] = NONE
        self._waiting = remember(self._waiting, ids, x, serial, most=self.bandit.max_pending, decided=self._next)
        return Decisions(self.arms, arm, propensity, score, ids)

    def reward(self, ids: Any, rewards: Any, *, cascade: bool = False) -> None:
        """Learn the rewards of earlier decisions, whenever they come and in any order.

        Parameters
        ----------
        ids : array-like of int, shape (n,)
            ``Decisions.ids``; each may be rewarded once.
        rewards : array-like of shape (n,) or (n, k)
            One number per decision, or one per slot; NaN for a slot that was not examined.
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
        known[(ids < 0) | np.isin(np.arange(ids.size), repeated(ids))] = False
        if not known.all():
            raise UnknownIdError(
                f"{int((~known).sum()):,} of {ids.size:,} decisions are unknown, forgotten or already rewarded: "
                f"{name_rows(~known)}. LinearBandit(max_pending=...) is how many are kept; for older ones call "
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
        if (large := (np.abs(given) > MOST_REWARD).any(axis=1)).any():
            raise SchemaError(too_large("reward: a reward", MOST_REWARD, large))
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
            The arm of each event.
        contexts : array-like of shape (d,) for one arm, or (n, d)
            What was known at each event, d numbers.
        rewards : number, or array-like of shape (n,)
            What each event earned; finite.
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
        if (large := np.abs(reward) > MOST_REWARD).any():
            raise SchemaError(too_large("update: a reward", MOST_REWARD, large))
        if weight is not None and (large := weight > MOST_WEIGHT).any():
            raise SchemaError(too_large("update: a weight", MOST_WEIGHT, large))
        self._learn(rows, x, reward, weight)

    def expected(self, contexts: Any) -> np.ndarray:
        """Return the expected reward of every arm, float64 of shape (n, n_arms)."""
        x = self._contexts(contexts)
        self._refresh_if_due()
        return np.asarray(x @ self._state.theta.T)

    def propensity(self, contexts: Any, *, eligible: Any = None) -> np.ndarray:
        """Return the probability of every arm in the first slot, float64 of shape (n, n_arms).

        What :func:`omnireco.causal.off_policy` takes as a target: the whole policy, without deciding anything.

        Parameters
        ----------
        contexts : array-like of shape (n, d)
            What is known at each decision, d numbers.
        eligible : array-like of bool or sparse matrix, shape (n, n_arms), optional
            Arms that may be chosen, in the order of ``arms``; others have probability 0.

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
        self._refresh_if_due()
        self._scorer.ready()
        policy = self._policy()
        for block in row_blocks(len(x), 32 * max(1, len(self.arms))):
            found[block] = policy.chances(x[block], mask[block])
        return found

    def widths(self, contexts: Any) -> np.ndarray:
        """Return the posterior standard deviation of the expected reward of every arm, (n, n_arms)."""
        x = self._contexts(contexts)
        self._refresh_if_due()
        self._scorer.ready()
        return self.noise * np.asarray(self._scorer.widths(x, exact=True), np.float64)

    @says_the_line("live.refresh(em_steps=1)")
    def refresh(self, *, em_steps: int = 1) -> None:
        """Fit shared coefficients and the prior variance of arms again; disjoint arms have nothing to refresh."""
        self._state.refit(em_steps=check_integer(em_steps, "em_steps", low=1, high=1_000))
        self._scorer.reset()

    def add_arms(self, arms: Iterable[Any], *, features: Any = None) -> None:
        """Add arms that may be chosen from now on.

        Where arms are shared a new one starts from the prediction by its features, else from zero.
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
            given = np.empty((order.size, 0)) if features is None else matrix_of_numbers(features, "features")
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
        cls, bandit: Any, arms: Vocabulary, state: Posteriors, waiting: dict[str, np.ndarray], counts: Any
    ) -> LiveBandit:
        """Return the bandit that was taken apart."""
        serial = waiting.pop("serials")
        row = {arm: at for at, arm in enumerate(arms.ids.tolist())}
        *whole, at_basis = counts
        scorer = Scorer(state, bandit.exact, waiting.pop("basis"), n_basis=float(at_basis))
        n_serials, following, rewards = (int(count) for count in whole)
        return cls(bandit, arms, state, scorer, serial, row, n_serials, following, rewards, waiting)

    def _refresh_if_due(self) -> None:
        """Refresh where enough was learned since the last time."""
        if self._state.due:
            self.refresh(em_steps=self._state.affordable_steps)

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
        if x.size and not (x.min() >= -MOST and x.max() <= MOST and abs(reward) <= MOST_REWARD):
            raise SchemaError(
                "update: the context or the reward is missing, infinite or too large "
                f"(contexts reach to {MOST:g}, rewards to {MOST_REWARD:g}). Scale them to about 1."
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
        x = matrix_of_numbers(contexts, "contexts")
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

    def _policy(self) -> Policy:
        """Return the policy over the arms as they are known now."""
        bandit = self.bandit
        amount = EXPLORATION[bandit.policy] if bandit.exploration is None else bandit.exploration
        return Policy(
            bandit.policy, amount, bandit.floor, self.noise, bandit.groups, self._state, self._scorer, self._serial
        )

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
        return self._scorer.draws(noise, self._policy().amount * self.noise).astype(np.float32)

    def _rows_of_serials(self) -> np.ndarray:
        """Return the row of each arm that ever was, by its number; -1 for those removed."""
        rows = np.full(self._n_serials, NONE, np.int64)
        rows[self._serial] = np.arange(self._serial.size)
        return rows
