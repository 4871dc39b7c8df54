"""Bandits: decisions and updates per second beside MABWiser and contextualbandits, regret, and a real log.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/bandits.py [--quick | --long] [--only speed regret]

Speed: CPU seconds on one thread, engines interleaved, medians of five. Everybody is trained on the same 20 events an
arm and decides for the same contexts; the slow ones for fewer of them. Peers return no propensities: ours are timed
with and without. Regret: mean per round over seeds. With OMNIRECO_DATA, also the Open Bandit sample: a policy learned
on the first half of the random log, valued on its second half. Writes results/bandits.json.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import header, headline, left_out
from _common import options as options_of

import omnireco as om

SHAPES = [(5, 5, 2000), (16, 20, 5000), (32, 100, 5000), (64, 1000, 4000)]
LARGE = (64, 10_000, 1000)


def world(d, n_arms, per_arm, rng):
    """Events of every arm: unit contexts, rewards of 0 and 1."""
    n = n_arms * per_arm
    x = rng.normal(size=(n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    arm = np.arange(n) % n_arms
    w = rng.normal(size=(n_arms, d))
    reward = (rng.random(n) < 1 / (1 + np.exp(1 - 2 * (x * w[arm]).sum(axis=1)))).astype(float)
    return arm, x, reward


def mabwiser(policy, arm, x, reward, n_arms):
    from mabwiser.mab import MAB, LearningPolicy

    rule = LearningPolicy.LinUCB(alpha=0.5, l2_lambda=1.0) if policy == "linucb" else LearningPolicy.LinTS(alpha=0.5)
    mab = MAB(list(range(n_arms)), rule)
    mab.fit(arm, reward, x)
    return lambda z: np.atleast_1d(mab.predict(z)), lambda a, z, r: mab.partial_fit([a], [r], z[None])


def contextual(policy, arm, x, reward, n_arms, **options):
    from contextualbandits.online import LinTS, LinUCB

    made = LinUCB(n_arms, alpha=0.5, fit_intercept=False) if policy == "linucb" else LinTS(
        n_arms, v_sq=0.25, fit_intercept=False, **options
    )  # fmt: skip
    made.fit(x, arm, reward)
    return made.predict, lambda a, z, r: made.partial_fit(z[None], np.array([a]), np.array([r]))


def ours(policy, arm, x, reward, n_arms, *, propensities=True, **options):
    bandit = om.LinearBandit(
        policy=policy,
        exploration=0.5,
        noise=1.0,
        intercept=False,
        floor=0.0,
        shared=False,
        max_pending=20_000,
        **options,
    )
    live = bandit.fit(om.choices.Feedback(arm, x, reward, arm_ids=range(n_arms)))

    def decide(z):
        return live.decide(z, propensities=propensities, threads=1).arm[:, 0]

    return decide, live.update


def engines(arm, x, reward, n_arms):
    """Return policy -> name -> (make, arguments); a peer that is not installed is left out."""
    plain = {"propensities": False}
    table = {
        "linucb": {
            "omnireco": (ours, {}),
            "omnireco exact": (ours, {"exact": True}),
            "MABWiser": (mabwiser, {}),
            "contextualbandits": (contextual, {}),
        },
        "thompson": {
            "omnireco": (ours, plain),
            "omnireco + propensities": (ours, {}),
            "omnireco exact": (ours, plain | {"exact": True}),
            "omnireco 16 groups": (ours, plain | {"groups": 16}),
            "MABWiser": (mabwiser, {}),
            "contextualbandits": (contextual, {}),
            "contextualbandits ci": (contextual, {"sample_from": "ci"}),
        },
    }
    made = {}
    for policy, rows in table.items():
        for name, (make, options) in rows.items():
            try:
                made.setdefault(policy, {})[name] = make(policy, arm, x, reward, n_arms, **options)
            except ImportError as error:
                missing.setdefault(name, str(error.name))
    return made


def speed(shapes, budget):
    """Time decisions: every engine gets contexts for about `budget` seconds, three times in turn."""
    rows = []
    for d, n_arms, m in shapes:
        rng = np.random.default_rng(d + n_arms)
        arm, x, reward = world(d, n_arms, 20, rng)
        contexts = world(d, 1, m, rng)[1]
        for policy, found in engines(arm, x, reward, n_arms).items():
            size, ones, chosen, seconds, single = {}, {}, {}, {name: [] for name in found}, {name: [] for name in found}
            for name, (decide, _) in found.items():
                decide(contexts[:2])
                start = time.process_time()
                decide(contexts[:1])
                first = time.process_time() - start
                start = time.process_time()
                decide(contexts[:20])
                ones[name] = int(np.clip(0.02 / max(first, 1e-9), 3, 200))
                size[name] = int(np.clip(budget / max((time.process_time() - start) / 20, 1e-9), 20, m))
            for _ in range(5):
                for name, (decide, _) in found.items():
                    start = time.process_time()
                    chosen[name] = decide(contexts[: size[name]])
                    seconds[name].append((time.process_time() - start) / size[name])
                    start = time.process_time()
                    for row in range(ones[name]):
                        decide(contexts[row : row + 1])
                    single[name].append((time.process_time() - start) / ones[name])
            for name in found:
                row = {
                    "policy": policy, "d": d, "arms": n_arms, "engine": name, "contexts": size[name],
                    "per_second": 1 / np.median(seconds[name]), "single_us": 1e6 * np.median(single[name]),
                }  # fmt: skip
                if policy == "linucb" and "omnireco exact" in chosen:
                    both = min(size[name], size["omnireco exact"])
                    row["same_arm"] = float(np.mean(chosen[name][:both] == chosen["omnireco exact"][:both]))
                rows.append(row)
            base = {r["engine"]: r for r in rows if (r["policy"], r["d"], r["arms"]) == (policy, d, n_arms)}
            for name, row in base.items():
                ratio = base["omnireco"]["per_second"] / row["per_second"]
                quick = row["single_us"] / base["omnireco"]["single_us"]
                row["times"], row["single_times"] = ratio, quick
                print(
                    f"  {policy:9} d={d:<3} arms={n_arms:<6} {name:24} {row['per_second']:12,.0f}/s x{ratio:8.1f}"
                    f"   one: {row['single_us']:9,.0f} us x{quick:7.1f}   same {row.get('same_arm', float('nan')):.4f}",
                    flush=True,
                )
    return rows


def updates(shapes):
    """Time single updates, one event after the other."""
    rows = []
    for d, n_arms, _ in shapes:
        rng = np.random.default_rng(1)
        arm, x, reward = world(d, n_arms, 2, rng)
        for name, (make, n) in {
            "omnireco": (ours, 20_000), "MABWiser": (mabwiser, 6), "contextualbandits": (contextual, 6)
        }.items():  # fmt: skip
            try:
                _, update = make("linucb", arm, x, reward, n_arms)
            except ImportError:
                continue
            events = [(int(arm[i % len(arm)]), x[i % len(arm)], float(reward[i % len(arm)])) for i in range(n)]
            update(*events[0])
            seconds = []
            for part in np.array_split(np.arange(n), 3):
                start = time.process_time()
                for i in part:
                    update(*events[i])
                seconds.append((time.process_time() - start) / len(part))
            rows.append({"d": d, "arms": n_arms, "engine": name, "per_second": 1 / np.median(seconds)})
            print(f"  d={d:<3} arms={n_arms:<6} {name:20} {rows[-1]['per_second']:12,.1f} single updates/s", flush=True)
    return rows


def play(bandit, truth, d, rounds, batch, seed, *, n_arms, columns=None, swap=None):
    """Return the regret of each batch: rewards of 0 and 1 with chances truth(x)."""
    rng, found = np.random.default_rng(seed), []
    used = d if columns is None else columns
    live = bandit.start(range(n_arms), n_features=used)
    for step in range(rounds // batch):
        x = rng.normal(size=(batch, d))
        p = truth(x)
        p = p[:, ::-1] if swap is not None and step * batch >= swap else p
        chosen = live.decide(x[:, :used], seed=seed, propensities=False, threads=1)
        got = p[np.arange(batch), chosen.arm[:, 0]]
        found.append(float((p.max(axis=1) - got).mean()))
        live.reward(chosen.ids, (rng.random(batch) < got).astype(float))
    return np.array(found)


def logistic(n_arms, d, seed, matters=True):
    """Chances of a reward: logistic in the context, or the same for everybody."""
    rng = np.random.default_rng(seed)
    w, c = 1.5 * rng.normal(size=(n_arms, d)) / np.sqrt(d) * matters, rng.normal(size=n_arms) - 0.5
    return lambda x: 1 / (1 + np.exp(-(1.5 * x @ w.T + c)))


def regret(quick, long):
    """Compare policies on the same worlds, with and without context, where it matters and where it does not."""
    rounds, seeds = (5000, 2) if quick else (30_000, 10 if long else 3)
    n_arms, d = 50, 24
    policies = {
        policy: {"policy": policy} for policy in ("thompson", "linucb", "softmax", "squarecb", "epsilon_greedy")
    }
    policies |= {
        "thompson 16 groups": {"policy": "thompson", "groups": 16},
        "thompson disjoint": {"policy": "thompson", "shared": False},
        "linucb disjoint": {"policy": "linucb", "shared": False},
    }
    bare = ("thompson", "softmax")
    rows = []
    for matters in (True, False):
        worlds = [logistic(n_arms, d, seed, matters) for seed in range(seeds)]
        x = np.random.default_rng(9).normal(size=(4000, d))
        random = float(np.mean([(p.max(axis=1) - p.mean(axis=1)).mean() for p in (world(x) for world in worlds)]))
        print(f"  context {'matters' if matters else 'does not matter'}: drawing evenly {random:.4f}", flush=True)
        for name, options in policies.items():
            if not matters and not long and name in ("squarecb", "epsilon_greedy", "thompson 16 groups"):
                continue
            for columns in (d, 0) if name in bare else (d,):
                bandit = om.LinearBandit(**options)
                parts = np.array([
                    play(bandit, worlds[seed], d, rounds, 250, seed, n_arms=n_arms, columns=columns)
                    for seed in range(seeds)
                ])  # fmt: skip
                means, half = parts.mean(axis=1), parts.shape[1] // 2
                row = {
                    "matters": matters, "policy": name, "context": columns > 0, "regret": means.tolist(),
                    "first_half": float(parts[:, :half].mean()), "second_half": float(parts[:, half:].mean()),
                    "random": random,
                }  # fmt: skip
                rows.append(row)
                print(
                    f"    {name:20} {'context' if columns else 'no context':10} {means.mean():.4f} (seeds "
                    f"{means.min():.4f} to {means.max():.4f}), halves {row['first_half']:.4f} {row['second_half']:.4f}",
                    flush=True,
                )
    return rows + fast_and_exact(5000, seeds) + drift(rounds, seeds)


def fast_and_exact(rounds, seeds):
    """Compare the fast form with the exact one where they differ: 50 arms with 48 features."""
    n_arms, d, rows = 50, 48, []
    print("  regret of the fast form and of the exact one, the same worlds")
    for policy in ("thompson", "linucb"):
        for shared in (True, False):
            fast, exact = (
                np.array([
                    play(
                        om.LinearBandit(policy=policy, shared=shared, exact=form), logistic(n_arms, d, seed), d, rounds,
                        250, seed, n_arms=n_arms,
                    ).mean()
                    for seed in range(seeds)
                ])
                for form in (False, True)
            )  # fmt: skip
            ratio = float(fast.mean() / exact.mean())
            rows.append({
                "policy": policy, "shared": shared, "fast": fast.tolist(), "exact": exact.tolist(), "ratio": ratio
            })  # fmt: skip
            print(
                f"    {policy:9} {'shared' if shared else 'disjoint':9} {fast.mean():.4f} and {exact.mean():.4f}: "
                f"{100 * (ratio - 1):+.1f} % (seeds {100 * (fast / exact - 1).min():+.1f} to "
                f"{100 * (fast / exact - 1).max():+.1f})",
                flush=True,
            )
    return rows


def drift(rounds, seeds):
    """Swap the arms after half of the rounds: who comes back?"""
    rows = []
    print("  a world whose arms swap after half of the rounds: regret in the last tenth")
    for discount in (1.0, 0.999):
        parts = [
            play(
                om.LinearBandit(discount=discount), logistic(10, 4, seed), 4, rounds, 100, seed, n_arms=10,
                swap=rounds // 2,
            )
            for seed in range(seeds)
        ]  # fmt: skip
        late = [float(part[-len(part) // 10 :].mean()) for part in parts]
        rows.append({"drift": True, "discount": discount, "late": late})
        print(f"    discount {discount}: {np.mean(late):.4f} (seeds {min(late):.4f} to {max(late):.4f})", flush=True)
    return rows


def open_bandit():
    """Learn on the first half of the random log, value on its second half, beside both loggers."""
    folder = os.environ.get("OMNIRECO_DATA")
    if not folder or not (Path(folder) / "open_bandit_sample").exists():
        print("  OMNIRECO_DATA is not set: skipped")
        return []
    import pandas as pd

    rows = []
    for campaign in ("all", "women"):
        logs = {
            name: pd.read_parquet(Path(folder) / "open_bandit_sample" / f"{campaign}_{name}.parquet")
            for name in ("random", "bts")
        }
        log = logs["random"].sort_values("timestamp", kind="stable").reset_index(drop=True)
        person = pd.get_dummies(log[[f"user_feature_{i}" for i in range(3)]].astype("category"), dtype=float)
        x = np.column_stack([person, pd.get_dummies(log["position"], dtype=float)])
        arm, click = log["item_id"].to_numpy(np.int64), log["click"].to_numpy(float)
        n_arms, half = int(arm.max()) + 1, len(log) // 2
        # Tuning would need more clicks than there are: one conservative setting, chosen before seeing the test half.
        bandit = om.LinearBandit(policy="softmax", exploration=0.03, shared=True, regularization=10.0, floor=0.1)
        live = bandit.fit(om.choices.Feedback(arm[:half], x[:half], click[:half], arm_ids=range(n_arms)))
        pi = live.propensity(x[half:])
        pi /= pi.sum(axis=1, keepdims=True)
        propensity = log["propensity_score"].to_numpy()[half:]
        logged = om.causal.LoggedDecisions(click[half:], propensity, actions=arm[half:])
        foreseen = om.causal.cross_fitted_rewards(logged, x[half:], n_actions=n_arms)
        by_item = np.bincount(logs["bts"]["item_id"], minlength=n_arms) / len(logs["bts"])
        policies = {"learned": pi, "bts, its shares": np.broadcast_to(by_item, pi.shape)}
        result = om.causal.off_policy(logged, policies, predicted=foreseen, least_effective=100)
        for name, part in logs.items():
            rate = part["click"].mean()
            error = 1.96 * np.sqrt(rate * (1 - rate) / len(part))
            rows.append({"campaign": campaign, "logger": name, "clicks": rate, "half_width": error})
            print(f"  {campaign} {name}: {rate:.4f} clicks per item shown, 95 % +-{error:.4f}")
        kept = result.table[result.table["estimator"].isin(["dr", "snips"])]
        print("\n".join("    " + line for line in kept.to_string().splitlines()))
        print("    " + result.verdict.replace("\n", "\n    "), flush=True)
        rows.append({"campaign": campaign, "table": kept.to_dict("records")})
    return rows


missing = {}  # libraries that are not installed, and why


def main():
    parser = options_of(__doc__, quick="small shapes, few rounds")
    parser.add_argument("--long", action="store_true", help="every policy in every world, ten seeds, longer timings")
    parser.add_argument("--large", action="store_true", help="also decide among 10,000 arms")
    parser.add_argument("--only", nargs="*", default=["speed", "updates", "regret", "log"])
    parser.add_argument("--json", default="benchmarks/results/bandits.json")
    options = parser.parse_args()
    header(__doc__)
    path = Path(options.json)
    found = json.loads(path.read_text()) if path.exists() else {}
    shapes = SHAPES[:2] if options.quick else SHAPES
    if "speed" in options.only:
        print("decisions per second, one thread")
        found["speed"] = speed(shapes + [LARGE] * options.large, 0.5 if options.long else 0.1)
    if "updates" in options.only:
        print("single updates per second")
        found["updates"] = updates(shapes if options.quick else [*SHAPES, LARGE])
    if "regret" in options.only:
        print("regret per round")
        found["regret"] = regret(options.quick, options.long)
    if "log" in options.only:
        print("Open Bandit sample")
        found["log"] = open_bandit()
    told({name: found[name] for name in options.only})
    if not options.quick:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1))
    return 0


def told(found):
    """Say the headline numbers: decisions, updates and regret."""
    for name, why in missing.items():
        left_out(name, f"{why} is not installed")
    rows = {(r["policy"], r["arms"], r["d"], r["engine"]): r for r in found.get("speed", [])}
    for policy, arms, d in dict.fromkeys(key[:3] for key in rows):
        what, ours = f"{policy}, {arms} arms x {d}: decisions", rows[policy, arms, d, "omnireco"]
        peers = [name for name in ("MABWiser", "contextualbandits") if (policy, arms, d, name) in rows]
        for name in peers:
            row = rows[policy, arms, d, name]
            headline(what, ours["per_second"], "/s", beside=name, theirs=row["per_second"], ratio=row["times"])
        if not peers:
            headline(what, ours["per_second"], "/s")
    for row in found.get("updates", []):
        if row["engine"] == "omnireco":
            headline(f"{row['arms']} arms x {row['d']}: single updates", row["per_second"], "/s")
    for row in found.get("regret", []):
        if row.get("matters") and row.get("context"):
            ours = float(np.mean(row["regret"]))
            headline(f"regret a round, {row['policy']}", ours, beside="drawing evenly", theirs=row["random"])


if __name__ == "__main__":
    sys.exit(main())
