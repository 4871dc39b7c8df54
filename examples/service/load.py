"""Load on the service from a process of its own, while snapshots are swapped and workers are killed.

Run: python load.py [--seconds 60] [--workers 1] [--clients 4] [--items 100000] [--rate 0] [--seed 0] [--quick]

Half of the requests are events, half ask for lists. Three phases, one after the other:

most     every client sends its next request when it has an answer: how many there can be. Its times leave out the
         requests that were not sent meanwhile (coordinated omission), so they are not printed
steady   requests are due at random instants (Poisson), half as many as there can be, or ``--rate``; a time is counted
         from the instant at which a request was due, also when all clients were busy then
storm    the same, while a snapshot is published every few seconds and workers are killed (SIGKILL) at random

Clients remember everything. Afterwards it is counted:

wrong answers   every list is made again from the acknowledged events by omnireco alone, and must be the same to the bit
lost events     every acknowledged event must be in the store, once
errors          only requests that were open at a worker when it was killed may fail; they are sent again

The rate per core is of requests per second of CPU that the workers used. Everything runs on one machine: times hold
waiting for a core that others have. So the table says how long a worker waited for a core per request, and how late
this process sent.
"""

import argparse
import asyncio
import collections
import contextlib
import datetime as dt
import gc
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np

import omnireco as om
from omnireco.live import Live, MemoryStore, Rules, Snapshot

HERE = Path(__file__).parent
FACTORS, N = 64, 10
EVENTS = ["view"] * 6 + ["purchase", "like", "dislike", "impression"]
EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PHASES = ("most", "steady", "storm")


# The service ---------------------------------------------------------------------------------------------------------


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
    os.link(folder / f"model-{number % 3}.omnireco", folder / "next.omnireco")
    os.replace(folder / "next.omnireco", folder / "live.omnireco")


class Service:
    """The service as a child of this process."""

    def __init__(self, folder, workers):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = open(folder / "service.log", "wb")  # noqa: SIM115
        command = [sys.executable, "serve.py", "--workers", str(workers), "--port", str(self.port)]
        environment = os.environ | {"OMNIRECO_FOLDER": str(folder)}
        self.process = subprocess.Popen(command, cwd=HERE, env=environment, stdout=self.log, stderr=self.log)
        for _ in range(900):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/health/ready", timeout=5).read()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        raise SystemExit(f"the service did not start: {(folder / 'service.log').read_text()}")

    def workers(self):
        """Return the processes that answer."""
        with contextlib.suppress(OSError):
            pid = self.process.pid
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            for pid in self.workers():
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        self.log.close()


