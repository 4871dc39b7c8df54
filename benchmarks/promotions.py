"""Does it help to know what a household may have seen? Displays and mailers of The Complete Journey, split in time.

    python benchmarks/promotions.py [--level product_type|product_category]

Needs omnireco[demo]. Exposures (`omnireco.worlds.datasets.complete_journey_promotions`) before the cut are added to
what households bought in the store, at a share of its mass; the share is chosen on four weeks before the cut, for each
model by itself, and the test is touched once: what households bought in the four weeks after it. "No gain" is an
answer. A control adds as much of what everybody buys instead: promoted goods are popular goods, so a model may gain
from that alone. Writes results/promotions.json.
"""

from __future__ import annotations

import resource
from time import perf_counter, process_time

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _common import header, headline_of, options, write

import omnireco as om

CUT, HORIZON, K = pd.Timestamp("2017-12-04", tz="UTC"), pd.Timedelta("28D"), 10
HAND = om.Weights(half_life="90D", cap=20)
SHARES = (0.01, 0.03, 0.1, 0.3)
MODELS = {"EASE": om.EASE(regularization=500), "ALS": om.ALS(factors=32, seed=7)}


def mixed(x: om.Interactions, seen: om.Interactions, share: float) -> om.Interactions:
    """Return the matrix plus exposures of a share of its mass, on its people and items."""
    seen = seen.with_items(x.items)
    row = seen.users.codes(x.users.ids, missing="none")
    aligned = sp.vstack([seen.csr, sp.csr_matrix((1, x.n_items), dtype=np.float32)]).tocsr()[row]
    csr = sp.csr_matrix(x.csr + aligned * np.float32(share * x.csr.sum() / max(aligned.sum(), 1e-9)))
    csr.sort_indices()
    return om.Interactions(x.users, x.items, csr, {"all": csr}, x.at_us)


def everybodys(x: om.Interactions) -> om.Interactions:
    """Return the control: to everybody what everybody buys, as much of it as they buy; it knows no promotion."""
    people, goods = np.asarray(x.csr.sum(axis=1)), np.asarray(x.csr.sum(axis=0))
    return om.Interactions.from_scipy(sp.csr_matrix(people @ goods / goods.sum()), users=x.users, items=x.items)


def lists(log: om.EventLog, shown: om.EventLog, cut: pd.Timestamp, shares: dict[str, tuple[float, ...]]) -> dict:
    """Rank for everybody who bought before the cut: every model on the store alone, and with exposures."""
    x = log.before(cut).matrix(HAND)
    old = om.Weights(half_life="90D")
    parts = {
        name: shown.select(channels=names).before(cut).matrix(old)
        for name, names in {"display": ["display"], "mailer": ["mailer"], "both": ["display", "mailer"]}.items()
    }
    parts["everybody's"] = everybodys(x)
    found = {}
    for model, estimator in MODELS.items():
        found[model, "store only", 0.0] = estimator.fit(x).recommend(x, k=K, exclude_seen=False)
        for name, seen in parts.items():
            for share in shares[f"{model}, {name}"]:
                both = mixed(x, seen, share)
                found[model, name, share] = estimator.fit(both).recommend(both, k=K, exclude_seen=False)
    return found


def main() -> None:
    parser = options(__doc__, quick="product categories, and one share is tried")
    parser.add_argument("--level", default="product_type", choices=["product_type", "product_category"])
    asked = parser.parse_args()
    header(__doc__)
    level, shares = ("product_category", SHARES[:1]) if asked.quick else (asked.level, SHARES)
    wall, cpu = perf_counter(), process_time()
    shown = om.worlds.complete_journey_promotions(item_level=level)
    made = {
        "seconds": perf_counter() - wall,
        "cpu_seconds": process_time() - cpu,
        "events": len(shown),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    print(
        f"{shown}: {made['seconds']:.1f} s, {made['cpu_seconds']:.1f} s CPU, peak {made['peak_gb']:.1f} GB", flush=True
    )
    log = om.worlds.complete_journey(item_level=level).log.select(channels=["store"])
    names = [f"{model}, {name}" for model in MODELS for name in ("display", "mailer", "both", "everybody's")]
    earlier = CUT - HORIZON
    tried = lists(log, shown, earlier, dict.fromkeys(names, shares))
    truth = log.between(earlier, CUT)
    means = om.evaluate({str(key): one for key, one in tried.items()}, truth, k=K, metrics=[om.ndcg], n_bootstrap=0)
    score = dict(zip(tried, means.to_frame()["mean"], strict=True))
    chosen = {name: max(shares, key=lambda s, n=name: score[(*n.split(", "), s)]) for name in names}
    print(
        "validation:",
        {f"{m}, {n}, {s:g}": round(v, 4) for (m, n, s), v in score.items()},
        "\nchosen:",
        chosen,
        flush=True,
    )
    final = lists(log, shown, CUT, {name: (share,) for name, share in chosen.items()})
    test = log.between(CUT, CUT + HORIZON)
    answer = {"level": level, "made": made, "chosen": chosen, "tables": {}}
    for model in MODELS:
        own = {f"{name} {share:g}": one for (m, name, share), one in final.items() if m == model}
        report = om.evaluate(own, test, k=K, metrics=[om.ndcg, om.recall])
        control = next(name for name in own if name.startswith("everybody"))
        gaps = pd.concat([report.differences("store only 0"), report.differences(control)])
        print(f"\n{model}\n{report.to_frame().round(4).to_string()}\n{gaps.round(4).to_string()}", flush=True)
        for name in own:
            if name.startswith("both"):
                headline_of(report, name, "store only 0", f"NDCG@{K}, {model}, {name}")
                headline_of(report, name, control, f"NDCG@{K}, {model}, {name}")
        answer["tables"][model] = {"means": report.to_frame().to_dict("records"), "gaps": gaps.to_dict("records")}
    if not asked.quick:
        write("promotions", answer)


if __name__ == "__main__":
    main()
