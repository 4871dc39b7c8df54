"""What is known of every arm: Gaussian posteriors of linear rewards, learned one event or a million at a time.

The reward of arm a in context x is x'(B f_a + delta_a) plus noise. B is shared through the features f_a of arms (only
a 1 where there are none), delta_a is the arm's own. Given sums per arm all of it is one ridge regression with a closed
form, so the order in which rewards arrive never matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from omnireco._core.compute import suited
from omnireco.errors import ParameterError

__all__ = ["WIDEST", "Posteriors", "inverse", "square_root"]

WIDEST = 2048  # context features times arm features: the side of the shared block
_FIRST_OFFSET = 10.0
_NARROW = 32  # up to here an event costs less than a call into LAPACK
_RENORMALISE = 1e100


@dataclass(slots=True, eq=False)
class Posteriors:
    """Posterior means and covariances of arms, in units of the noise; changed in place.

    Attributes
    ----------
    theta : ndarray of shape (n_arms, d)
    cov : ndarray of shape (n_arms, d, d)
        Times the noise variance it is the posterior covariance of ``theta``.
    features : ndarray of shape (n_arms, q) or None
        What the shared block sees of an arm; None for disjoint arms.
    a, b, rr : ndarray of shape (n_arms, d, d), (n_arms, d), (n_arms,), or empty
        Sums of x x', r x and r^2, kept where a shared block or forgetting needs them; times ``scale`` they are today's.
    """

    d: int
    regularization: float
    discount: float
    theta: np.ndarray
    cov: np.ndarray
    features: np.ndarray | None
    count: np.ndarray
    a: np.ndarray
    b: np.ndarray
    rr: np.ndarray
    surprise: float = 0.0
    n_events: float = 0.0
    n_fitted: float = 0.0
    scale: float = 1.0
    level: bool = False
    offset: tuple[float, float] = (_FIRST_OFFSET, _FIRST_OFFSET)
    shared: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    spread: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    @classmethod
    def empty(
        cls, d: int, regularization: float, discount: float, n_shared: int | None, *, level: bool = False
    ) -> Posteriors:
        """Return the state of a bandit without arms; ``n_shared`` is the number of arm features, None for disjoint."""
        keeps = n_shared is not None or discount < 1.0
        state = cls(
            d,
            regularization,
            discount,
            np.empty((0, d)),
            np.empty((0, d, d)),
            None if n_shared is None else np.empty((0, n_shared)),
            np.empty(0),
            np.empty((0, d, d)) if keeps else np.empty((0, 0, 0)),
            np.empty((0, d)) if keeps else np.empty((0, 0)),
            np.empty(0),
            level=level,
        )
        if n_shared is not None:
            if d * n_shared > WIDEST:
                raise ParameterError(
                    f"{d} context features times {n_shared} arm features make a shared block of {d * n_shared:,}, more "
                    f"than {WIDEST:,}. Reduce the arm features, for example by sklearn.decomposition.PCA."
                )
            state.offset = (_FIRST_OFFSET, max(_FIRST_OFFSET, float(d)))  # before data, contexts matter little
            state.shared = np.zeros((d, n_shared))
            state.spread = np.eye(d * n_shared) / regularization
        return state

    def __len__(self) -> int:
        return len(self.theta)

    @property
    def keeps_sums(self) -> bool:
        """Whether sums are kept beside the posteriors."""
        return self.features is not None or self.discount < 1.0

    @property
    def variance(self) -> float:
        """Variance of the noise of rewards; one event of variance 1 is assumed beforehand."""
        return (1.0 + self.surprise) / (1.0 + self.n_events)

    def grow(self, n: int, features: np.ndarray | None) -> None:
        """Add n arms at what is known before their first reward."""
        if self.features is None:
            theta, cov = (
                np.zeros((n, self.d)),
                np.broadcast_to(np.eye(self.d) / self.regularization, (n, self.d, self.d)),
            )
        else:
            assert features is not None
            theta = features @ self.shared.T
            cov = self._shared_cov(features) + np.diag(1.0 / self._eta)
            self.features = np.concatenate([self.features, features])
        self.theta, self.cov = np.concatenate([self.theta, theta]), np.concatenate([self.cov, cov])
        self.count = np.concatenate([self.count, np.zeros(n)])
        if self.keeps_sums:
            self.a = np.concatenate([self.a, np.zeros((n, self.d, self.d))])
            self.b = np.concatenate([self.b, np.zeros((n, self.d))])
            self.rr = np.concatenate([self.rr, np.zeros(n)])

    def drop(self, arm: np.ndarray) -> None:
        """Forget arms; a shared block keeps what they taught until it is fitted again."""
        for name in ("theta", "cov", "features", "count", "a", "b", "rr"):
            array = getattr(self, name)
            if array is not None and (array.size or name in ("theta", "cov", "count")):
                setattr(self, name, np.delete(array, arm, axis=0))

    def tick(self, n: int) -> np.ndarray:
        """Return the weights in the scaled sums of the next n events, and decay everything before them."""
        if self.discount == 1.0:
            return np.ones(n)
        fade = self.discount ** np.arange(1, n + 1)
        if n and fade[-1] * self.scale < 1.0 / _RENORMALISE:  # before the weights of new events overflow
            self._renormalise(fade=float(fade[-1]) if fade[-1] < 1.0 / _RENORMALISE else 1.0)
            if fade[-1] < 1.0 / _RENORMALISE:  # one event, and hardly anything is left of what was before
                self.n_events = self.n_events * float(fade[-1]) + 1.0
                return np.ones(1)
        weight = 1.0 / (self.scale * fade)
        self.scale *= float(fade[-1]) if n else 1.0
        self.n_events *= float(fade[-1]) if n else 1.0
        self.n_events += float(np.sum(weight * self.scale))
        return weight

    def learn(self, arm: np.ndarray, x: np.ndarray, reward: np.ndarray, weight: np.ndarray) -> None:
        """Learn from events: arm (n,), x (n, d), reward (n,), weight (n,), in the order of the rows."""
        from omnireco._kernels.choice import bandit_loops as kernels

        if not arm.size:
            return
        longest = arm.size if self.discount == 1.0 else max(1, int(-np.log(_RENORMALISE) / np.log(self.discount)))
        if arm.size > longest:  # else the first would weigh nothing, and the last more than there are numbers
            for start in range(0, arm.size, longest):
                part = slice(start, start + longest)
                self.learn(arm[part], x[part], reward[part], weight[part])
            return
        if self.keeps_sums:
            scaled = weight * self.tick(arm.size)
            self._add_sums(arm, x, reward, scaled)
            if self.discount < 1.0:  # posteriors are made from the sums when they are next read
                return
        self.n_events += float(weight.sum())
        order = np.argsort(arm, kind="stable")
        edges = np.flatnonzero(np.diff(arm[order], prepend=-1))
        sizes = np.diff(edges, append=arm.size)
        one_by_one = (sizes <= 4) | (self.d <= _NARROW)
        few = np.repeat(one_by_one, sizes)
        some = order[few]
        learn_many = suited(kernels.learn_many, some.size * self.d**2)
        self.surprise += float(learn_many(self.theta, self.cov, arm[some], x[some], weight[some], reward[some]))
        np.add.at(self.count, arm[some], weight[some])
        for start, size in zip(edges[~one_by_one], sizes[~one_by_one], strict=True):
            rows = order[start : start + size]
            self._learn_block(int(arm[rows[0]]), x[rows], reward[rows], weight[rows])

    def _learn_block(self, arm: int, z: np.ndarray, reward: np.ndarray, weight: np.ndarray) -> None:
        """Learn from many events of one arm: Woodbury's identity, or a new inverse where that is cheaper."""
        root = np.sqrt(weight)
        z, error = z * root[:, None], root * (reward - z @ self.theta[arm])
        cov = self.cov[arm]
        u = z @ cov
        self._learn_rows(arm, z, error, u)
        cov[:] = (cov + cov.T) / 2.0
        self.count[arm] += float(weight.sum())

    def _learn_rows(self, arm: int, z: np.ndarray, error: np.ndarray, u: np.ndarray) -> None:
        cov = self.cov[arm]
        if len(z) <= self.d // 2:
            solved = np.linalg.solve(np.eye(len(z)) + u @ z.T, np.column_stack([error, u]))
            self.surprise += float(error @ solved[:, 0])
            self.theta[arm] += u.T @ solved[:, 0]
            cov -= u.T @ solved[:, 1:]
        else:
            after = inverse(inverse(cov) + z.T @ z)
            step = after @ (z.T @ error)
            self.surprise += float(error @ error - error @ (z @ step))
            self.theta[arm] += step
            cov[:] = after

    def learn_one(self, arm: int, x: np.ndarray, reward: float) -> bool:
        """Learn from one event; False, and nothing learned, where a number is not finite."""
        from omnireco._kernels.choice import bandit_loops as kernels

        if self.keeps_sums:
            if not (np.isfinite(x).all() and np.isfinite(reward)):
                return False
            weight = 1.0 if self.discount == 1.0 else float(self.tick(1)[0])
            suited(kernels.add_one, self.d**2)(self.a, self.b, self.rr, arm, x, weight, reward)
            if self.discount < 1.0:
                self.count[arm] += 1.0
                return True
        surprise = float(suited(kernels.learn_one, 2 * self.d**2)(self.theta, self.cov, arm, x, 1.0, reward))
        if surprise != surprise:
            return False
        self.surprise += surprise
        self.n_events += 1.0
        self.count[arm] += 1.0
        return True

    def _add_sums(self, arm: np.ndarray, x: np.ndarray, reward: np.ndarray, weight: np.ndarray) -> None:
        order = np.argsort(arm, kind="stable")
        edges = np.flatnonzero(np.diff(arm[order], prepend=-1))
        for start, stop in zip(edges, [*edges[1:], arm.size], strict=True):
            rows, only = order[start:stop], arm[order[start]]
            weighted = x[rows] * weight[rows, None]
            self.a[only] += weighted.T @ x[rows]
            self.b[only] += reward[rows] @ weighted
            self.rr[only] += float(weight[rows] @ reward[rows] ** 2)
        if self.discount < 1.0:
            np.add.at(self.count, arm, 1.0)

    def _renormalise(self, fade: float) -> None:
        """Write the scale, and what decays at once, into the sums."""
        for array in (self.a, self.b, self.rr):
            array *= self.scale * fade
        self.scale = 1.0
        self.n_fitted = 0.0

    @property
    def due(self) -> bool:
        """Whether the posteriors lag behind the sums: always after forgetting, by a quarter of the events if shared."""
        if not self.keeps_sums:
            return False
        if self.discount < 1.0:
            return self.n_fitted != self.scale
        return self.n_events > 1.25 * self.n_fitted + 50.0

    @property
    def affordable_steps(self) -> int:
        """Steps of expectation maximization of a refit: few where each is expensive."""
        return int(np.clip(200_000_000 // max(1, len(self) * self.d**3), 2, 20))

    def refit(self, *, em_steps: int = 1) -> None:
        """Make the posteriors from the sums: all arms at once, with the shared block and the prior variance of arms."""
        if self.keeps_sums and len(self):
            a, b = self.a * self.scale, self.b * self.scale
            if self.features is None:
                self.cov = inverse(a + self.regularization * np.eye(self.d))
                self.theta = (self.cov @ b[:, :, None])[:, :, 0]
            else:
                for step in range(em_steps):
                    stray = self._refit_shared(a, b)
                    if step + 1 < em_steps:
                        self.offset = stray
            self.surprise = max(0.0, float(self.rr.sum() * self.scale - np.sum(b * self.theta)))
        self.n_fitted = self.scale if self.discount < 1.0 else self.n_events

    @property
    def _eta(self) -> np.ndarray:
        """Prior precision of an arm's own coefficients, (d,): one for its level, one for how the context matters."""
        eta = np.full(self.d, self.offset[1])
        eta[: int(self.level)] = self.offset[0]
        return eta

    def _refit_shared(self, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        """Solve for B and every delta_a; return what expectation maximisation makes of their precisions.

        With P_a = (A_a + H)^-1, H = diag(eta), the offsets drop out: sum_a W_a B f_a f_a' + lambda B = sum_a H P_a b_a
        f_a', W_a = H - H P_a H. Then theta_a = P_a (b_a + H B f_a), and its covariance adds what is not known of B.
        """
        d, eta, f = self.d, self._eta, self.features
        assert f is not None
        q = f.shape[1]
        own = inverse(a + np.diag(eta))
        alone = (own @ b[:, :, None])[:, :, 0]
        w = np.diag(eta) - eta[:, None] * own * eta
        crossed = (f[:, :, None] * f[:, None, :]).reshape(len(f), q * q)
        m = (w.reshape(len(f), d * d).T @ crossed).reshape(d, d, q, q).transpose(0, 2, 1, 3).reshape(d * q, d * q)
        self.spread = inverse(m + self.regularization * np.eye(d * q))
        self.shared = (self.spread @ ((eta * alone).T @ f).ravel()).reshape(d, q)
        centre = f @ self.shared.T
        self.theta = alone + (own @ (eta * centre)[:, :, None])[:, :, 0]
        common = self._shared_cov(f)
        pull = own * eta  # P H
        self.cov = own + pull @ common @ pull.transpose(0, 2, 1)
        self.cov = (self.cov + self.cov.transpose(0, 2, 1)) / 2.0
        seen = self.count > 0
        if not seen.any():
            return self.offset
        surprise = float(self.rr.sum() * self.scale - np.sum(b * self.theta))
        variance = max((1.0 + surprise) / (1.0 + self.n_events), 1e-12)
        kept = np.eye(d) - pull[seen]
        unsure = np.diagonal(own[seen], axis1=1, axis2=2) + ((kept @ common[seen]) * kept).sum(axis=2)
        moved = ((self.theta - centre)[seen] ** 2 / variance + unsure).mean(axis=0)
        groups = moved[: int(self.level)], moved[int(self.level) :]
        low, high = (float(np.clip(1.0 / part.mean(), 0.1, 1e6)) if part.size else _FIRST_OFFSET for part in groups)
        return low, high

    def _shared_cov(self, f: np.ndarray) -> np.ndarray:
        """Return the covariance of B f_a for each arm, (n, d, d)."""
        d, q = self.d, f.shape[1]
        spread = self.spread.reshape(d, q, d, q).transpose(0, 2, 1, 3).reshape(d * d, q * q)
        crossed = (f[:, :, None] * f[:, None, :]).reshape(len(f), q * q)
        return (crossed @ spread.T).reshape(len(f), d, d)


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of one or many symmetric positive matrices; of one that rounding made singular, a near one."""
    try:
        found = np.linalg.inv(matrix)
        if np.isfinite(found).all():
            return np.asarray(found)
    except np.linalg.LinAlgError:
        pass
    value, vector = np.linalg.eigh((matrix + np.swapaxes(matrix, -1, -2)) / 2.0)
    value = np.maximum(value, 1e-15 * value[..., -1:])
    return np.asarray((vector / value[..., None, :]) @ np.swapaxes(vector, -1, -2))


def square_root(matrix: np.ndarray) -> np.ndarray:
    """Return R with R R' = matrix, of one or many covariances; variances that rounding made negative are 0."""
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        value, vector = np.linalg.eigh(matrix)
        return np.asarray(vector * np.sqrt(np.maximum(value, 0.0))[..., None, :])
