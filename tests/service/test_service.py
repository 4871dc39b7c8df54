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
    ("feedback", [event("anna")] * 1001),
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
    service.get("/api/recommend/" + SECRET)
    assert SECRET not in service.get("/metrics")[1]
    log = service.log.read_text()
    assert SECRET not in log
    assert "Traceback" not in log
    paths = json.loads(service.get("/openapi.json")[1])["paths"]
    assert not any("{" in path for path in paths)
    assert {
        "/api/feedback",
        "/api/recommend",
        "/api/session/recommend",
        "/api/health/live",
        "/api/health/ready",
    } <= set(paths)


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


def test_without_a_snapshot_it_lives_and_is_not_ready(serve, company, tmp_path):
    service = serve(tmp_path)
    try:
        assert service.get("/api/health/ready")[0] == 503
        assert service.get("/api/recommend", {"user_id": 1})[0] == 503
        assert service.get("/api/feedback", [event(1)])[0] == 503
        company[1].save(tmp_path / "live.omnireco")
        service.until(lambda: service.get("/api/health/ready")[0] == 200)
        assert service.ask("feedback", [event(1)])["new"] == 1
        (tmp_path / "live.omnireco").unlink()  # the models that answer go on
        assert service.ask("recommend", {"user_id": 1})["items"]
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
    right = {
        "at": at,
        "known_until": load.EPOCH.isoformat(),
        "items": [{"id": item, "score": score} for item, score in zip(items, scores.tolist(), strict=True)],
    }
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
