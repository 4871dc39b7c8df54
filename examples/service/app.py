"""omnireco as a service: events in, lists and messages out, one person at a time.

Run: OMNIRECO_FOLDER=data python serve.py --workers 2 --port 8087

The folder holds ``live.omnireco``, the snapshot that a batch job replaces whenever it likes (see make_snapshot.py), and
``events.db``, what people did, which all workers share. User ids stand in no error, log or metric. Ask with bodies
rather than with addresses, which proxies keep: ``/api/recommend/{user_id}`` is there for those who come from Gorse.
"""

import asyncio
import datetime as dt
import gc
import logging
import os
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, get_type_hints

FOLDER = Path(os.environ.setdefault("OMNIRECO_FOLDER", "data"))
METRICS = FOLDER / "metrics"  # numbers of every worker, also of those that are gone
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(METRICS)
METRICS.mkdir(parents=True, exist_ok=True)
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # a worker is one core

from edge import LOG, Edge, Quick, WithoutIds, faults  # noqa: E402
from fastapi import FastAPI, Query, Response  # noqa: E402
from fastapi.exceptions import RequestValidationError  # noqa: E402
from fastapi.responses import FileResponse, JSONResponse  # noqa: E402
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess  # noqa: E402
from pydantic import TypeAdapter, ValidationError  # noqa: E402
from shapes import (  # noqa: E402
    MOST_ITEMS,
    Accepted,
    Ask,
    AskTouch,
    Begun,
    Consent,
    Erased,
    Event,
    Events,
    Items,
    Ready,
    Reason,
    Touch,
    Visit,
    Who,
    Why,
    now,
)
from starlette.exceptions import HTTPException  # noqa: E402

import omnireco as om  # noqa: E402
from omnireco.errors import OmnirecoError, StorageError  # noqa: E402
from omnireco.live import Live, Rules, Snapshot, SQLiteStore  # noqa: E402

SNAPSHOT = FOLDER / "live.omnireco"
LOOK_EVERY = 1.0  # seconds between looks for a new snapshot
FEW = 50  # events that are taken in on the loop; more take a thread
RULES = Rules(
    repeat_after="30min",
    eligibility=[om.QuietHours("21:00", "08:00")],
    constraints=[om.FrequencyCap(2, per="7D")],
)

EVENTS = Counter("service_events", "Events acknowledged", ["new"])
LISTS = Counter("service_lists", "Lists given", ["cold"])
SWAPS = Counter("service_snapshots", "Snapshots opened", ["outcome"])
KNOWN_UNTIL = Gauge("service_known_until_seconds", "End of the data behind the models", multiprocess_mode="mostrecent")
NEW, OLD = EVENTS.labels("yes"), EVENTS.labels("no")
COLD, WARM = LISTS.labels("yes"), LISTS.labels("no")


# One worker ----------------------------------------------------------------------------------------------------------


class NotReady(Exception):
    """There is no snapshot yet."""


