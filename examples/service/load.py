"""Load on the service from a process of its own, while snapshots are swapped and workers are killed.

Run: python load.py [--seconds 60] [--workers 2] [--clients 4] [--items 100000] [--seed 0] [--quick]

Clients send events and ask for lists, one request after the other, and remember everything. Afterwards it is counted:

wrong answers   every list is made again from the acknowledged events by omnireco alone, and must be the same to the bit
lost events     every acknowledged event must be in the store, once
errors          only requests that were open at a worker when it was killed may fail; they are sent again

The rate per core is of requests per second of CPU that the workers used once they were ready. Everything runs on one
machine, so times include waiting for a core that clients, starting workers and others have; see the load printed.
"""

import argparse
import asyncio
import collections
import contextlib
import datetime as dt
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import omnireco as om
from omnireco.live import Live, MemoryStore, Rules, Snapshot

HERE = Path(__file__).parent
FACTORS, N = 64, 10
EVENTS = ["view"] * 6 + ["purchase", "like", "dislike", "impression"]
EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def models(folder, n_items):
    """Write three snapshots that are told apart by ``known_until``, and return them by it."""
    ids = np.array([f"i{n:06d}" for n in range(n_items)], object)
    worth = {"view": 1.0, "purchase": 8.0, "like": 4.0, "dislike": 0.0, "impression": 0.0}
    weights = om.Weights(events=worth, half_life="30D")
    found = {}
    for number in range(3):
        factors = np.random.default_rng(number).standard_normal((n_items, FACTORS)).astype(np.float32) / 8
        model = om.models.FactorModel.from_arrays(
            factors, items=ids, estimator=om.ALS(weights=weights, unobserved_weight=0.1)
        )
        until = EPOCH + dt.timedelta(days=number)
        found[until] = Snapshot(model, known_until=until)
        found[until].save(folder / f"model-{number}.omnireco")
    return found


def publish(folder, number):
    """Replace the snapshot of the service at once, as Snapshot.save does."""
    shutil.copy(folder / f"model-{number % 3}.omnireco", folder / "next.omnireco")
    os.replace(folder / "next.omnireco", folder / "live.omnireco")


class Service:
    """The service as a child of this process."""

    def __init__(self, folder, workers):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = open(folder / "service.log", "wb")  # noqa: SIM115
        command = ["-m", "uvicorn", "app:app", "--workers", str(workers), "--port", str(self.port), "--no-access-log"]
        command += ["--log-level", "warning", "--timeout-worker-healthcheck", "60"]
        environment = os.environ | {"OMNIRECO_FOLDER": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, *command], cwd=HERE, env=environment, stdout=self.log, stderr=self.log
        )

    def workers(self):
        """Return the processes that answer."""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            return [int(pid) for pid in children if "spawn_main" in command_of(pid)]
        return []

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            for pid in self.workers():
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        self.log.close()


