"""The reference service answers as omnireco does, keeps what it acknowledges, and never repeats who somebody is."""

import datetime as dt
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import omnireco as om
from omnireco.live import Live, MemoryStore, Rules, Snapshot

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "examples" / "service"
SECRET = "zz-SECRET-777"


def event(user, item="i03", **more):
    return {"user_id": user, "event": "view", "channel": "app", "item_id": item, **more}


def test_a_list_is_that_of_the_library(service, company):
    told = [event("anna", item, timestamp=f"2026-01-0{day}T10:00:00Z") for day, item in enumerate(["i03", "i05"], 1)]
    assert service.ask("feedback", told) == {"accepted": 2, "new": 2}
    answer = service.ask("recommend", {"user_id": "anna", "n": 5})
    live = Live(company[1], rules=Rules(repeat_after="30min"))
    live.observe(told)
    items, scores, cold = live.recommend("anna", 5, at=answer["at"])
    assert answer["items"] == [{"id": item, "score": score} for item, score in zip(items, scores.tolist(), strict=True)]
    assert answer["cold"] is cold is False
    assert answer["known_until"][:19] == company[0].end.isoformat()[:19]


def test_what_was_just_done_counts_and_what_was_shown_is_not_shown_again(service):
    before = [one["id"] for one in service.ask("recommend", {"user_id": "bert", "n": 5})["items"]]
    service.ask("feedback", [event("bert", before[0])])
    after = service.ask("recommend", {"user_id": "bert", "n": 5})
    assert not after["cold"]
    assert before[0] not in [one["id"] for one in after["items"]]
    service.ask("feedback", [event("bert", one["id"], event="impression") for one in after["items"]])
    fresh = service.ask("recommend", {"user_id": "bert", "n": 5})["items"]
    assert {one["id"] for one in fresh}.isdisjoint(one["id"] for one in after["items"])


def test_an_event_counts_once_however_often_it_is_delivered(service):
    one = event("carl", event_id="once", timestamp="2026-01-01T10:00:00Z")
    assert service.ask("feedback", [one, one]) == {"accepted": 2, "new": 1}
    assert service.ask("feedback", [one]) == {"accepted": 1, "new": 0}
    status, text = service.get("/api/feedback", [one | {"item_id": "i09"}])
    assert (status, "carl" in text) == (422, False)


def test_a_visit_is_answered_and_forgotten(service, company):
    kept = service.metric("service_events_total")
    clicks = [{"event": "view", "channel": "web", "item_id": item} for item in ("i03", "i05")]
    answer = service.ask("session/recommend", {"clicks": clicks, "n": 4})
    assert len(answer["items"]) == 4
    assert {"i03", "i05"}.isdisjoint(one["id"] for one in answer["items"])
    assert service.ask("session/recommend", {"clicks": []})["cold"]
    assert service.metric("service_events_total") == kept


def test_message_reasons_and_what_was_begun(service, company):
    users = company[0].audience.users.ids[:30].tolist()
    touches = [touch for user in users if (touch := service.ask("touch", {"user_id": user})) is not None]
    assert touches
    assert all(dt.datetime.fromisoformat(touch["send_at"]) > dt.datetime.now(dt.UTC) for touch in touches)
    assert service.ask("touch", {"user_id": 999_999}) is None
    service.ask("feedback", [event(777_777, "i03"), event(777_777, "i05", event="add_to_cart")])
    (begun,) = service.ask("resume", {"user_id": 777_777})
    assert (begun["item_id"], begun["channel"]) == ("i05", "app")
    items = [one["id"] for one in service.ask("recommend", {"user_id": 777_777, "n": 3})["items"]]
    reasons = service.ask("why", {"user_id": 777_777, "items": items})
    assert {one["item_id"] for one in reasons} == set(items)
    assert {one["because_item_id"] for one in reasons} == {"i03", "i05"}
    assert service.ask("why", {"user_id": 999_999, "items": items}) == []


