"""How what is known of arms becomes choices, each with its probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnireco._core.compute import suited
from omnireco._core.random import GOLDEN, mixed
from omnireco.choices.arms import Posteriors
from omnireco.choices.propensity import PLACES, tables, thompson_propensities
from omnireco.choices.scoring import Scorer

__all__ = ["EXPLORATION", "Batch", "Policy", "squarecb_rate"]

EXPLORATION = {"thompson": 0.5, "linucb": 0.5, "epsilon_greedy": 0.05, "softmax": 0.05, "squarecb": 4.0}
"""Policies, and how much each explores by default."""


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A policy over the arms as they are known now.

    Attributes
    ----------
    name : str
        One of :data:`EXPLORATION`.
    amount, floor, noise : float
        Exploration, the share that is even over the arms, and the standard deviation of rewards.
    groups : int or None
    state : Posteriors
    scorer : Scorer
    serial : ndarray of shape (n_arms,), int64
        A number that belongs to each arm for good.
    """

    name: str
    amount: float
    floor: float
    noise: float
    groups: int | None
    state: Posteriors
    scorer: Scorer
    serial: np.ndarray

    @property
    def n_arms(self) -> int:
        """How many arms there are."""
        return int(self.serial.size)

    def chances(self, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the probability of every arm in the first slot for contexts x, (m, n_arms)."""
        amount, noise = self.amount, max(self.noise, 1e-12)
        n_open = mask.sum(axis=1, keepdims=True)
        if self.name == "thompson":
            width = np.asarray(self.scorer.widths(x, exact=self.groups is not None), np.float64) * (amount * noise)
            main = thompson_propensities(self.scorer.means(x), width, eligible=mask)
        elif self.name in ("linucb", "epsilon_greedy"):
            ranking = self.scorer.ranking(x, amount * noise if self.name == "linucb" else 0.0, mask, False, 1)
            main = (np.arange(mask.shape[1]) == ranking[:, :1]).astype(np.float64)
            if self.name == "epsilon_greedy":
                main = (1.0 - amount) * main + amount * mask / np.maximum(n_open, 1)
        else:
            mean = np.where(mask, np.asarray(self.scorer.means(x), np.float64), -np.inf)
            best = mean.argmax(axis=1)
            top = np.where(n_open > 0, mean[np.arange(len(x)), best][:, None], 0.0)
            gap = np.where(mask, top - np.where(mask, mean, 0.0), 1e300)
            if self.name == "softmax":
                main = np.exp(-np.minimum(gap / (amount * noise), 700.0)) * mask
                main /= np.maximum(main.sum(axis=1, keepdims=True), 1e-300)
            else:
                rate = squarecb_rate(self.state, amount, noise)
                main = mask / (np.maximum(n_open, 1) + rate * np.sqrt(n_open) * np.where(mask, gap, 0.0))
                main[np.arange(len(x)), best] = 0.0
                main[np.arange(len(x)), best] = 1.0 - main.sum(axis=1)
        return np.where(mask, (1.0 - self.floor) * main + self.floor / np.maximum(n_open, 1), 0.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """What all blocks of one call of decide have in common."""

    policy: Policy
    allowed: np.ndarray | None
    k: int
    key: np.uint64
    wanted: bool
    draws: np.ndarray

    def run(self, x: np.ndarray, numbers: np.ndarray, block: slice, arm: np.ndarray, chance: np.ndarray) -> None:
        """Fill arm and probability (m, k) for some rows."""
        from omnireco._kernels.choice import bandit_loops as kernels

        ask, scorer = self.policy, self.policy.scorer
        amount = ask.amount
        everywhere = self.allowed is None
        allowed = np.ones((1, 1), np.bool_) if self.allowed is None else self.allowed[block]
        floor, policy = ask.floor, ask.name
        common = (allowed, everywhere)
        if policy in ("linucb", "epsilon_greedy"):
            bonus = amount * ask.noise if policy == "linucb" else 0.0
            if policy == "epsilon_greedy":
                floor = 1.0 - (1.0 - floor) * (1.0 - amount)
            need = min(ask.n_arms, 2 * self.k if floor > 0.0 else self.k)
            ranking = scorer.ranking(x, bonus, *common, need)
            pick = suited(kernels.pick_ranked, len(x) * self.k * (ask.n_arms if floor > 0.0 else 1))
            pick(ranking, *common, ask.n_arms, self.k, floor, self.key, numbers, arm, chance)
        elif policy == "thompson" and ask.groups is None:
            mean, width = scorer.moments(x)
            width *= np.asarray(amount * ask.noise, width.dtype)
            serial = ask.serial.view(np.uint64) * GOLDEN
            steps = len(x) * self.k * ask.n_arms * (10 + PLACES * self.wanted)
            suited(kernels.pick_drawn, steps)(
                mean, width, *common, self.k, floor, self.key, numbers, serial, *tables(), self.wanted,
                arm, chance,
            )  # fmt: skip
        elif policy == "thompson":
            self._grouped(x, numbers, *common, arm, chance)
        else:
            noise = max(ask.noise, 1e-12)
            rate = 1.0 / (amount * noise) if policy == "softmax" else squarecb_rate(ask.state, amount, noise)
            kind = 0 if policy == "softmax" else 1
            weigh = suited(kernels.pick_weighted, 5 * len(x) * self.k * ask.n_arms)
            weigh(kind, scorer.means(x), rate, *common, self.k, floor, self.key, numbers, arm, chance)

    def _grouped(
        self, x: np.ndarray, numbers: np.ndarray, allowed: np.ndarray, everywhere: bool, arm: np.ndarray,
        chance: np.ndarray,
    ) -> None:  # fmt: skip
        """Let each context use one of a few draws of all coefficients."""
        from omnireco._kernels.choice import bandit_loops as kernels

        ask, scorer = self.policy, self.policy.scorer
        group = mixed(numbers.view(np.uint64) ^ self.key) % np.uint64(len(self.draws))
        score, small = np.empty((len(x), ask.n_arms), np.float32), x.astype(np.float32)
        for g in range(len(self.draws)):
            rows = np.flatnonzero(group == g)
            score[rows] = small[rows] @ self.draws[g].T
        ranking = np.empty((len(x), min(ask.n_arms, 2)), np.int64)
        suited(kernels.shortlist, score.size)(score, allowed, everywhere, ranking.shape[1], ranking)
        floor = ask.floor
        pick = suited(kernels.pick_ranked, len(x) * (ask.n_arms if floor > 0.0 else 1))
        pick(ranking, allowed, everywhere, ask.n_arms, 1, floor, self.key, numbers, arm, chance)
        if self.wanted:
            from omnireco._kernels.choice.highest import chances_of

            width = np.asarray(scorer.widths(x, exact=True) * (ask.amount * ask.noise), np.float64)
            mean = np.asarray(x @ ask.state.theta.T)
            found = suited(chances_of, PLACES * mean.size)
            found(mean, width, allowed, everywhere, arm[:, 0], floor, *tables()[1:], chance[:, 0])


def squarecb_rate(state: Posteriors, amount: float, noise: float) -> float:
    """Return gamma / sqrt(K): the paper's sqrt(K n / regret), the regret of a ridge regression being d noise^2."""
    return amount * float(np.sqrt((1.0 + state.n_events) / state.d)) / noise
