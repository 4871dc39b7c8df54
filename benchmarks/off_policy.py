"""Coverage of 95 % intervals of off-policy estimators, in simulated worlds with known value.

    python benchmarks/off_policy.py [--quick]

2,000 decisions a log, 1,000 logs a world. ``easy``: the log hardly follows rewards; ``hostile``: it does the opposite
of the policy; ``rare``: 2 % answer; ``money``: lognormal amounts; ``people``: five decisions each, alike; ``many``: 50
actions. The reward model is poor on purpose. Writes results/off_policy.json.
"""

from __future__ import annotations

from time import process_time
from typing import Any

import numpy as np
from _common import header, headline, options, write

from omnireco.causal import LoggedDecisions, off_policy

WORLDS = ("easy", "hostile", "rare", "money", "people", "many")
ESTIMATORS = ["ips", "snips", "dr", "sndr", "switch_dr", "dros"]
N, LOW, HIGH = 2000, 0.92, 0.98


def log(kind: str, seed: int, n: int = N) -> tuple[LoggedDecisions, np.ndarray, np.ndarray, float]:
    """Return a log, a policy, predicted rewards, and the expected value of the policy."""
    random, world = np.random.default_rng(seed), np.random.default_rng(5)
    k = 50 if kind == "many" else 10
    slope, other = world.normal(size=(5, k)) * 0.5, world.normal(size=(5, k))
    x, people = random.normal(size=(n, 5)), None
    if kind == "people":
        people = np.minimum(np.repeat(np.arange(n), random.geometric(0.2, n))[:n], n // 5)
        x = 0.8 * random.normal(size=(n, 5))[people] + 0.6 * x
    mean = 1 / (1 + np.exp((4.5 if kind == "rare" else 1) - x @ slope))
    old = np.exp(-x @ slope if kind == "hostile" else 0.4 * x @ other)
    old = 0.8 * old / old.sum(1, keepdims=True) + 0.2 / k
    new = np.exp(x @ slope)
    new /= new.sum(1, keepdims=True)
    action, row = np.minimum((random.random((n, 1)) > old.cumsum(1)).sum(1), k - 1), np.arange(n)
    reward = (random.random(n) < mean[row, action]) * (random.lognormal(3, 1, n) if kind == "money" else 1.0)
    predicted = (np.full((n, k), 0.3) + 0.05 * x[:, :1]) * {"rare": 0.1, "money": 30}.get(kind, 1)
    value = float((new * mean).sum(1).mean() * (np.exp(3.5) if kind == "money" else 1))
    return LoggedDecisions(reward, old[row, action], actions=action, people=people), new, predicted, value


def covered(kind: str, logs: int) -> dict[str, Any]:
    """Return by estimator the share of intervals that hold the value, lie below it and above it."""
    truth = float(np.mean([log(kind, 10_000_000 + i, 100_000)[3] for i in range(5)]))
    below, above, effective = np.zeros(len(ESTIMATORS)), np.zeros(len(ESTIMATORS)), []
    for seed in range(logs):
        decisions, new, predicted, _ = log(kind, seed)
        found = off_policy(decisions, new, predicted=predicted, estimators=ESTIMATORS, least_effective=1)
        below += found.table["high"] < truth
        above += found.table["low"] > truth
        effective.append(float(found.diagnostics["effective"].iloc[0]))
    return {
        "effective": float(np.median(effective)),
        "estimators": {
            name: {"covered": 1 - (b + a) / logs, "below": b / logs, "above": a / logs}
            for name, b, a in zip(ESTIMATORS, below.tolist(), above.tolist(), strict=True)
        },
    }


def main() -> None:
    """Measure every world and print a table."""
    given = options(__doc__ or "", quick="100 logs").parse_args()
    result: dict[str, Any] = {"machine": header(__doc__ or "")}
    logs = 100 if given.quick else 1000
    error, start = float(np.sqrt(0.05 * 0.95 / logs)), process_time()
    result |= {"logs": logs, "standard_error": error, "worlds": {}}
    print(f"{'world':9}{'effective':>10}" + "".join(f"{name:>12}" for name in ESTIMATORS))
    for kind in WORLDS:
        result["worlds"][kind] = one = covered(kind, logs)
        shares = [one["estimators"][name]["covered"] for name in ESTIMATORS]
        print(f"{kind:9}{one['effective']:10.0f}" + "".join(f"{share:12.3f}" for share in shares), flush=True)
        headline(f"coverage of 95 % intervals, {kind}, the lowest", min(shares), goal=f">= {LOW - error:.3f}")
        if not given.quick:
            inside = all(LOW - error <= share <= HIGH + error for share in shares)
            print(f"  92 to 98 % within one standard error of {error:.3f}: {'yes' if inside else 'NO'}")
    result["cpu_seconds"] = process_time() - start
    if not given.quick:
        write("off_policy", result)


if __name__ == "__main__":
    main()