BAD = [
    ("feedback", [event(SECRET, event="like", item_id=None)]),
    ("feedback", [event(SECRET, item_id=5)]),
    ("feedback", [event(SECRET, timestamp="2026-01-01T10:00:00")]),
    ("feedback", [event(SECRET, timestamp=SECRET)]),
    ("feedback", [event([SECRET])]),
    ("feedback", [event("anna", **{SECRET: 1})]),
    ("feedback", [event("anna", consent=SECRET)]),
    ("feedback", {SECRET: 1}),
    ("feedback", [event("anna")] * 10_001),
    ("feedback", [event("anna", item_id="")]),
    ("feedback", [event("anna", channel="")]),
    ("feedback", [event("anna", value="5")]),
    ("feedback", b'[{"user_id": "anna", "event": "view", "channel": "app", "value": NaN}]'),
    ("feedback", b'[{"user_id": "anna", "event": "view", "channel": "app", "value": 1e999}]'),
    ("feedback", [event("anna", timestamp="2026-01-01")]),
    ("feedback", [event("anna", timestamp=1_767_225_600)]),
    ("feedback", [event("anna", timestamp="2099-01-01T10:00:00Z")]),
    ("feedback", [event("anna", timestamp="0001-01-01T00:00:00+14:00")]),
    ("feedback", [event("anna", timestamp="2026-01-01T10:00:00Z", event_id=7)]),
    ("feedback", [event("anna", event_id=SECRET)]),
    ("consent", {"user_id": SECRET, "channel": "email", "consent": True, "event_id": SECRET}),
    ("feedback", [None]),
    ("feedback", b""),
    ("feedback", b"null"),
    ("feedback", b"[" * 100_000),
    ("feedback", b"\xff\xfe"),
    ("recommend", b'{"user_id": "' + b"x" * 513 + b'"}'),
    ("recommend", {"user_id": SECRET, "n": -1}),
    ("recommend", {"user_id": SECRET, "n": 1001}),
    ("recommend", {"user_id": SECRET, "n": "5"}),
    ("recommend", {"user_id": SECRET, "n": True}),
    ("recommend", {"user_id": SECRET, "n": 2.5}),
    ("recommend", {"user_id": None}),
    ("recommend", {"user_id": [SECRET]}),
    ("recommend", {"user_id": SECRET, "given": "i03"}),
    ("recommend", {"user_id": SECRET, "exclude": [None]}),
    ("recommend", {}),
    ("recommend", []),
    ("touch", {"user_id": SECRET, "channel": SECRET}),
    ("touch", {"user_id": ""}),
    ("resume", {"user_id": {}}),
    ("consent", {"user_id": SECRET, "channel": "email"}),
    ("consent", {"user_id": SECRET, "channel": "email", "consent": "yes"}),
    ("feedback", ("[" + SECRET).encode()),
    ("recommend", {"user_id": SECRET, "n": 0}),
    ("recommend", {"user_id": SECRET, "n": SECRET}),
    ("recommend", {"user_id": {SECRET: 1}}),
    ("recommend", {"user_id": 1.5}),
    ("recommend", {"user_id": True}),
    ("recommend", {"user_id": ""}),
    ("recommend", {"user_id": 1 << 64}),
    ("recommend", {"user_id": "\ud800" + SECRET}),
    ("why", {"user_id": SECRET, "items": [SECRET]}),
    ("session/recommend", {"clicks": [{"event": SECRET, "channel": "web"}]}),
    ("session/recommend", {"clicks": [{"event": "view", "channel": "web", "item_id": 5}]}),
    ("session/recommend", {"clicks": [{"event": "view", "channel": "web", "item_id": "i03"}] * 1001}),
    ("erase", {"user_id": ""}),
    ("erase", {"user_ids": [SECRET]}),
]