class Service:
    """What answers: made warm once by whoever starts workers, and begun in each of them."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.held: Live | None = None
        self.seen: tuple[int, int] | None = None
        self.is_warm = False

    @property
    def live(self) -> Live:
        if self.held is None:
            raise NotReady
        return self.held

    def warm_up(self) -> None:
        """Load what requests need, so that a worker which is forked from this process has it."""
        om.warm_up()
        self.is_warm = True
        with suppress(OmnirecoError):  # a worker will say what is wrong with it
            self.look()
        gc.collect()
        gc.freeze()  # what lives as long as the process is never looked at again, and stays shared with workers

    def look(self) -> Snapshot | None:
        """Open the snapshot where there is another one than before."""
        there = mark(SNAPSHOT)
        if there is None or there == self.seen:
            return None
        self.seen = there
        self.snapshot = opened(SNAPSHOT)
        return self.snapshot

    def begin(self) -> None:
        """Answer with what was opened before the worker began."""
        if self.snapshot is not None and self.held is None:
            self.held = Live(self.snapshot, rules=RULES, store=SQLiteStore(FOLDER / "events.db"), key=key())
            self._told("used")

    async def follow(self) -> None:
        """Answer with the newest snapshot for ever; while a new one cannot be opened, the old one goes on."""
        while True:
            try:
                if await asyncio.to_thread(self.look) is not None:
                    if self.held is None:
                        await asyncio.to_thread(self.begin)
                    else:
                        self.held.swap(self.snapshot)  # here no request is between its list and its known_until
                        self._told("used")
            except OmnirecoError as error:
                LOG.error("the snapshot is not used: %s", error)
                self._told("refused")
            await asyncio.sleep(LOOK_EVERY)

    def _told(self, outcome: str) -> None:
        SWAPS.labels(outcome).inc()
        if outcome == "used" and self.snapshot is not None:
            KNOWN_UNTIL.set((self.snapshot.known_until or 0) / 1e6)
            LOG.info("answers from %r", self.snapshot)


def key() -> bytes | None:
    """Return the secret that turns ids into pseudonyms before they reach the store, where there is one."""
    found = os.environ.get("OMNIRECO_KEY")
    return bytes.fromhex(found) if found else None


def until(snapshot: Snapshot) -> dt.datetime | None:
    at = snapshot.known_until
    return None if at is None else dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=at)


def opened(path: Path) -> Snapshot:
    """Open a snapshot and ask it once, so that no request waits for what is made at first use."""
    snapshot = Snapshot.open(path)
    trial = Live(snapshot, rules=RULES)
    click = {"user_id": 0, "event": "view", "channel": "web", "timestamp": now(), "value": 1.0}
    with suppress(OmnirecoError):  # a model that wants other events
        trial.recommend(0, 1, at=now())
        trial.observe(click | {"item_id": snapshot.model.items.ids[:1].tolist()[0]})
        trial.recommend(0, 1, at=now())
    return snapshot


def mark(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from its successor."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@asynccontextmanager
async def lifespan(api: FastAPI):
    logging.basicConfig(format="%(asctime)s %(process)d %(name)s %(message)s")
    LOG.setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").addFilter(WithoutIds([route.path for route in api.routes]))
    if not SERVICE.is_warm:
        SERVICE.warm_up()
    sys.setswitchinterval(0.0002)  # requests go on while a snapshot is opened beside them
    gc.set_threshold(5_000, 20, 1_000)  # people who are remembered are many, live long and are in no cycle
    SERVICE.begin()
    task = asyncio.create_task(SERVICE.follow())
    yield
    task.cancel()
    if SERVICE.held is not None:
        SERVICE.held.close()


SERVICE = Service()
api = FastAPI(title="omnireco", version=om.__version__, lifespan=lifespan)
QUICK: dict[tuple[str, str], Quick] = {}


def quick(path: str, *methods: str):
    """Describe a verb in OpenAPI, and answer it without the framework: two thirds of a request's time were its."""

    def taken(verb):
        types = get_type_hints(verb, include_extras=True)
        api.add_api_route(path, verb, methods=[*methods], response_model=types.pop("return"))
        (body,) = types.values()
        QUICK.update({(method, path): Quick(TypeAdapter(body), verb) for method in methods})
        return verb

    return taken


# Errors: a status, and what, where and how to mend it -----------------------------------------------------------------


def refused(error: Exception):
    """Return the status and the text of an error that the caller can mend; errors of the library hold no user ids."""
    if isinstance(error, (ValidationError, RequestValidationError)):
        return 422, faults(error)
    if isinstance(error, StorageError):
        return 503, str(error)
    if isinstance(error, OmnirecoError):
        return 422, str(error)
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    return (503, "there is no snapshot yet") if isinstance(error, NotReady) else None


@api.exception_handler(NotReady)
@api.exception_handler(OmnirecoError)
@api.exception_handler(RequestValidationError)
@api.exception_handler(ValidationError)
async def told(request, error):
    status, detail = refused(error)
    return JSONResponse({"detail": detail}, status, {"Cache-Control": "no-store"})


def known_channel(channel: str | None) -> None:
    """Refuse a channel on which nobody can be written to."""
    audience = SERVICE.live.snapshot.audience
    if channel is not None and audience is not None and channel not in audience.channels:
        names = ", ".join(map(str, audience.channels.ids))
        raise HTTPException(422, f"channel: messages leave on {names}, and on no other. Leave it out for any of them.")


# The verbs: those that answer in a fraction of a millisecond stay on the loop, the others take a thread ---------------


@quick("/api/feedback", "POST", "PUT")
async def feedback(events: Events) -> Accepted:
    """Take in what people did: all of it or nothing, kept when this answers."""
    told, at = [one.told() for one in events], now()
    for one in told:
        one.setdefault("timestamp", at)
    live = SERVICE.live
    found = live.observe(told) if len(told) <= FEW else await asyncio.to_thread(live.observe, told)
    new = sum(found)
    if new:
        NEW.inc(new)
    if len(told) > new:
        OLD.inc(len(told) - new)
    return {"accepted": len(told), "new": new}


@quick("/api/recommend", "POST")
async def recommend(ask: Ask) -> Items:
    """Give the best items for one person, with what they did a second ago."""
    live, at = SERVICE.live, now()
    answer = live.recommend(ask.user_id, ask.n, at=at, channel=ask.channel, given=ask.given, exclude=ask.exclude)
    return listed(answer, at, live.snapshot)