def command_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def cpu_of(pid):
    """Return the seconds of CPU that a process has used; None when it is gone."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


class Book:
    """What clients and the killer saw."""

    def __init__(self):
        self.kills = {}  # worker: when
        self.cpu = {}  # worker: CPU when it was first ready, and last
        self.took, self.failed, self.errors = [], 0, []
        self.acknowledged, self.doubted = set(), 0
        self.story = collections.defaultdict(list)  # user: what was acknowledged and answered, in order

    def see(self, worker):
        used = cpu_of(worker)
        if used is not None:
            self.cpu.setdefault(worker, [used, used])[1] = used

    def used(self):
        return sum(last - first for first, last in self.cpu.values())


class Connection:
    """One keep-alive connection, to whichever worker takes it."""

    def __init__(self, port, book):
        self.port, self.book, self.writer, self.worker = port, book, None, None

    async def ask(self, path, body):
        """Return the answer; a request that failed because its worker was killed is sent again."""
        while True:
            began = time.perf_counter()
            try:
                if self.writer is None or self.reader.at_eof():
                    await self.connect()
                    began = time.perf_counter()
                status, answer = await self.send(f"POST {path}", json.dumps(body).encode())
            except (OSError, EOFError) as error:
                self.writer = None
                killed = self.book.kills.get(self.worker)
                if self.worker is None:  # connecting: the worker that took it is not known
                    killed = max(self.book.kills.values(), default=None)
                if killed is None or not killed - 10 < began < killed + 0.2:
                    self.book.errors.append(f"{path}: {type(error).__name__} at a worker that was not killed")
                self.book.failed += 1
                continue
            self.book.took.append(time.perf_counter() - began)
            if status != 200:
                self.book.errors.append(f"{path}: {status} {answer}")
            return answer

    async def connect(self):
        self.worker = None
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        _, answer = await self.send("GET /api/health/ready", b"")
        self.worker = answer["worker"]
        self.book.see(self.worker)

    async def send(self, line, body):
        head = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head[9:12]), json.loads(await self.reader.readexactly(size))


async def client(name, port, book, draw, n_items, until):
    """Send events and ask for lists of twenty people until an instant."""
    line, sent = Connection(port, book), []
    while time.perf_counter() < until:
        user = f"{name}-{draw.randrange(20)}"
        if draw.random() < 0.5:
            answer = await line.ask("/api/recommend", {"user_id": user, "n": N})
            book.story[user].append(answer)
            continue
        again = sent and draw.random() < 0.05
        item = f"i{draw.randrange(n_items):06d}"
        event = draw.choice(sent) if again else {
            "user_id": user, "event": draw.choice(EVENTS), "channel": "web", "item_id": item,
            "timestamp": dt.datetime.now(dt.UTC).isoformat(), "event_id": f"{name}-{time.time_ns()}",
        }  # fmt: skip
        failed = book.failed
        answer = await line.ask("/api/feedback", [event])
        if "new" not in answer or (answer["new"] != (not again) and book.failed == failed):
            book.errors.append("an event was not counted once")
        if not again:
            sent.append(event)
            book.acknowledged.add(event["event_id"])
            book.story[user].append(event)


async def swap(folder, every):
    for number in range(1, 1_000_000):
        await asyncio.sleep(every)
        await asyncio.to_thread(publish, folder, number)


async def kill(service, book, draw, pause):
    while True:
        await asyncio.sleep(draw.uniform(*pause))
        ready = [pid for pid in service.workers() if pid in book.cpu and pid not in book.kills]
        if ready:
            worker = draw.choice(ready)
            book.see(worker)
            book.kills[worker] = time.perf_counter()
            os.kill(worker, signal.SIGKILL)


async def watch(service, book):
    while True:
        for worker in service.workers():
            if worker in book.cpu and worker not in book.kills:
                book.see(worker)
        await asyncio.sleep(0.1)


async def phase(service, folder, book, name, options, seconds, *, storm):
    """Run all clients for a time."""
    draw = random.Random(f"{options.seed} {name}")
    around = [watch(service, book)]
    if storm:
        around += [swap(folder, options.swap_every), kill(service, book, draw, options.kill_every)]
    tasks = [asyncio.create_task(one) for one in around]
    end = time.perf_counter() + seconds
    users = (f"{name}{number}" for number in range(options.clients))
    await asyncio.gather(*(client(user, service.port, book, random.Random(user), options.items, end) for user in users))
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)


def wrong(book, snapshots, rules, most):
    """Make lists again from what was acknowledged, and count those that differ, and how many were compared."""
    store, compared, different = MemoryStore(), 0, 0
    lives = {until: Live(snapshot, rules=rules, store=store) for until, snapshot in snapshots.items()}
    for user, story in book.story.items():
        for told in story:
            if "event" in told:
                next(iter(lives.values())).observe(told)
                continue
            if compared == most:
                return different, compared
            live = lives[dt.datetime.fromisoformat(told["known_until"])]
            answer = live.recommend(user, N, at=told["at"])
            again = [
                {"id": item, "score": score} for item, score in zip(answer.items, answer.scores.tolist(), strict=True)
            ]
            different += told["items"] != again
            compared += 1
    return different, compared


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--swap-every", type=float, default=5)
    parser.add_argument("--kill-every", type=float, nargs=2, default=(5, 15), help="seconds, drawn between two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="12 seconds, 2,000 items")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.items = 12, 2000
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        snapshots = models(folder, options.items)
        publish(folder, 0)
        service = Service(folder, options.workers)
        try:
            wait(service)
            books = {}
            for name, seconds in (("calm", options.seconds / 4), ("storm", options.seconds)):
                books[name] = Book()
                asyncio.run(phase(service, folder, books[name], name, options, seconds, storm=name == "storm"))
            ended = service.process.poll()
        finally:
            service.stop()
        kept = [row[0] for row in sqlite3.connect(folder / "events.db").execute("SELECT event_id FROM events")]
        log = (folder / "service.log").read_text()
    print(f"{options.items:,} items x {FACTORS} factors, {options.workers} workers, {options.clients} clients, "
          f"{os.cpu_count()} cores shared with clients and others: load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'':6} {'requests':>9} {'per s':>7} {'per s and core':>15} {'p50 ms':>7} {'p99 ms':>7}")
    for name, book in books.items():
        took = np.array(book.took) * 1000
        spent = options.seconds / 4 if name == "calm" else options.seconds
        print(f"{name:6} {took.size:9,} {took.size / spent:7,.0f} {took.size / max(book.used(), 0.01):15,.0f} "
              f"{np.percentile(took, 50):7.2f} {np.percentile(took, 99):7.2f}")  # fmt: skip
    print(f"{'goal':6} {'':9} {'':7} {'>= 2,000':>15} {'':7} {'<= 3':>7}")
    faults = [error for book in books.values() for error in book.errors]
    if ended is not None:
        faults.append("the service ended")
    acknowledged = set().union(*(book.acknowledged for book in books.values()))
    lost, twice = len(acknowledged - set(kept)), len(kept) - len(set(kept))
    storm = books["storm"]
    different, compared = 0, 0
    for book in books.values():
        found = wrong(book, snapshots, Rules(repeat_after="30min"), 50_000)
        different, compared = different + found[0], compared + found[1]
    swapped = {told["known_until"] for story in storm.story.values() for told in story if "items" in told}
    print(f"{len(storm.kills)} workers killed, {storm.failed} requests open there sent again; "
          f"{len(swapped)} models answered")  # fmt: skip
    print(f"wrong answers: {different} of {compared:,}; lost events: {lost} of {len(acknowledged):,}, twice: {twice}; "
          f"errors: {len(faults)}")  # fmt: skip
    for fault in faults[:5]:
        print("  ", fault)
    if "storm" in log or "calm" in log:
        print("an id is in the log")
        return 1
    return 1 if different or lost or twice or faults else 0


def wait(service):
    """Wait until every worker answers."""
    import urllib.request

    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{service.port}/api/health/ready", timeout=5).read()
            return
        if service.process.poll() is not None:
            break
        time.sleep(0.2)
    raise SystemExit("the service did not start")


if __name__ == "__main__":
    sys.exit(main())
