"""The reference service as a process of its own on the loopback, and what asks it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import omnireco as om
from omnireco.live import Live, Snapshot, SQLiteStore

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "examples" / "service"


class Served:
    """A running service."""

    def __init__(self, folder, *command):
        self.folder, self.log = folder, folder / "service.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        command = [sys.executable, *(command or ("serve.py", "--workers", "1", "--access-log"))]
        command += ["--port", self.address.split(":")[-1]]
        environment = os.environ | {"OMNIRECO_FOLDER": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=EXAMPLE, env=environment, stdout=log, stderr=log)
        self.until(lambda: self.get("/api/health/live")[0] == 200)

    def until(self, holds, seconds=600):
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if holds():
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def get(self, path, body=None, *, method=None, kind="application/json"):
        """Return the status and the text of an answer; a body is posted."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ask(self, verb, body):
        """Return what a verb answers."""
        status, text = self.get("/api/" + verb, body)
        assert status == 200, text
        return json.loads(text)

    def metric(self, start):
        """Return a number of /metrics by the start of its line."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(start)]
        return sum(float(line.split()[-1]) for line in lines)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def serve():
    """The class of a running service, for a folder."""
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(package, reason="the service needs pip install 'omnireco[service]'")
    return Served


@pytest.fixture(scope="session")
def company():
    """A Dataset and a snapshot of it."""
    import datetime as dt

    begin = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=61)
    past = om.simulate(n_users=80, n_items=30, days=60, start=begin.isoformat(), seed=4).dataset()
    worth = {"view": 1, "add_to_cart": 3, "like": 5, "purchase": 8, "impression": 0, "dislike": 0}
    weights = om.Weights(events=worth, half_life="30D", missing="ignore")
    model = om.ALS(factors=8, seed=7, weights=weights).fit(past)
    return past, Snapshot(model, timing=om.SendTime().fit(past), audience=past.audience, known_until=past.end)


@pytest.fixture(scope="module")
def service(serve, company, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    past, snapshot = company
    store = SQLiteStore(folder / "events.db")
    Live(snapshot, store=store).backfill(past)
    store.close()
    snapshot.save(folder / "live.omnireco")
    found = serve(folder)
    yield found
    found.stop()