@quick("/api/session/recommend", "POST")
async def session(visit: Visit) -> Items:
    """Give the best items for an anonymous visit; nothing of it is kept."""
    at, snapshot = now(), SERVICE.live.snapshot
    visitor = Live(snapshot, rules=RULES)
    ago = dt.timedelta(microseconds=len(visit.clicks))
    visitor.observe(
        [
            {"user_id": 0, **click.told(), "timestamp": at - ago + dt.timedelta(microseconds=place)}
            for place, click in enumerate(visit.clicks)
        ]
    )
    return listed(visitor.recommend(0, visit.n, at=at), at, snapshot)


def listed(answer, at, snapshot) -> Items:
    (COLD if answer.cold else WARM).inc()
    pairs = zip(answer.items.tolist(), answer.scores.tolist(), strict=True)
    items = [{"id": item, "score": score} for item, score in pairs]
    return {"items": items, "cold": answer.cold, "at": at, "known_until": until(snapshot)}


@quick("/api/consent", "POST")
async def consent(given: Consent) -> Accepted:
    """Keep that a person gives or withdraws consent; the newest one holds."""
    return await feedback([Event.model_construct(event="consent", **given.told())])


@api.post("/api/touch")
def touch(ask: AskTouch) -> Touch | None:
    """Give the next message worth sending to one person, if there is one."""
    known_channel(ask.channel)
    found = SERVICE.live.next_touch(ask.user_id, now(), ask.channel)
    return None if found is None else Touch(**found._asdict())


@api.post("/api/resume")
def resume(ask: Who) -> list[Begun]:
    """Give what one person began and did not finish, on whatever device."""
    return [Begun(**one._asdict()) for one in SERVICE.live.resume(ask.user_id, at=now())]


@api.post("/api/why")
def why(ask: Why) -> list[Reason]:
    """Give, for items of a list, what of the past speaks for each of them; nothing where the model cannot say."""
    live, at = SERVICE.live, now()
    model, data = live.snapshot.model, live.data_of(ask.user_id, at=at)
    asked = data.requests([ask.user_id], new_users=True)
    lists = model.recommend(asked, k=max(1, len(ask.items)), eligible=ask.items, exclude_seen=False)
    try:
        frame = om.models.explain(model, asked, lists).to_frame()
    except om.errors.ParameterError:
        return []
    frame = frame.rename(columns={"contribution": "adds"}).sort_values("adds", ascending=False, kind="stable")
    best = frame.groupby("item_id", sort=False).head(3)[list(Reason.model_fields)]
    return [Reason(**row) for row in best.to_dict("records")]


@api.post("/api/erase")
def erase(ask: Who) -> Erased:
    """Remove one person from the store and the snapshot; other workers follow the snapshot within a second."""
    done = SERVICE.live.erase([ask.user_id], files=[SNAPSHOT])
    return Erased(people=done.people, events=done.events, awaits=list(done.awaits))


# With the person in the address, as in Gorse: an address has only texts -----------------------------------------------


@api.get("/api/recommend/{user_id:path}")
async def recommend_one(
    user_id: str, response: Response, n: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 10, channel: str | None = None
) -> Items:
    """Give the best items for one person. Where ids of people are integers, so is this one."""
    response.headers["Cache-Control"] = "no-store"
    return await recommend(Ask(user_id=named(user_id), n=n, channel=channel or None))


@api.delete("/api/user/{user_id:path}")
def erase_one(user_id: str) -> Erased:
    """Remove one person. Where ids of people are integers, so is this one."""
    return erase(Who(user_id=named(user_id)))


def named(text: str) -> int | str:
    """Return the id of a person in an address, of the kind that people have in the audience of the snapshot."""
    if not 0 < len(text) <= 512:
        raise HTTPException(422, "the address names no person, or one of more than 512 characters")
    audience = SERVICE.live.snapshot.audience
    if audience is None or audience.users.ids.dtype == object:
        return text
    try:
        return int(text) if text.isascii() else int("")
    except ValueError:
        raise HTTPException(422, "ids of people are integers, and the one in the address is not") from None


# Health and numbers ---------------------------------------------------------------------------------------------------


@api.get("/api/health/live")
async def health_live() -> dict[str, bool]:
    """Say that the process answers."""
    return {"live": True}


@api.get("/api/health/ready", responses={503: {"model": Ready}})
async def health_ready(response: Response) -> Ready:
    """Say whether there are models and a store to answer from."""
    live = SERVICE.held
    if live is None:
        response.status_code = 503
        return Ready(ready=False, worker=os.getpid())
    live.store.version("")  # an error when the store is gone
    return Ready(ready=True, worker=os.getpid(), known_until=until(live.snapshot))


@api.get("/metrics", include_in_schema=False)
def metrics() -> Response:
    """Give the numbers of all workers, as Prometheus reads them."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")


@api.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Show a page on which one clicks events and watches lists, messages and reasons change."""
    return FileResponse(Path(__file__).with_name("page.html"))


app = Edge(api, QUICK, refused)
