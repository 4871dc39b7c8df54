"""Start the service: one process is made warm and forks workers, so that a new one answers in milliseconds.

Run: OMNIRECO_FOLDER=data python serve.py [--host 127.0.0.1] [--port 8087] [--workers 2] [--access-log]

A worker that ends is replaced at once. The warm process answers nothing, starts no threads, and opens every snapshot
too: what a new worker needs is in its memory, shared with the others. Where there is no fork (Windows), run
``uvicorn app:app``.
"""

import argparse
import gc
import os
import signal
import socket
import sys
import time
import warnings
from contextlib import suppress

import app
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from omnireco.errors import OmnirecoError

STOP = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 30  # seconds that open requests may take after the service was told to stop


class Whole:
    """A transport that writes what one turn of the loop gives at once: head and body are one packet, not two."""

    def __init__(self, transport, loop):
        self._transport, self._loop, self._held = transport, loop, []

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def write(self, data):
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self):
        self._flush()
        self._transport.close()

    def _flush(self):
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))


class Protocol(HttpToolsProtocol):
    def connection_made(self, transport):
        super().connection_made(Whole(transport, self.loop))


class Worker(uvicorn.Server):
    """A server that ends when the process that started it has gone."""

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or os.getppid() != self.parent


def work(listening: socket.socket, options: argparse.Namespace, parent: int) -> None:
    """Answer requests until told to stop."""
    config = uvicorn.Config(
        app.app,
        http=Protocol,
        access_log=options.access_log,
        log_level="info" if options.access_log else "warning",
        server_header=False,
        timeout_keep_alive=75,  # longer than what keeps connections to us: whoever sends must not meet a closed one
    )
    server = Worker(config)
    server.parent = parent
    server.run(sockets=[listening])


def fork(listening: socket.socket, options: argparse.Namespace) -> int:
    parent = os.getpid()
    with warnings.catch_warnings():  # the only other thread is that of Arrow's allocator, which knows of forks
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [*STOP, signal.SIGCHLD])
        work(listening, options, parent)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8087)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--access-log", action="store_true", help="routes, times and states; never ids")
    options = parser.parse_args()
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.create_server((options.host, options.port), family=family, backlog=2048)
    listening.set_inheritable(True)
    signal.pthread_sigmask(signal.SIG_BLOCK, [*STOP, signal.SIGCHLD])  # they are waited for
    app.SERVICE.warm_up()
    born: dict[int, float] = {}
    while True:
        while len(born) < options.workers:
            born[fork(listening, options)] = time.monotonic()
        told = signal.sigtimedwait([*STOP, signal.SIGCHLD], app.LOOK_EVERY)
        if told is not None and told.si_signo in STOP:
            break
        for child in ended():
            if time.monotonic() - born.pop(child, 0.0) < 1:
                time.sleep(1)  # it fails at once: do not burn a core
        with suppress(OmnirecoError):  # a worker says what is wrong with it
            if app.SERVICE.look() is not None:
                gc.collect()
    stop(born)


def ended() -> list[int]:
    """Return the children that have ended."""
    found = []
    with suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            found.append(child)
    return found


def stop(born: dict[int, float]) -> None:
    """Let workers end their requests, and then end them."""
    for child in born:
        os.kill(child, signal.SIGTERM)
    last = time.monotonic() + PATIENCE
    while born and time.monotonic() < last:
        signal.sigtimedwait([signal.SIGCHLD], 0.2)
        for child in ended():
            born.pop(child, None)
    for child in born:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
