"""Events that come from many threads, out of order, while people are erased; and errors that must name nobody."""

import datetime as dt
import itertools
import pickle
import threading
import traceback
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError, StorageError
from omnireco.live import Live, MemoryStore, Rules, Snapshot, SQLiteStore

NOW = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
USER = "zz-" + "SECRET"  # never whole in a line that a traceback shows
ITEMS = [f"i{n:02d}" for n in range(12)]


def model():
    numbers = np.random.default_rng(3).standard_normal((12, 4)).astype(np.float32)
    weights = om.Weights(half_life="30D")
    return om.models.FactorModel.from_arrays(
        numbers, items=ITEMS, estimator=om.ALS(weights=weights, unobserved_weight=0.01)
    )


def event(name="view", item="i01", at=NOW, **more):
    return {"user_id": "zz-SECRET", "event": name, "channel": "web", "item_id": item, "timestamp": at} | more


def stores(folder):
    return {"memory": MemoryStore(), "sqlite": SQLiteStore(folder / "events.db")}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_threads_that_tell_of_one_person_lose_nothing_and_repeat_nothing(tmp_path, kind):
    live, wrong = Live(model(), store=stores(tmp_path)[kind], rules=Rules(repeat_after=None)), []

    def tell(part):
        draw = np.random.default_rng(part)
        for n in draw.permutation(40).tolist():  # every event comes from two threads
            at = NOW - dt.timedelta(minutes=n * 10 + part // 2 + 1)
            live.observe(event(item=ITEMS[n % 12], at=at, event_id=f"{part // 2} {n}"))
            seen = live.state("zz-SECRET", at=NOW).events
            if len(live.recommend("zz-SECRET", 3, at=NOW, exclude_seen=False).items) != 3 or not 1 <= seen <= 80:
                wrong.append(seen)

    threads = [threading.Thread(target=tell, args=(part,)) for part in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong
    assert live.state("zz-SECRET", at=NOW).events == 80
    fresh = Live(model(), store=live.store, rules=live.rules)
    one, other = (each.recommend("zz-SECRET", 5, at=NOW, exclude_seen=False) for each in (live, fresh))
    assert one.items.tolist() == other.items.tolist()
    assert one.scores.tobytes() == other.scores.tobytes()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_who_is_erased_while_they_click_and_ask_stays_in_no_memory(tmp_path, kind):
    live, stop, errors = Live(model(), store=stores(tmp_path)[kind]), threading.Event(), []

    def work(do):
        try:
            for n in itertools.count():
                if stop.is_set():
                    return
                do(n)
        except (StorageError, RuntimeError, KeyError, ValueError) as error:
            errors.append(error)

    jobs = [
        lambda n: live.observe(event(event_id=f"e{n}", at=NOW + dt.timedelta(seconds=n % 500))),
        lambda n: live.recommend("zz-SECRET", 3, at=NOW + dt.timedelta(days=1)),
    ]
    threads = [threading.Thread(target=work, args=(do,)) for do in jobs]
    for one in threads:
        one.start()
    for _ in range(10):
        live.erase(["zz-SECRET"])
    stop.set()
    for one in threads:
        one.join()
    assert not errors
    live.erase(["zz-SECRET"])
    assert not live._people
    assert live.store.sizes() == (0, 0)


def test_somebody_who_was_read_before_an_erasure_is_not_kept_after_it():
    live = Live(model())
    live.observe(event())
    read = live.store.read

    class Slow(MemoryStore):
        __slots__ = ()

        def version(self, key):
            return 1

        def read(self, key):
            held = read(key)
            live.erase(["zz-SECRET"])
            return held

    live.store, live._people = Slow(), {}
    live.recommend("zz-SECRET", 3, at=NOW)
    assert not live._people


def test_consents_in_any_order_end_the_same():
    rows = ((0, True, "a", "web"), (2, False, "b", "app"), (2, True, "c", "web"), (1, True, "d", "app"))
    told = [
        event("consent", None, NOW + dt.timedelta(minutes=n), consent=yes, event_id=name, channel=on, purpose="p")
        for n, yes, name, on in rows
    ]
    for order in itertools.permutations(told):
        live = Live(model(), rules=Rules(purposes={"recommend": "p"}, ahead=None))
        live.observe(event(at=NOW - dt.timedelta(days=1)))
        for one in order:
            live.observe(one)
            live.recommend("zz-SECRET", 2, at=NOW + dt.timedelta(minutes=5))
        assert live.recommend("zz-SECRET", 2, at=NOW + dt.timedelta(minutes=1.5)).cold is False
        assert live.recommend("zz-SECRET", 2, at=NOW + dt.timedelta(minutes=5)).cold is True  # at one instant no


def test_a_withdrawal_of_a_fast_clock_counts_at_once_and_a_yes_of_one_does_not():
    def asked(ahead, yes, minute):
        live = Live(model(), rules=Rules(purposes={"recommend": "p"}, ahead=ahead))
        live.observe([event(at=NOW - dt.timedelta(days=1)), consent(True, -60), consent(yes, minute)])
        return live.recommend("zz-SECRET", 2, at=NOW).cold

    def consent(yes, minute):
        at = NOW + dt.timedelta(minutes=minute)
        return event("consent", None, at, consent=yes, purpose="p")

    assert asked("10min", False, 10) is True
    assert asked("10min", False, 10.1) is False
    assert asked(None, False, 1) is False
    late = Live(model(), rules=Rules(purposes={"recommend": "p"}))
    late.observe([event(at=NOW - dt.timedelta(days=1)), consent(True, 5)])
    assert late.recommend("zz-SECRET", 2, at=NOW).cold is True


def test_one_instant_in_any_zone_and_dress_is_one_event():
    berlin = dt.timezone(dt.timedelta(hours=1))
    same = [
        NOW,
        NOW.astimezone(berlin),
        "2025-03-01T13:00:00+01:00",
        "2025-03-01T12:00:00Z",
        pd.Timestamp(NOW),
        pd.Timestamp("2025-03-01 07:00", tz="America/New_York"),
    ]
    live = Live(model())
    assert [live.observe(event(at=at, event_id="one"))[0] for at in same] == [True] + [False] * 5


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": pd.NaT},
        {"timestamp": np.datetime64("NaT")},
        {"timestamp": float("nan")},
        {"timestamp": -1},
        {"timestamp": "0000-00-00T00:00:00Z"},
        {"timestamp": "2025-02-30T00:00:00Z"},
        {"timestamp": "99999-01-01T00:00:00Z"},
        {"value": Decimal("NaN")},
        {"value": -float("inf")},
        {"value": 1j},
        {"value": np.array([1.0])},
        {"user_id": b"zz-SECRET"},
        {"user_id": ("zz-SECRET",)},
        {"user_id": pd.NA},
        {"user_id": np.float64("nan")},
        {"user_id": Decimal(3)},
        {"user_id": -(2**70)},
        {"item_id": {"zz-SECRET": 1}},
        {"item_id": "x" * 10**6},
        {"event": "v" * 10**6},
        {"channel": np.nan},
        {"event_id": 7},
        {"event_id": "\udcff"},
        {"consent": "zz-SECRET"},
        {"purpose": ["zz-SECRET"]},
        {"refers_to": {"zz-SECRET"}},
        {"zz-SECRET": "zz-SECRET"},
        {7: 1},
    ],
    ids=lambda change: f"{next(iter(change))} {type(next(iter(change.values()))).__name__}".replace("zz-SECRET", "x"),
)
def test_hostile_events_are_refused_in_short_words_that_name_nobody(change):
    live = Live(model())
    with pytest.raises((SchemaError, ParameterError)) as error:
        live.observe([event(), event() | change])
    said = "".join(str(one) for one in (error.value, error.value.__cause__) if one is not None)
    if "zz-SECRET" not in change:  # a field is no id
        assert "SECRET" not in said
    assert len(said) < 700
    assert live.store.sizes() == (0, 0)