def used_by(pid):
    """Return the seconds of CPU that a process has used, and those that it waited for a core; None when it is gone."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        waited = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
        return np.array([(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), waited / 1e9])
    return None


# The clients ---------------------------------------------------------------------------------------------------------


class Book:
    """What clients and the killer saw."""

    def __init__(self):
        self.kills = {}  # worker: when
        self.spent = {}  # worker: CPU and waiting when it was first seen, and last
        self.took, self.late, self.again, self.failed, self.errors = [], [], [], 0, []
        self.acknowledged = set()
        self.story = collections.defaultdict(list)  # user: what was acknowledged and answered, in order
        self.seconds = 0.0

    def see(self, worker):
        found = used_by(worker)
        if found is not None:
            self.spent.setdefault(worker, [found, found])[1] = found

    def used(self):
        return sum((last - first for first, last in self.spent.values()), np.zeros(2))


class Line(asyncio.Protocol):
    """One connection that is kept, and at most one request on it."""

    def __init__(self):
        self.held, self.answer = b"", None

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        self._end(EOFError())

    def eof_received(self):
        self._end(EOFError())

    def _end(self, error):
        self.transport.close()
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)

    def data_received(self, data):
        self.held += data
        head, found, body = self.held.partition(b"\r\n\r\n")
        if found:
            size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(body) >= size and not self.answer.done():
                self.held = b""
                self.answer.set_result((int(head[9:12]), body))

    def send(self, line, body):
        self.answer = asyncio.get_running_loop().create_future()
        head = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)
        return self.answer


class Client:
    """Somebody who asks for twenty people, and remembers what was answered."""

    def __init__(self, name, port, book, n_items):
        self.name, self.port, self.book, self.n_items = name, port, book, n_items
        self.draw, self.sent, self.line, self.worker = random.Random(name), [], None, None

    async def ask(self, path, body):
        """Return the answer; a request that failed because its worker was killed is sent again."""
        data, failed = json.dumps(body).encode(), 0.0
        while True:
            began = time.perf_counter()
            try:
                if self.line is None or self.line.transport.is_closing():
                    await self.connect()
                    began = time.perf_counter()
                status, answer = await self.line.send(f"POST {path}", data)
            except (OSError, EOFError) as error:
                self.line = None
                killed = self.book.kills.get(self.worker)
                if self.worker is None:  # connecting: the worker that took it is not known
                    killed = max(self.book.kills.values(), default=None)
                if killed is None or not killed - 10 < began < killed + 0.2:
                    self.book.errors.append(f"{path}: {type(error).__name__} at a worker that was not killed")
                self.book.failed += 1
                failed = failed or time.perf_counter()
                continue
            if status != 200:
                self.book.errors.append(f"{path}: {status} {answer[:200]}")
            if failed:
                self.book.again.append(time.perf_counter() - failed)
            return answer

    async def connect(self):
        self.worker = None
        _, self.line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", self.port)
        _, answer = await self.line.send("GET /api/health/ready", b"")
        self.worker = json.loads(answer)["worker"]
        self.book.see(self.worker)

    async def one(self, due):
        """Send one request, which was due at an instant."""
        draw, book = self.draw, self.book
        user, failed = f"{self.name}-{draw.randrange(20)}", book.failed
        if draw.random() < 0.5:
            answer = await self.ask("/api/recommend", {"user_id": user, "n": N})
            book.took.append(time.perf_counter() - due)
            book.story[user].append(answer)
            return
        again = self.sent and draw.random() < 0.05
        event = draw.choice(self.sent) if again else {
            "user_id": user, "event": draw.choice(EVENTS), "channel": "web",
            "item_id": f"i{draw.randrange(self.n_items):06d}",
            "timestamp": dt.datetime.now(dt.UTC).isoformat(), "event_id": f"{self.name}-{time.time_ns()}",
        }  # fmt: skip
        answer = await self.ask("/api/feedback", [event])
        book.took.append(time.perf_counter() - due)
        if answer != b'{"accepted":1,"new":%d}' % (not again) and book.failed == failed:
            book.errors.append("an event was not counted once")
        if not again:
            self.sent.append(event)
            book.acknowledged.add(event["event_id"])
            book.story[user].append(event)


async def closed(clients, end):
    async def go_on(client):
        while (now := time.perf_counter()) < end:
            await client.one(now)

    await asyncio.gather(*map(go_on, clients))


async def opened(clients, end, rate, book, seed):
    """Send at random instants, whatever was answered: from a thread, because a loop keeps time to a millisecond."""
    due, loop = asyncio.Queue(), asyncio.get_running_loop()

    def put(at):
        book.late.append(time.perf_counter() - at)
        due.put_nowait(at)

    def tick():
        draw, at = random.Random(seed), time.perf_counter()
        while at < end:
            time.sleep(max(0.0, at - time.perf_counter()))
            loop.call_soon_threadsafe(put, at)
            at += draw.expovariate(rate)
        loop.call_soon_threadsafe(lambda: [due.put_nowait(None) for _ in clients])

    async def go_on(client):
        while (at := await due.get()) is not None:
            await client.one(at)

    thread = threading.Thread(target=tick)
    thread.start()
    await asyncio.gather(*map(go_on, clients))
    thread.join()


async def swap(folder, every):
    for number in range(1, 1_000_000):
        await asyncio.sleep(every)
        publish(folder, number)


async def kill(service, book, draw, pause):
    while True:
        await asyncio.sleep(draw.uniform(*pause))
        ready = [pid for pid in service.workers() if pid in book.spent and pid not in book.kills]
        if ready:
            worker = draw.choice(ready)
            book.see(worker)
            book.kills[worker] = time.perf_counter()
            os.kill(worker, signal.SIGKILL)


async def watch(service, book):
    while True:
        for worker in service.workers():
            if worker not in book.kills:
                book.see(worker)
        await asyncio.sleep(0.1)


async def phase(name, service, folder, book, options, rate):
    """Run all clients for a time."""
    draw = random.Random(f"{options.seed} {name}")
    around = [watch(service, book)]
    if name == "storm":
        around += [swap(folder, options.swap_every), kill(service, book, draw, options.kill_every)]
    tasks = [asyncio.create_task(one) for one in around]
    clients = [Client(f"{name}{number}", service.port, book, options.items) for number in range(options.clients)]
    for client in clients:
        await client.connect()
    seconds = options.seconds if name == "storm" else options.seconds / 4
    began = time.perf_counter()
    if name == "most":
        await closed(clients, began + seconds)
    else:
        await opened(clients, began + seconds, rate, book, options.seed)
    book.seconds = time.perf_counter() - began
    for pid in service.workers():
        book.see(pid)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for client in clients:
        client.line.transport.close()


async def inside(folder, options):
    """Print the CPU of requests inside one process without a socket: what is left of them where cores are quiet."""
    os.environ["OMNIRECO_FOLDER"] = str(folder)
    import app

    app.SERVICE.warm_up()
    app.SERVICE.begin()
    gc.set_threshold(5_000, 20, 1_000)
    took, draw = {"/api/feedback": [], "/api/recommend": [], "/api/session/recommend": []}, random.Random(options.seed)

    async def ask(path, body):
        data, status = json.dumps(body).encode(), []

        async def receive():
            return {"type": "http.request", "body": data}

        async def send(message):
            status.append(message.get("status"))

        headers = [(b"host", b"x"), (b"content-type", b"application/json")]
        began = time.thread_time()
        await app.app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
        took[path].append(time.thread_time() - began)
        assert status[0] == 200

    for number in range(5_000):
        user, seen = f"u{draw.randrange(80)}", {"event": draw.choice(EVENTS), "channel": "web"}
        items = [f"i{draw.randrange(options.items):06d}" for _ in range(3)]
        await ask("/api/feedback", [{"user_id": user, "event_id": str(number), "item_id": items[0], **seen}])
        await ask("/api/recommend", {"user_id": user, "n": N})
        if not number % 5:
            clicks = [{"event": "view", "channel": "web", "item_id": item} for item in items]
            await ask("/api/session/recommend", {"clicks": clicks, "n": N})
    print(f"{'CPU of a request, ms':24} {'mean':>6} {'p50':>6} {'p90':>6} {'p99':>6}")
    for path, some in took.items():
        some = np.array(some[len(some) // 10 :]) * 1000
        print(f"{path:24} {some.mean():6.3f}", *(f"{np.percentile(some, p):6.3f}" for p in (50, 90, 99)))


# What came of it -----------------------------------------------------------------------------------------------------


def wrong(book, snapshots, rules, most):
    """Make lists again from what was acknowledged, and count those that differ, and how many were compared."""
    store, compared, different = MemoryStore(), 0, 0
    lives = {until: Live(snapshot, rules=rules, store=store) for until, snapshot in snapshots.items()}
    for user, story in book.story.items():
        for told in story:
            if isinstance(told, dict):
                next(iter(lives.values())).observe(told)
                continue
            if compared == most:
                return different, compared
            given = json.loads(told)
            live = lives[dt.datetime.fromisoformat(given["known_until"])]
            answer = live.recommend(user, N, at=given["at"])
            pairs = zip(answer.items, answer.scores.tolist(), strict=True)
            different += given["items"] != [{"id": item, "score": score} for item, score in pairs]
            compared += 1
    return different, compared


def table(books, rates):
    print(f"{'':7} {'due per s':>9} {'requests':>9} {'per s':>7} {'per s of a core':>16} {'p50 ms':>7} {'p99 ms':>7} "
          f"{'waits for a core, ms':>21} {'sent late, p99 ms':>18}")  # fmt: skip
    for name, book in books.items():
        took, (cpu, waited) = np.array(book.took) * 1000, book.used()
        times = [f"{np.percentile(took, p):7.2f}" if name != "most" else f"{'':7}" for p in (50, 99)]
        late = f"{np.percentile(book.late, 99) * 1000:18.2f}" if book.late else ""
        due = "" if name == "most" else f"{rates[name]:,.0f}"
        print(f"{name:7} {due:>9} {took.size:9,} {took.size / book.seconds:7,.0f} {took.size / max(cpu, 0.01):16,.0f} "
              f"{' '.join(times)} {waited * 1000 / max(1, took.size):21.2f} {late}")  # fmt: skip
    print(f"{'goal':7} {'':9} {'':9} {'':7} {'>= 2,000':>16} {'':7} {'<= 3':>7}")


def main():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=max(1, cores - 1), help="one core less than there are")
    parser.add_argument("--clients", type=int, default=0, help="connections; four for each worker")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=0, help="requests due per second; half of the most by default")
    parser.add_argument("--swap-every", type=float, default=5)
    parser.add_argument("--kill-every", type=float, nargs=2, default=(5, 15), help="seconds, drawn between two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="12 seconds, 2,000 items")
    parser.add_argument("--inside", action="store_true", help="no sockets: print the CPU of requests in one process")
    options = parser.parse_args()
    options.clients = options.clients or 4 * options.workers
    if options.quick:
        options.seconds, options.items = 12, 2000
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    books, rates = {name: Book() for name in PHASES}, {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        snapshots = models(folder, options.items)
        publish(folder, 0)
        if options.inside:
            return asyncio.run(inside(folder, options))
        service = Service(folder, options.workers)
        gc.disable()
        sys.setswitchinterval(0.0002)
        try:
            for name, book in books.items():
                most = books["most"]
                rates[name] = options.rate or len(most.took) / max(most.seconds, 0.01) / 2
                asyncio.run(phase(name, service, folder, book, options, rates[name]))
            ended = service.process.poll()
        finally:
            service.stop()
        gc.enable()
        kept = [row[0] for row in sqlite3.connect(folder / "events.db").execute("SELECT event_id FROM events")]
        log = (folder / "service.log").read_text()
    print(f"{options.items:,} items x {FACTORS} factors, {options.workers} workers, {options.clients} connections, "
          f"{cores} cores shared with clients and others: load {os.getloadavg()[0]:.1f}")  # fmt: skip
    table(books, rates)
    faults = [error for book in books.values() for error in book.errors]
    if ended is not None:
        faults.append("the service ended")
    acknowledged = set().union(*(book.acknowledged for book in books.values()))
    lost, twice = len(acknowledged - set(kept)), len(kept) - len(set(kept))
    storm = books["storm"]
    different, compared = 0, 0
    for book in books.values():
        found = wrong(book, snapshots, Rules(repeat_after="30min"), 20_000)
        different, compared = different + found[0], compared + found[1]
    swapped = {told[told.rfind(b"known") :] for story in storm.story.values() for told in story if type(told) is bytes}
    again = f", answered after {np.median(storm.again) * 1000:,.0f} ms (median)" if storm.again else ""
    print(f"{len(storm.kills)} workers killed, {storm.failed} requests open there sent again{again}; "
          f"{len(swapped)} models answered")  # fmt: skip
    print(f"wrong answers: {different} of {compared:,}; lost events: {lost} of {len(acknowledged):,}, twice: {twice}; "
          f"errors: {len(faults)}")  # fmt: skip
    for fault in faults[:5]:
        print("  ", fault)
    if any(name in log for name in ("most0", "steady0", "storm0")):
        print("an id is in the log")
        return 1
    return 1 if different or lost or twice or faults else 0


if __name__ == "__main__":
    sys.exit(main())
