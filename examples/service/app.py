"""omnireco as a service: events in, lists and messages out, one person at a time.

Run: OMNIRECO_FOLDER=data uvicorn app:app --workers 2 --port 8087 --no-access-log

The folder holds ``live.omnireco``, the snapshot that a batch job replaces whenever it likes (see make_snapshot.py), and
``events.db``, what people did, which all workers share. User ids stand in bodies of requests only, never in addresses,
which proxies and access logs keep; nor do they stand in errors, in the log or in metrics.
"""

import asyncio
import datetime as dt
import logging
import os
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

FOLDER = Path(os.environ.setdefault("OMNIRECO_FOLDER", "data"))
METRICS = FOLDER / "metrics"  # numbers of every worker, also of those that are gone
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(METRICS)
METRICS.mkdir(parents=True, exist_ok=True)

from fastapi import FastAPI, Request  # noqa: E402
from fastapi.exceptions import RequestValidationError  # noqa: E402
from fastapi.responses import FileResponse, JSONResponse, Response  # noqa: E402
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess  # noqa: E402
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr  # noqa: E402

import omnireco as om  # noqa: E402
from omnireco.errors import OmnirecoError, StorageError  # noqa: E402
from omnireco.live import Live, Rules, Snapshot, SQLiteStore  # noqa: E402

SNAPSHOT = FOLDER / "live.omnireco"
LOOK_EVERY = 1.0  # seconds between looks for a new snapshot
LOG = logging.getLogger("service")
RULES = Rules(
    repeat_after="30min",
    eligibility=[om.QuietHours("21:00", "08:00")],
    constraints=[om.FrequencyCap(2, per="7D")],
)

TOOK = Histogram(
    "service_seconds", "Time of a request", ["route"], buckets=[0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.1, 1, 10]
)
ANSWERED = Counter("service_requests", "Requests answered", ["route", "status"])
EVENTS = Counter("service_events", "Events acknowledged", ["new"])
LISTS = Counter("service_lists", "Lists given", ["cold"])
SWAPS = Counter("service_snapshots", "Snapshots opened", ["outcome"])
KNOWN_UNTIL = Gauge("service_known_until_seconds", "End of the data behind the models", multiprocess_mode="mostrecent")


# What goes in and out ------------------------------------------------------------------------------------------------