def test_events_of_long_ago_and_of_the_far_future_are_kept_for_their_time():
    live = Live(model(), rules=Rules(repeat_after=None))
    live.observe([event(at="1923-05-01T00:00:00Z"), event(item="i02", at="2199-01-01T00:00:00Z")])
    assert live.state("zz-SECRET", at=NOW).events == 1
    assert live.state("zz-SECRET", at="2199-01-02").events == 2
    assert "i01" not in live.recommend("zz-SECRET", 12, at=NOW).items


def test_errors_of_a_store_name_nobody(tmp_path):
    live = Live(model(), store=SQLiteStore(tmp_path / "events.db"))
    live.observe(event(event_id=USER + "1"))
    db = live.store._db()
    db.execute("UPDATE events SET body = CAST(X'5B22FF' AS BLOB)")
    fresh = Live(model(), store=live.store)
    for damage in ("UPDATE events SET event_id = CAST(X'7A7A2D534543524554FF' AS TEXT)", "DROP TABLE events"):
        with pytest.raises(StorageError) as error:
            fresh.recommend(USER, 3, at=NOW)
        assert "SECRET" not in "".join(traceback.format_exception(error.value))
        db.execute(damage)
    with pytest.raises(StorageError) as error:
        fresh.observe(event(event_id=USER + "2"))
    assert "SECRET" not in "".join(traceback.format_exception(error.value))


def test_a_store_of_ones_own_that_gives_back_nonsense_is_refused():
    class Odd(MemoryStore):
        __slots__ = ()

        def read(self, key):
            version, held = super().read(key)
            return version, tuple(row._replace(body=self.body) for row in held)

        body = b""

    for body in (b"", b"[1", b"{}", b"[]", b"3", b'["a","b","c","d","e","f","g","h","i"]'):
        odd = type("Odd", (Odd,), {"__slots__": (), "body": body})()
        live = Live(model(), store=odd)
        live.observe(event())
        with pytest.raises(StorageError, match="nobody put there"):
            live.recommend("zz-SECRET", 3, at=NOW)


def test_a_live_message_needs_its_parts_and_says_so_without_names():
    live = Live(Snapshot(model()))
    with pytest.raises(ParameterError) as error:
        live.next_touch("zz-SECRET", NOW)
    assert "SECRET" not in str(error.value)


def test_events_can_be_sent_to_another_process():
    from omnireco.live.events import Event

    one = Event(1, "view", "web", "i01", 2.0, "e", None, None, None)
    assert pickle.loads(pickle.dumps(one)) == one
    assert Event.of("e", 1, one.body()) == one
