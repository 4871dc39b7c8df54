"""The batch job beside the service: fit on what is known, and hand the models over.

Run: python make_snapshot.py [folder]

It simulates a company; put your own Dataset there (docs: "Bring your own events"). Run it as often as you like: the
service answers with the new snapshot within a second, and no request waits.
"""

import datetime as dt
import sys
from pathlib import Path

import omnireco as om
from omnireco.live import Live, Snapshot, SQLiteStore


def main(folder: Path) -> None:
    """Write ``live.omnireco`` and, once, what people did before the service began."""
    folder.mkdir(parents=True, exist_ok=True)
    begin = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=90)
    past = om.simulate(n_users=200, n_items=60, days=90, start=begin.isoformat(), seed=4).dataset()
    worth = {"view": 1, "add_to_cart": 3, "like": 5, "purchase": 8, "impression": 0}
    weights = om.Weights(events=worth, half_life="30D", missing="ignore")
    snapshot = Snapshot(
        om.ALS(factors=16, seed=7, weights=weights).fit(past),
        timing=om.SendTime().fit(past),
        audience=past.audience,
        catalog=past.catalog,
        known_until=past.end,
    )
    store = SQLiteStore(folder / "events.db")
    Live(snapshot, store=store).backfill(past)  # a second time it adds nothing
    store.close()
    print(f"{snapshot.save(folder / 'live.omnireco').name}: {snapshot!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