Id = StrictInt | Annotated[StrictStr, Field(min_length=1, max_length=512)]
Count = Annotated[int, Field(ge=1, le=100)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Event(Body):
    user_id: Id
    event: StrictStr
    channel: StrictStr
    timestamp: StrictStr | None = Field(None, description="ISO 8601 with an offset; now by default")
    item_id: Id | None = None
    value: float | None = None
    event_id: StrictStr | None = Field(None, description="Give one, and the same at every try: it then counts once")
    consent: StrictBool | None = None
    purpose: StrictStr | None = None
    refers_to: StrictStr | None = None


class Click(Body):
    event: StrictStr
    channel: StrictStr
    item_id: Id


class Who(Body):
    user_id: Id


class Ask(Who):
    n: Count = 10
    channel: StrictStr | None = None
    given: list[Id] = Field([], description="What lies in the basket")
    exclude: list[Id] = []


class Visit(Body):
    clicks: list[Click] = Field(max_length=1000)
    n: Count = 10


class AskTouch(Who):
    channel: StrictStr | None = None


class Why(Who):
    items: list[Id] = Field(max_length=100)


class Accepted(BaseModel):
    accepted: int
    new: int


class Item(BaseModel):
    id: int | str
    score: float


class Items(BaseModel):
    items: list[Item]
    cold: bool
    at: dt.datetime
    known_until: dt.datetime | None = Field(description="End of the data behind the models that answered")


class Touch(BaseModel):
    item_id: int | str
    channel: str
    send_at: dt.datetime
    probability: float


class Begun(BaseModel):
    item_id: int | str
    channel: str
    begun_at: dt.datetime
    last_at: dt.datetime
    position: float | None = None


class Reason(BaseModel):
    item_id: int | str
    because_item_id: int | str
    channel: str
    adds: float = Field(description="What it adds to the score of the item")


class Erased(BaseModel):
    people: int
    events: int
    awaits: list[str] = Field(description="What was learned from them and awaits the next fit")


class Ready(BaseModel):
    ready: bool
    worker: int
    known_until: dt.datetime | None = None


# One worker ----------------------------------------------------------------------------------------------------------


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


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
        trial.observe(click | {"item_id": snapshot.model.items.ids.tolist()[0]})
        trial.recommend(0, 1, at=now())
    return snapshot


def mark(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from its successor."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


async def follow(app: FastAPI) -> None:
    """Answer with the newest snapshot for ever; while a new one cannot be opened, the old one goes on."""
    seen = None
    while True:
        there = mark(SNAPSHOT)
        if there is not None and there != seen:
            seen = there
            try:
                snapshot = await asyncio.to_thread(opened, SNAPSHOT)
                if app.state.live is None:
                    store = SQLiteStore(FOLDER / "events.db")
                    app.state.live = await asyncio.to_thread(Live, snapshot, rules=RULES, store=store, key=key())
                else:
                    app.state.live.swap(snapshot)  # here no request is between its list and its known_until
            except OmnirecoError as error:
                SWAPS.labels("refused").inc()
                LOG.error("the snapshot is not used: %s", error)
            else:
                SWAPS.labels("used").inc()
                KNOWN_UNTIL.set((snapshot.known_until or 0) / 1e6)
                LOG.info("answers from %r", snapshot)
        app.state.looked.set()
        await asyncio.sleep(LOOK_EVERY)


@asynccontextmanager
async def lifespan(app: FastAPI):
    logging.basicConfig(format="%(asctime)s %(process)d %(name)s %(message)s")
    LOG.setLevel(logging.INFO)
    om.warm_up()
    sys.setswitchinterval(0.0005)  # requests go on while a snapshot is opened beside them
    app.state.live, app.state.looked = None, asyncio.Event()
    task = asyncio.create_task(follow(app))
    await app.state.looked.wait()
    yield
    task.cancel()
    if app.state.live is not None:
        app.state.live.close()


class Measured:
    """Count and time requests by route, and let no error say more than its type and place."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def counted(message):
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception as error:  # noqa: BLE001 - its text may hold an id
            place = error.__traceback__
            while place.tb_next is not None:
                place = place.tb_next
            LOG.error("%s at %s:%d", type(error).__name__, place.tb_frame.f_code.co_filename, place.tb_lineno)
            if not status:
                await JSONResponse({"detail": "internal error"}, 500)(scope, receive, counted)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            TOOK.labels(route).observe(time.perf_counter() - began)
            ANSWERED.labels(route, status).inc()


app = FastAPI(title="omnireco", version=om.__version__, lifespan=lifespan)
app.add_middleware(Measured)


class NotReady(Exception):
    pass


def live_of(request: Request) -> Live:
    if request.app.state.live is None:
        raise NotReady
    return request.app.state.live


@app.exception_handler(NotReady)
async def not_ready(request, error):
    return JSONResponse({"detail": "there is no snapshot yet"}, 503)


@app.exception_handler(OmnirecoError)
async def refused(request, error):
    """Errors of the library say what, where and how to fix it, and hold no user ids."""
    return JSONResponse({"detail": str(error)}, 503 if isinstance(error, StorageError) else 422)


@app.exception_handler(RequestValidationError)
async def not_valid(request, error):
    """Say what is wrong and where, and repeat nothing that was sent: neither values nor names of unknown fields."""
    found = [
        {"where": [part for part in one["loc"] if one["type"] != "extra_forbidden" or part != one["loc"][-1]],
         "what": one["msg"]}
        for one in error.errors()
    ]  # fmt: skip
    return JSONResponse({"detail": found}, 422)


# The verbs: those that answer in a fraction of a millisecond stay on the loop, the others take a thread ---------------


@app.post("/api/feedback")
async def feedback(events: Annotated[list[Event], Field(max_length=1000)], request: Request) -> Accepted:
    """Take in what people did: all of it or nothing, kept when this answers."""
    told = [one.model_dump(exclude_none=True) for one in events]
    for one in told:
        one.setdefault("timestamp", now())
    new = sum(live_of(request).observe(told))
    EVENTS.labels("yes").inc(new)
    EVENTS.labels("no").inc(len(told) - new)
    return Accepted(accepted=len(told), new=new)


@app.post("/api/recommend")
async def recommend(ask: Ask, request: Request) -> Items:
    """Give the best items for one person, with what they did a second ago."""
    live, at = live_of(request), now()
    answer = live.recommend(ask.user_id, ask.n, at=at, channel=ask.channel, given=ask.given, exclude=ask.exclude)
    return listed(answer, at, live.snapshot)


@app.post("/api/session/recommend")
async def session(visit: Visit, request: Request) -> Items:
    """Give the best items for an anonymous visit; nothing of it is kept."""
    at, snapshot = now(), live_of(request).snapshot
    visitor = Live(snapshot, rules=RULES)
    ago = dt.timedelta(microseconds=len(visit.clicks))
    visitor.observe(
        [
            {"user_id": 0, **click.model_dump(), "timestamp": at - ago + dt.timedelta(microseconds=place)}
            for place, click in enumerate(visit.clicks)
        ]
    )
    return listed(visitor.recommend(0, visit.n, at=at), at, snapshot)


def listed(answer, at, snapshot) -> Items:
    LISTS.labels("yes" if answer.cold else "no").inc()
    pairs = zip(answer.items.tolist(), answer.scores.tolist(), strict=True)
    items = [Item(id=item, score=score) for item, score in pairs]
    return Items(items=items, cold=answer.cold, at=at, known_until=until(snapshot))


@app.post("/api/touch")
def touch(ask: AskTouch, request: Request) -> Touch | None:
    """Give the next message worth sending to one person, if there is one."""
    found = live_of(request).next_touch(ask.user_id, now(), ask.channel)
    return None if found is None else Touch(**found._asdict())


@app.post("/api/resume")
def resume(ask: Who, request: Request) -> list[Begun]:
    """Give what one person began and did not finish, on whatever device."""
    return [Begun(**one._asdict()) for one in live_of(request).resume(ask.user_id, at=now())]


@app.post("/api/why")
def why(ask: Why, request: Request) -> list[Reason]:
    """Give, for items of a list, what of the past speaks for each of them; nothing where the model cannot say."""
    live, at = live_of(request), now()
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


@app.post("/api/erase")
def erase(ask: Who, request: Request) -> Erased:
    """Remove one person from the store and the snapshot; other workers follow the snapshot within a second."""
    done = live_of(request).erase([ask.user_id], files=[SNAPSHOT])
    return Erased(people=done.people, events=done.events, awaits=list(done.awaits))


@app.get("/api/health/live")
async def health_live() -> dict[str, bool]:
    """Say that the process answers."""
    return {"live": True}


@app.get("/api/health/ready", responses={503: {"model": Ready}})
async def health_ready(request: Request, response: Response) -> Ready:
    """Say whether there are models and a store to answer from."""
    live = request.app.state.live
    if live is None:
        response.status_code = 503
        return Ready(ready=False, worker=os.getpid())
    live.store.version("")  # an error when the store is gone
    return Ready(ready=True, worker=os.getpid(), known_until=until(live.snapshot))


@app.get("/metrics", include_in_schema=False)
def metrics() -> Response:
    """Give the numbers of all workers, as Prometheus reads them."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Show a page on which one clicks events and watches lists, messages and reasons change."""
    return FileResponse(Path(__file__).with_name("page.html"))
