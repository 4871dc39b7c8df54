"""Creatives: learning a day's messages with `updated` beside a fit on everything.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/creatives.py [--quick]

CPU seconds on one thread, both in turn, medians of three; the log is in memory already. Interests of people are flags,
of which few combinations exist, or measured numbers, which differ for everybody: the case in which nothing can be
gained. Both give the same model to the bit, and the script checks that.
"""

import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from _common import header, headline, options

import omnireco as om


def world(n, n_people, n_items, each, kind):
    """A log of `n` impressions over 60 days, creatives with four tags, and three interests of people."""
    rng = np.random.default_rng(0)
    creative = np.arange(n_items * each)
    art = pd.DataFrame({"creative_id": creative, "item_id": creative // each})
    for tag in "abcd":
        art[tag] = rng.integers(0, 2, creative.size) * 1.0
    value = {"flags": rng.integers(0, 2, (n_people, 3)) * 1.0, "numbers": rng.normal(size=(n_people, 3))}
    people = None
    if kind in value:
        table = pd.DataFrame(value[kind], columns=["x", "y", "z"]).assign(user_id=np.arange(n_people))
        people = om.Interactions.from_frame(table.melt("user_id", var_name="item_id", value_name="weight"))
    shown, user = rng.integers(0, creative.size, n), rng.integers(0, n_people, n)
    sent = pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(np.sort(rng.integers(0, 60 * 86_400, n)), "s")
    taken = rng.random(n) < 1 / (1 + np.exp(2 - rng.normal(0, 0.5, creative.size)[shown]))
    frame = {"user_id": user, "item_id": shown // each, "creative_id": shown, "channel": "web", "sent_at": sent}
    log = om.MessageLog.from_frame(pd.DataFrame(frame | {"responded_at": pd.Series(sent).where(taken)}))
    return art, people, log


def main():
    chosen = options(__doc__).parse_args()
    header()
    n, n_people = (40_000, 5_000) if chosen.quick else (1_000_000, 100_000)
    print(f"{n:,} messages of {n_people:,} people, 200 creatives of 50 items, 4 tags; learning the last of 60 days")
    for kind in ("none", "flags", "numbers"):
        art, people, log = world(n, n_people, 50, 4, kind)
        cut = "2025-04-29"
        early, late = log.before(cut), log.since(cut)
        fit = om.choices.Creatives().fit
        model = fit(om.Dataset(messages=early, creatives=art, attributes=people))
        seconds = {"fit": [], "updated": []}
        for _ in range(3):
            start = time.process_time()
            whole = fit(om.Dataset(messages=log, creatives=art, attributes=people))
            seconds["fit"].append(time.process_time() - start)
            start = time.process_time()
            fresh = model.updated(late)
            seconds["updated"].append(time.process_time() - start)
        same = all(np.array_equal(getattr(fresh, name), getattr(whole, name)) for name in ("weights", "spread"))
        spent = {name: float(np.median(value)) for name, value in seconds.items()}
        print(
            f"  interests {kind:8s} {len(fresh.cell_counts):>9,} counts, {len(late):,} new: fit {spent['fit']:.3f} s, "
            f"updated {spent['updated']:.3f} s: {spent['fit'] / spent['updated']:.1f} times; same model: {same}"
        )
        what, ratio = f"learn a day's messages, interests {kind}", spent["fit"] / spent["updated"]
        headline(what, spent["updated"], "CPU s", beside="a whole fit", theirs=spent["fit"], ratio=ratio)


if __name__ == "__main__":
    main()
