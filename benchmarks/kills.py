"""kill -9 at random moments of observe, snapshot and erase: what is found afterwards is the state before or after.

Run: python benchmarks/kills.py [--moments 200] [--seed 0] [--quick]

A child process works; the parent kills it after a random time, opens what is left, and looks: every acknowledged event
is there, batches are whole, a snapshot is the old or the new one, and an erased person is there in everything or in
not a single byte of any file.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import omnireco as om
from omnireco.live import Live, Rules, Snapshot, SQLiteStore

ITEMS = [f"i{i:02d}" for i in range(40)]
SECRET = "zz-SECRET-777"
AT = "2025-05-01T12:00:00Z"


def model(sign):
    """Return one of two models that are told apart by a number."""
    factors = np.full((len(ITEMS), 8), float(sign), np.float32) + np.eye(len(ITEMS), 8, dtype=np.float32)
    return om.models.FactorModel.from_arrays(
        factors, items=ITEMS, estimator=om.ALS(weights=om.Weights(), unobserved_weight=0.01)
    )


def killed(work, delay):
    """Run work(write) in a forked child, kill it after a time, and return the lines that it wrote before."""
    inside, outside = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(inside)
            work(lambda number: os.write(outside, b"%d\n" % number))
        finally:
            os._exit(0)
    os.close(outside)
    with os.fdopen(inside, "rb") as told:
        first = told.readline()  # the child has begun
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [int(line) for line in [first, *told.read().splitlines()] if line]


def observe(folder, delay, _):
    """Single events and batches of five: what was acknowledged is kept, and no batch is half there."""
    path = folder / "events.db"

    def work(write):
        live = Live(model(1), store=SQLiteStore(path))
        write(0)
        for number in range(1, 100_000):
            events = [
                {"user_id": number % 7, "event": "view", "channel": "web", "item_id": ITEMS[n], "timestamp": AT,
                 "event_id": f"{number}-{n}"}
                for n in range(5 if number % 2 else 1)
            ]  # fmt: skip
            live.observe(events)
            write(number)

    acknowledged = killed(work, delay)[-1]
    store, found = SQLiteStore(path), {}
    for key in range(7):
        for row in store.read(f"i:{key}")[1]:
            found.setdefault(int(row.event_id.split("-")[0]), []).append(row)
    store.close()
    assert sorted(found) in (list(range(1, acknowledged + 1)), list(range(1, acknowledged + 2)))
    assert all(len(rows) == (5 if number % 2 else 1) for number, rows in found.items())


def snapshot(folder, delay, _):
    """A snapshot that is replaced again and again: the old one or the new one is found, with every checksum."""
    path = folder / "live.omnireco"
    both = [Snapshot(model(sign), known_until="2025-05-01") for sign in (1, -1)]
    both[0].save(path)

    def work(write):
        write(0)
        for number in range(100_000):
            both[number % 2].save(path)

    killed(work, delay)
    found = Snapshot.open(path)
    assert any(np.array_equal(found.model.factors, one.model.factors) for one in both)
    assert len(list(folder.iterdir())) <= 2  # at most one part file, which the next save removes
    both[0].save(path)
    assert [file.name for file in folder.iterdir()] == [path.name]


def prepare_erase(folder):
    """Write a store, a log and a snapshot that know somebody."""
    people = [SECRET, *(f"user {n}" for n in range(30))]
    live = Live(model(1), store=SQLiteStore(folder / "events.db"))
    frame = pd.DataFrame(
        {"user_id": np.repeat(people, 10), "item_id": (ITEMS * 8)[: 10 * len(people)], "channel": "web",
         "event": "view", "timestamp": pd.Timestamp(AT)}
    )  # fmt: skip
    data = om.Dataset(om.EventLog.from_frame(frame, timestamp="instant"))
    live.backfill(data)
    live.close()
    om.save(data.events, folder / "log.omnireco")
    audience = om.Audience.from_frame(pd.DataFrame({"user_id": people, "timezone": "UTC", "consent_email": True}))
    Snapshot(model(1), audience=audience).save(folder / "live.omnireco")


def erase(folder, delay, template):
    """A person is in everything or, after the next start, in not a byte of any file."""
    for file in template.iterdir():
        shutil.copy(file, folder)
    files = [folder / "log.omnireco", folder / "live.omnireco"]

    def work(write):
        live = Live(Snapshot.open(folder / "live.omnireco"), store=SQLiteStore(folder / "events.db"))
        write(0)
        live.erase([SECRET], files=files)
        write(1)

    done = killed(work, delay)
    live = Live(Snapshot.open(folder / "live.omnireco"), store=SQLiteStore(folder / "events.db"), rules=Rules())
    rows = len(live.store.read(f"s:{SECRET}")[1])
    live.close()
    traces = [file.name for file in folder.iterdir() if SECRET.encode() in file.read_bytes()]
    before = rows == 10 and {"log.omnireco", "live.omnireco"} <= set(traces)
    after = rows == 0 and not traces
    assert before or after, (rows, traces)
    assert after or done == [0]
    return before


def run(moments, seed, folder):
    """Try every kind at so many moments in all; return lines that say what was found."""
    draw, lines = random.Random(seed), []
    template = Path(folder) / "template"
    template.mkdir()
    prepare_erase(template)
    for kind, most in ((observe, 0.15), (snapshot, 0.1), (erase, 0.15)):
        n = moments // 3 + (kind is observe) * (moments % 3)
        untouched = 0
        for trial in range(n):
            place = Path(folder) / f"{kind.__name__}{trial}"
            place.mkdir()
            untouched += bool(kind(place, draw.uniform(0, most), template))
            shutil.rmtree(place)
        more = f", of which {untouched} before and {n - untouched} after" if kind is erase else ""
        lines.append(f"{kind.__name__:9} killed at {n:4d} random moments: before or after each time{more}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="12 moments")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from _common import header, headline  # tests load this file from another folder

    header(__doc__)
    moments = 12 if options.quick else options.moments
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(run(moments, options.seed, folder)))
    headline("kill -9 at random moments: neither before nor after", 0, f"of {moments}", goal="<= 0")
    return 0


if __name__ == "__main__":
    sys.exit(main())
