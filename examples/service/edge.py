"""What lies between the socket and the verbs: quick verbs without a framework, limits, numbers, and no ids in logs."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from prometheus_client import Counter, Histogram
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException

LARGEST = 8 << 20  # bytes of a body
SHOWN = 10  # faults of one request that are told one by one
LOG = logging.getLogger("service")

TOOK = Histogram(
    "service_seconds",
    "Time of a request",
    ["route"],
    buckets=[0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.03, 0.1, 1, 10],
)
ANSWERED = Counter("service_requests", "Requests answered", ["route", "status"])


class Quick(NamedTuple):
    """A verb that answers in a fraction of a millisecond: it is read, answered and written on the loop."""

    read: TypeAdapter[Any]
    answer: Callable[[Any], Awaitable[Any]]


class Gone(Exception):
    """Whoever asked has hung up."""


class Edge:
    """The outermost ASGI app: it answers quick verbs itself, and hands the rest to the framework.

    Parameters
    ----------
    api : ASGI app
    quick : mapping of (method, path) to Quick
    refused : callable
        Gives (status, detail) for an error that says what the caller did wrong, and None for another one.
    """

    def __init__(self, api: Any, quick: Mapping[tuple[str, str], Quick], refused: Callable[[Exception], Any]) -> None:
        self.api, self.quick, self.refused = api, quick, refused
        self._counters: dict[tuple[str, int], tuple[Any, Any]] = {}

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def counted(message):
            nonlocal status
            status = message.get("status", status)
            await send(message)

        verb = self.quick.get((scope["method"], scope["path"]))
        try:
            if verb is None:
                await self.api(scope, limited(scope, receive), counted)
            else:
                await self._answer(verb, scope, receive, counted)
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001 - its text may hold an id
            place = error.__traceback__
            while place.tb_next is not None:
                place = place.tb_next
            LOG.error("%s at %s:%d", type(error).__name__, place.tb_frame.f_code.co_filename, place.tb_lineno)
            if not status:
                await write(counted, 500, {"detail": "internal error"})
        finally:
            route = scope["path"] if verb is not None else getattr(scope.get("route"), "path", "none")
            took, answered = self._counters.get((route, status)) or self._counted(route, status)
            took.observe(time.perf_counter() - began)
            answered.inc()

    async def _answer(self, verb, scope, receive, send):
        try:
            if not says_json(scope):
                raise HTTPException(415, "send JSON, and the header Content-Type: application/json")
            asked = verb.read.validate_json(await whole(limited(scope, receive)))
            status, answer = 200, await verb.answer(asked)
        except Exception as error:
            found = self.refused(error)
            if found is None:
                raise
            status, answer = found[0], {"detail": found[1]}
        await write(send, status, answer)

    def _counted(self, route, status):
        found = self._counters[route, status] = TOOK.labels(route), ANSWERED.labels(route, status)
        return found


async def write(send, status, answer):
    body = to_json(answer)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers.append((b"cache-control", b"no-store"))
    if status == 413:
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def says_json(scope) -> bool:
    return any(name == b"content-type" and b"json" in value for name, value in scope["headers"])


async def whole(receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def limited(scope, receive):
    """Return what receives a body, and no more than LARGEST bytes of it."""
    size = 0

    async def received():
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST:
            raise HTTPException(413, f"the body is larger than {LARGEST >> 20} MB: send fewer events at once")
        return message

    return received


def faults(error: ValidationError | Any) -> list[dict[str, Any]]:
    """Say what is wrong and where, and repeat nothing that was sent: neither values nor names of unknown fields."""
    found = error.errors()
    told = []
    for one in found[:SHOWN]:
        where = [part for part in one["loc"] if one["type"] != "extra_forbidden" or part != one["loc"][-1]]
        told.append({"where": where, "what": one["msg"].removeprefix("Value error, ")})
    if len(found) > SHOWN:
        told.append({"where": [], "what": f"{len(found) - SHOWN:,} faults more"})
    return told


class WithoutIds(logging.Filter):
    """Write routes in place of addresses into uvicorn's access log: an address may hold the id of a person."""

    def __init__(self, routes: list[str]) -> None:
        super().__init__()
        self.whole = {route for route in routes if "{" not in route}
        self.begun = [(route.partition("{")[0], route) for route in routes if "{" in route]

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, address, *rest = record.args
            record.args = client, method, self.route(str(address).partition("?")[0]), *rest
        return True

    def route(self, path: str) -> str:
        if path in self.whole:
            return path
        return next((route for begin, route in self.begun if path.startswith(begin)), "(no route)")