@pytest.mark.parametrize(("verb", "body"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_refused_and_not_repeated(service, verb, body):
    status, text = service.get("/api/" + verb, body)
    assert status == 422, text
    assert SECRET not in text
    assert json.loads(text)["detail"]


def test_ids_are_in_no_log_no_metric_and_no_address(service):
    service.ask("recommend", {"user_id": SECRET})
    for path in (
        "/api/recommend/" + SECRET,
        "/api/else/" + SECRET,
        f"/api/resume?user={SECRET}",
        f"/{SECRET}?{SECRET}",
    ):
        service.get(path)
    service.get("/api/user/" + SECRET, method="DELETE")
    service.get("/api/recommend", {"user_id": SECRET, "n": SECRET})
    assert SECRET not in service.get("/metrics")[1]
    log = service.log.read_text()
    assert SECRET not in log
    assert "Traceback" not in log
    assert '"GET /api/recommend/{user_id:path} HTTP/1.1"' in log
    assert '"DELETE /api/user/{user_id:path} HTTP/1.1"' in log
    assert '"GET (no route) HTTP/1.1" 404' in log


def test_openapi_describes_every_verb(service):
    told = json.loads(service.get("/openapi.json")[1])
    methods = {path: sorted(some) for path, some in told["paths"].items()}
    assert methods == {
        "/api/feedback": ["post", "put"],
        "/api/recommend": ["post"],
        "/api/recommend/{user_id}": ["get"],
        "/api/session/recommend": ["post"],
        "/api/consent": ["post"],
        "/api/touch": ["post"],
        "/api/resume": ["post"],
        "/api/why": ["post"],
        "/api/erase": ["post"],
        "/api/user/{user_id}": ["delete"],
        "/api/health/live": ["get"],
        "/api/health/ready": ["get"],
    }
    assert {"Event", "Ask", "Visit", "Items", "Accepted"} <= set(told["components"]["schemas"])
    body = told["paths"]["/api/feedback"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["maxItems"] == 10_000
    assert service.get("/docs")[0] == 200


def test_who_stands_in_an_address_is_of_the_kind_that_people_have(service, company):
    user = int(company[0].audience.users.ids[0])
    status, text = service.get(f"/api/recommend/{user}?n=3")
    assert status == 200
    items = service.ask("recommend", {"user_id": user, "n": 3})["items"]
    assert [one["id"] for one in json.loads(text)["items"]] == [one["id"] for one in items]
    for path in ("anna", "", "%00", "a/b", "1.5", "9" * 30, "%D9%A3", "x" * 600, f"{user}?n=0", f"{user}?n=1001"):
        status, text = service.get("/api/recommend/" + path)
        assert status == 422, (path, text)


def test_ids_of_every_form_are_kept_apart(service):
    for place, user in enumerate(
        ["a/b", "a%2Fb", " ", "ø", "🙂", "1004", 1004, -5, "x" * 512, "null", "'; --", "\x00"]
    ):
        service.ask("feedback", [event(user, f"i{place:02d}", event="add_to_cart")])
        begun = service.ask("resume", {"user_id": user})
        assert [one["item_id"] for one in begun][:1] == [f"i{place:02d}"]


def test_other_requests_that_are_wrong_say_so(service):
    assert service.get("/api/recommend", b'{"user_id": 1}', kind="text/plain")[0] == 415
    assert service.get("/api/recommend", b" " * (8 << 20) + b"{}")[0] == 413
    assert service.get("/api/touch", b" " * (8 << 20) + b"{}")[0] == 413
    assert service.get("/api/recommend")[0] == 405
    assert service.get("/api/touch")[0] == 405
    assert service.get("/api/recommend", {"user_id": 1}, method="DELETE")[0] == 405
    assert service.get("/api/nothing", {})[0] == 404
    status, text = service.get("/api/feedback", [event("anna", value="x")] * 50)
    assert (status, len(json.loads(text)["detail"])) == (422, 11)
    assert json.loads(text)["detail"][-1]["what"] == "40 faults more"
    status, text = service.get("/api/touch", {"user_id": 1, "channel": "fax"})
    assert (status, "email" in text) == (422, True)


def test_more_items_than_there_are_gives_those_there_are(service):
    assert len(service.ask("recommend", {"user_id": "gus", "n": 1000})["items"]) == 30
    assert len(service.ask("recommend", {"user_id": "gus", "n": 30, "exclude": ["i03", "no such item"]})["items"]) == 29


def test_ten_thousand_events_are_taken_whole_or_not_at_all(service):
    many = [
        event("hugo", f"i{n % 30:02d}", event_id=f"many-{n}", timestamp="2026-01-01T10:00:00Z") for n in range(10_000)
    ]
    status, text = service.get("/api/feedback", [*many[:-1], event("hugo", 5)])
    assert status == 422, text
    assert service.ask("recommend", {"user_id": "hugo"})["cold"]
    status, text = service.get("/api/feedback", [*many[:-1], many[0] | {"item_id": "i29"}])
    assert status == 422, text
    assert service.ask("recommend", {"user_id": "hugo"})["cold"]
    assert service.ask("feedback", many) == {"accepted": 10_000, "new": 10_000}
    assert service.ask("feedback", many) == {"accepted": 10_000, "new": 0}
    assert not service.ask("recommend", {"user_id": "hugo"})["cold"]


def test_the_newest_consent_decides_whether_there_is_a_message(service, company):
    users = company[0].audience.users.ids.tolist()
    user = next(one for one in users if service.ask("touch", {"user_id": one}) is not None)
    for channel in company[0].audience.channels.ids:
        service.ask("consent", {"user_id": user, "channel": channel, "consent": False})
    assert service.ask("touch", {"user_id": user}) is None
    service.ask("consent", {"user_id": user, "channel": "email", "consent": True, "timestamp": "2026-01-01T00:00:00Z"})
    assert service.ask("touch", {"user_id": user}) is None


def test_requests_of_one_person_at_once_and_an_erasure_among_them(service):
    """Every event counts once, every answer is whole, and who was erased is known by what came later only."""
    from concurrent.futures import ThreadPoolExecutor

    def one(number):
        when = f"2026-01-01T10:{number % 60:02d}:00Z"
        service.ask("feedback", [event("ivy", f"i{number % 30:02d}", event_id=f"ivy-{number}", timestamp=when)])
        return len(service.ask("recommend", {"user_id": "ivy", "n": 5, "exclude": ["i07"]})["items"])

    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(one, range(40)), *pool.map(one, range(40))} <= set(range(6))
        assert service.ask("erase", {"user_id": "ivy"})["events"] == 40
        told = [pool.submit(one, number) for number in range(100, 140)]
        gone = pool.submit(service.ask, "erase", {"user_id": "ivy"})
        assert gone.result()["people"] == 1
        assert all(future.result() is not None for future in told)
    last = service.ask("erase", {"user_id": "ivy"})
    assert last["events"] <= 40
    assert service.ask("recommend", {"user_id": "ivy"})["cold"]


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="workers are found by /proc, which is Linux's")
def test_a_killed_worker_is_replaced_by_one_that_is_warm(service):
    (before,) = children(service.process.pid)
    os.kill(before, 9)
    service.until(lambda: json.loads(service.get("/api/health/ready")[1])["worker"] != before)
    (after,) = children(service.process.pid)
    assert cpu_of(after) < 1.0  # it compiles, imports and opens nothing
    assert service.ask("recommend", {"user_id": "anna"})["items"]


def children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_numbers_of_all_workers_are_counted(service):
    lists, events = service.metric("service_lists_total"), service.metric('service_events_total{new="yes"}')
    service.ask("recommend", {"user_id": "emil"})
    service.ask("feedback", [event("emil"), event("emil")])
    assert service.metric("service_lists_total") == lists + 1
    assert service.metric('service_events_total{new="yes"}') == events + 2
    assert service.metric('service_requests_total{route="/api/recommend",status="200"}') > 0
    assert service.metric("service_known_until_seconds") > 1_700_000_000


def test_a_damaged_snapshot_is_refused_and_the_next_one_is_followed(service, company):
    past, snapshot = company
    before = service.ask("recommend", {"user_id": "anna"})["known_until"]
    whole, refused = (
        (service.folder / "live.omnireco").read_bytes(),
        service.metric('service_snapshots_total{outcome="refused"}'),
    )
    (service.folder / "half").write_bytes(whole[: len(whole) // 2])
    os.replace(service.folder / "half", service.folder / "live.omnireco")
    service.until(lambda: service.metric('service_snapshots_total{outcome="refused"}') == refused + 1)
    assert service.ask("recommend", {"user_id": "anna"})["known_until"] == before
    later = past.end + dt.timedelta(hours=1)
    parts = {"timing": snapshot.timing, "audience": snapshot.audience}
    Snapshot(snapshot.model, known_until=later, **parts).save(service.folder / "live.omnireco")
    service.until(lambda: service.ask("recommend", {"user_id": "anna"})["known_until"] != before)
    assert service.ask("recommend", {"user_id": "anna"})["known_until"][:19] == later.isoformat()[:19]


def test_an_erased_person_is_in_no_byte(service):
    service.ask("feedback", [event(SECRET), event(SECRET, "i05")])
    assert any(SECRET.encode() in path.read_bytes() for path in service.folder.glob("events.db*"))
    done = service.ask("erase", {"user_id": SECRET})
    assert (done["people"], done["events"]) == (1, 2)
    assert service.ask("recommend", {"user_id": SECRET})["cold"]
    files = [path for path in service.folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("command", [(), ("-m", "uvicorn", "app:app")], ids=["serve.py", "uvicorn"])
def test_without_a_snapshot_it_lives_and_is_not_ready(serve, company, tmp_path, command):
    service = serve(tmp_path, *command)
    try:
        assert service.get("/api/health/ready")[0] == 503
        assert service.get("/api/recommend", {"user_id": 1})[0] == 503
        assert service.get("/api/feedback", [event(1)])[0] == 503
        company[1].save(tmp_path / "live.omnireco")
        service.until(lambda: service.get("/api/health/ready")[0] == 200)
        assert service.ask("feedback", [event(1)])["new"] == 1
        (tmp_path / "live.omnireco").unlink()  # the models that answer go on
        assert service.ask("recommend", {"user_id": 1})["items"]
        service.get("/api/recommend/" + SECRET)
        assert SECRET not in service.log.read_text()
        assert service.log.read_text().count('"GET (no route) HTTP/1.1"') == 0
    finally:
        service.stop()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="workers are found by /proc, which is Linux's")
def test_under_load_with_workers_killed_nothing_is_wrong_lost_or_failed(serve):
    command = [
        sys.executable,
        EXAMPLE / "load.py",
        "--seconds",
        "12",
        "--workers",
        "2",
        "--items",
        "500",
        "--swap-every",
        "2",
        "--kill-every",
        "2",
        "5",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^wrong answers: 0 of [\d,]+; lost events: 0 of [\d,]+, twice: 0; errors: 0$", done.stdout, re.M)
    assert int(re.search(r"(\d+) workers killed", done.stdout).group(1)) > 0


def test_a_wrong_answer_would_be_noticed(monkeypatch):
    """The check of the load script, on answers that were changed."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import load

    factors = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    ids = [f"i{n:06d}" for n in range(30)]
    model = om.models.FactorModel.from_arrays(
        factors, items=ids, estimator=om.ALS(weights=om.Weights(), unobserved_weight=0.1)
    )
    snapshots = {load.EPOCH: Snapshot(model, known_until=load.EPOCH)}
    told = event("a", ids[3], timestamp="2026-01-02T10:00:00Z", event_id="1")
    live = Live(snapshots[load.EPOCH], store=MemoryStore())
    live.observe(told)
    at = "2026-01-02T10:00:01Z"
    items, scores, _ = live.recommend("a", load.N, at=at)
    pairs = zip(items, scores.tolist(), strict=True)
    listed = [{"id": item, "score": score} for item, score in pairs]
    right = json.dumps({"at": at, "known_until": load.EPOCH.isoformat(), "items": listed}).encode()
    book = load.Book()
    book.story["a"] = [told, right]
    assert load.wrong(book, snapshots, Rules(), 100) == (0, 1)
    book.story["a"] = [right, told]  # an answer that knew what had not happened yet
    assert load.wrong(book, snapshots, Rules(), 100) == (1, 1)


def test_no_part_of_the_library_imports_it():
    named = re.compile(r"\b(import|from) (fastapi|starlette|uvicorn|prometheus_client|app)\b")
    assert [path for path in (PROJECT / "src").rglob("*.py") if named.search(path.read_text("utf-8"))] == []


def test_the_image_is_made_of_files_that_are_there():
    lines = (EXAMPLE / "Dockerfile").read_text("utf-8").splitlines()
    assert "RUN omnireco warm-up && chmod -R a+rX,go-w /opt/omnireco-compiled" in lines
    sources = [line.split()[1] for line in lines if line.startswith("COPY")]
    assert sources
    assert all((PROJECT / source).exists() for source in sources)
