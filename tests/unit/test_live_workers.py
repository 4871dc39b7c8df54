"""Two workers of one store, of every kind: what one is told, or who is erased by it, the other acts on at once."""

import datetime as dt
import gc
import itertools
import os
import uuid

import numpy as np
import pytest

import omnireco as om
from omnireco.errors import SchemaError, StorageError
from omnireco.live import Live, MemoryStore, RedisStore, Rules, SQLiteStore

NOW = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
USER = "zz-" + "SECRET"
ITEMS = [f"i{n:02d}" for n in range(12)]
KINDS = ("memory", "sqlite", "redis")


def model():
    numbers = np.random.default_rng(3).standard_normal((12, 4)).astype(np.float32)
    return om.models.FactorModel.from_arrays(
        numbers, items=ITEMS, estimator=om.ALS(weights=om.Weights(half_life="30D"), unobserved_weight=0.01)
    )


def opened(kind, folder, times=2):
    """Stores of one kind that keep one thing."""
    if kind == "memory":
        return [MemoryStore()] * times
    if kind == "sqlite":
        return [SQLiteStore(folder / "events.db") for _ in range(times)]
    pytest.importorskip("redis", reason="the package redis is not installed: pip install 'omnireco[redis]'")
    prefix = f"test-{uuid.uuid4().hex}:"
    try:
        return [
            RedisStore(os.environ.get("OMNIRECO_REDIS", "redis://localhost:6379/0"), prefix=prefix)
            for _ in range(times)
        ]
    except StorageError:
        pytest.skip("no Redis server at OMNIRECO_REDIS or on localhost")


@pytest.fixture(params=KINDS)
def workers(request, tmp_path):
    rules = Rules(purposes={"resume": "history"})
    stores = opened(request.param, tmp_path)
    lives = [Live(model(), store=store, rules=rules) for store in stores]
    yield lives
    lives[0].erase([USER, *(f"u{n}" for n in range(20))])
    for store in stores:
        store.close()


def event(name="view", item="i01", at=NOW, **more):
    return {"user_id": USER, "event": name, "channel": "web", "item_id": item, "timestamp": at} | more


def minutes(n):
    return NOW + dt.timedelta(minutes=n)


def test_events_in_any_order_through_any_worker_end_as_one_state(workers):
    told = [
        event("view", "i01", minutes(1), event_id="a"),
        event("like", "i02", minutes(2), event_id="b"),
        event("undo", None, minutes(3), event_id="c", refers_to="b"),
        event("dislike", "i03", minutes(2), event_id="d"),
        event("impression", "i04", minutes(2), event_id="e"),
        event("consent", None, minutes(4), event_id="f", consent=True, purpose="history"),
        event("consent", None, minutes(4), event_id="g", consent=False, purpose="history", channel="app"),
        event("add_to_cart", "i05", minutes(2), event_id="h"),
        event("view", "unknown item", minutes(5), event_id="i", channel="a channel of its own"),
    ]
    once = Live(model(), rules=workers[0].rules)
    once.observe(told)
    wanted = repr(tuple(once.state(USER, at=minutes(9))))
    listed = once.recommend(USER, 12, at=minutes(9))
    for seed, turn in itertools.product(range(6), range(2)):
        draw = np.random.default_rng(seed)
        for place in draw.permutation(2 * len(told)) % len(told):  # each is delivered twice
            worker = workers[(place + turn + seed) % 2]
            worker.observe(told[place])
            worker.recommend(USER, 3, at=minutes(9))
        for worker in workers:
            assert repr(tuple(worker.state(USER, at=minutes(9)))) == wanted
            found = worker.recommend(USER, 12, at=minutes(9))
            assert found.items.tolist() == listed.items.tolist()
            assert found.scores.tobytes() == listed.scores.tobytes()
            assert worker.resume(USER, at=minutes(9)) == ()  # two answers at one instant are no
        assert "i03" not in found.items
        workers[turn].erase([USER])


def test_an_id_that_comes_again_with_other_content_is_refused_by_every_worker(workers):
    workers[0].observe(event(event_id="one"))
    changes = ({"item_id": "i02"}, {"event": "buy"}, {"timestamp": minutes(1)}, {"value": 2.0}, {"channel": "app"})
    for worker, change in itertools.product(workers, changes):
        with pytest.raises(SchemaError, match="stands for another event already") as error:
            worker.observe([event(item="i07", event_id="two"), event(event_id="one") | change])
        assert "SECRET" not in str(error.value)
        assert worker.state(USER, at=minutes(9)).events == 1  # and the other one of the batch is not kept
    assert workers[1].observe(event(event_id="one")) == (False,)


def test_what_one_worker_is_told_the_other_answers_with(workers):
    first, second = workers
    first.observe(event(event_id="a"))
    assert not second.recommend(USER, 3, at=minutes(9)).cold
    like = event("like", "i02", event_id="b")
    second.observe(like)
    assert first.state(USER, at=minutes(9)).likes == ("i02",)
    first.observe(event("undo", None, minutes(1), refers_to="b"))
    assert second.state(USER, at=minutes(9)).likes == ()
    assert second.observe(like) == (False,)  # delivered again after it was undone: it stays undone
    assert second.state(USER, at=minutes(9)).likes == ()
    shown = first.recommend(USER, 3, at=minutes(2)).items.tolist()
    first.observe([event("impression", item, minutes(3)) for item in shown])
    assert not set(second.recommend(USER, 3, at=minutes(4)).items.tolist()) & set(shown)


def test_another_worker_drops_who_was_erased_before_it_answers_anybody(workers):
    first, second = workers
    first.observe(event())
    first.observe(event() | {"user_id": "u1"})
    for worker in workers:
        worker.recommend(USER, 3, at=minutes(9))
        worker.recommend("u1", 3, at=minutes(9))
        assert any(person.user == USER for person in worker._people.values())
    first.erase([USER])
    assert not second.recommend("u1", 3, at=minutes(9)).cold  # somebody else asks
    gc.collect()
    for worker in workers:
        assert not any(person.user == USER for person in worker._people.values())
    assert second.recommend(USER, 3, at=minutes(9)).cold
    assert second.observe(event()) == (True,)


def test_a_worker_that_looks_for_a_new_snapshot_drops_who_was_erased(workers, tmp_path):
    first, second = workers
    path = om.live.Snapshot(model()).save(tmp_path / "live.omnireco")
    second.follow(path)
    first.observe(event())
    second.recommend(USER, 3, at=minutes(9))
    first.erase([USER])
    assert not second.follow(path)
    assert not second._people


def test_an_erasure_that_another_worker_began_is_ended_by_erasing_nobody(workers):
    first, second = workers
    if isinstance(first.store, MemoryStore):
        pytest.skip("a note would not outlive the process")
    first.observe(event())
    first.store.erase([f"s:{USER}"], note=f'[["{USER}"], []]')
    second.erase(["u2"])
    assert len(second.store.unfinished()) == 1  # the other worker may still be at it
    second.erase([])
    assert second.store.unfinished() == ()
