"""Means and widths of every arm in every context: exact, or in the one basis in which all covariances nearly agree."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from omnireco._core.compute import row_blocks, suited
from omnireco.choices.arms import Posteriors, square_root

__all__ = ["BLOCK_BYTES", "SMALL", "Scorer"]

BLOCK_BYTES = 4 << 20  # scores of a block of contexts stay in cache
SMALL = 1 << 16  # numbers in all covariances up to which the exact form is also the fast one
_TINY = 1 << 11  # numbers in all covariances up to which one plain loop beats products of matrices
_SPARE = 12  # arms whose width is computed exactly before the best is named


@dataclass(slots=True, eq=False)
class Scorer:
    """Tables made from the posteriors for scoring, of which only the rows of arms that learned are made anew.

    All arms see the same people, so their covariances nearly share eigenvectors Q. In that basis a width costs d
    products instead of d^2: var_a(x) ~ sum_j (Q'x)_j^2 (Q' cov_a Q)_jj.
    """

    state: Posteriors
    exact: bool
    basis: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    theta: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    diagonal: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    packed: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    roots: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 0)))
    left: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    right: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    stale: np.ndarray = field(default_factory=lambda: np.empty(0, np.bool_))
    n_basis: float = -1.0

    def reset(self) -> None:
        """Forget every table: arms came, went, or were all made anew."""
        self.basis, self.stale = np.empty((0, 0)), np.empty(0, np.bool_)

    def learned(self, rows: np.ndarray | int) -> None:
        """Note that arms learned."""
        if self.stale.size:
            self.stale[rows] = True

    @property
    def precise(self) -> bool:
        """Whether widths are exact."""
        n, d = self.state.theta.shape
        return self.exact or n * d * (d + 1) <= SMALL

    def ready(self) -> None:
        """Bring the tables up to date."""
        s = self.state
        n, d = s.theta.shape
        if not self.basis.size or s.n_events > 2.0 * self.n_basis + 100.0:
            self.n_basis = s.n_events
            self.basis = np.linalg.eigh(s.cov.mean(axis=0))[1] if n else np.eye(d)
            self.stale = np.empty(0, np.bool_)
        if self.stale.size != n:
            self.theta, self.diagonal = np.empty((n, d), np.float32), np.empty((n, d), np.float32)
            self.packed, self.roots = np.empty((0, 0)), np.empty((0, 0, 0))
            self.stale = np.ones(n, np.bool_)
        if not self.stale.any():
            return
        stale = np.flatnonzero(self.stale)
        self.theta[stale] = s.theta[stale]
        if self.precise:
            if not self.packed.size:
                self.left, self.right = np.triu_indices(d)
                self.packed = np.empty((n, self.left.size))
            self.packed[stale] = s.cov[stale][:, self.left, self.right] * np.where(self.left == self.right, 1.0, 2.0)
        else:
            cov = s.cov[stale]
            self.diagonal[stale] = np.maximum(((cov @ self.basis) * self.basis).sum(axis=1), 0.0)
        if self.roots.size:
            self.roots[stale] = square_root(s.cov[stale])
        self.stale[stale] = False

    def means(self, x: np.ndarray) -> np.ndarray:
        """Return the expected reward, (m, K): float64 where exact, else float32."""
        if self.precise:
            return np.asarray(x @ self.state.theta.T)
        return np.asarray(x.astype(np.float32) @ self.theta.T)

    def widths(self, x: np.ndarray, *, exact: bool = False) -> np.ndarray:
        """Return sqrt(x' cov_a x), (m, K)."""
        if not len(self.state.theta):
            return np.empty((len(x), 0))  # packed has no columns then, and the kernel writes as many as x makes
        if self.precise:
            from omnireco._kernels.choice import bandit_loops as kernels

            squares = np.empty((len(x), self.packed.shape[1]))
            suited(kernels.products, squares.size)(x, squares)
            variance = squares @ self.packed.T
            return np.asarray(np.sqrt(np.maximum(variance, 0.0, out=variance), out=variance))
        if exact:
            return np.sqrt(np.maximum(np.stack([((x @ c) * x).sum(axis=1) for c in self.state.cov], axis=1), 0.0))
        z = (x @ self.basis).astype(np.float32)
        variance = (z * z) @ self.diagonal.T
        return np.asarray(np.sqrt(variance, out=variance))

    @property
    def tiny(self) -> bool:
        """Whether one plain loop beats products of matrices."""
        return self.precise and self.packed.size <= _TINY

    def moments(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and widths, both (m, K)."""
        if not self.tiny:
            return self.means(x), self.widths(x)
        from omnireco._kernels.choice import bandit_loops as kernels

        mean, width = np.empty((len(x), len(self.packed))), np.empty((len(x), len(self.packed)))
        suited(kernels.moments, len(x) * self.packed.size)(x, self.state.theta, self.packed, mean, width)
        return mean, width

    def ranking(self, x: np.ndarray, bonus: float, allowed: np.ndarray, everywhere: bool, k: int) -> np.ndarray:
        """Return the best arms by mean + bonus * width, (m, k or more), ties by position; -1 where none is left."""
        from omnireco._kernels.choice import bandit_loops as kernels

        keep = min(len(self.state), k if self.precise or not bonus else k + _SPARE)
        found = np.empty((len(x), keep), np.int64)
        if bonus and self.tiny:
            ranked = suited(kernels.ranked, len(x) * self.packed.size)
            ranked(x, self.state.theta, self.packed, bonus, allowed, everywhere, keep, found)
            return found
        for block in row_blocks(len(x), 8 * len(self.state), memory=BLOCK_BYTES, most=1024):
            if bonus:
                score, width = self.moments(x[block])
                width *= np.asarray(bonus, width.dtype)
                score += width
            else:
                score = self.means(x[block])
            part = allowed if everywhere else allowed[block]
            suited(kernels.shortlist, score.size)(score, part, everywhere, keep, found[block])
        if bonus and not self.precise:
            refine = suited(kernels.refine, found.size * self.state.d)
            refine(self.state.theta, self.state.cov, x, bonus, found, np.empty(found.shape))
        return found

    def draws(self, noise: np.ndarray, width: float) -> np.ndarray:
        """Return posterior draws of all coefficients from normals, both (groups, K, d)."""
        if not self.roots.size:
            self.roots = square_root(self.state.cov)
        turned = np.matmul(self.roots, noise.transpose(1, 2, 0)).transpose(2, 0, 1)
        return np.asarray(self.state.theta[None] + width * turned)
