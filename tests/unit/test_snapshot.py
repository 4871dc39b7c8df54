"""Snapshots: written whole, opened in place, checked to the byte, shared, and never too old in silence."""

import dataclasses
import mmap
import threading

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError, StorageError
from omnireco.live import Live, Snapshot
from omnireco.live.ready import Ready


def factors(sign=1.0, m=70, d=6):
    numbers = sign * np.random.default_rng(3).standard_normal((m, d)).astype(np.float32)
    weights = om.Weights(events={"view": 1.0}, half_life="30D", missing="ignore")
    return om.models.FactorModel.from_arrays(
        numbers, items=[f"i{i:02d}" for i in range(m)], estimator=om.ALS(weights=weights, unobserved_weight=0.01)
    )


def audience():
    frame = pd.DataFrame({"user_id": ["ann", "bob"], "timezone": ["Asia/Tokyo", None], "consent_email": [True, False]})
    return om.Audience.from_frame(frame)


def owner(array):
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


def asked(model):
    live = Live(model)
    live.observe({"user_id": 1, "event": "view", "channel": "web", "item_id": "i03", "timestamp": "2025-05-01"})
    found = live.recommend(1, 9, at="2025-05-02")
    return found.items.tolist(), found.scores.tobytes()


def test_what_is_opened_answers_as_what_was_saved_and_lies_in_the_file(tmp_path):
    saved = Snapshot(factors(), audience=audience(), known_until="2025-05-01")
    found = Snapshot.open(saved.save(tmp_path / "a"))
    assert asked(found) == asked(saved)
    assert repr(found) == repr(saved) == "Snapshot(FactorModel(70 items, 6 factors), known until 2025-05-01)"
    assert found.schema == saved.schema
    arrays = [found.model.factors, found.model.popularity, found.model._index.items, found.model._space.turned]
    arrays += [tiles.packed for tiles in found.model._index._tiles.values()]
    for array in arrays:
        assert isinstance(owner(array), mmap.mmap)
        assert array.flags.aligned
        assert not array.flags.writeable


def test_every_byte_is_checked(tmp_path):
    path = Snapshot(factors(m=5, d=2), audience=audience()).save(tmp_path / "a")
    good = path.read_bytes()
    wrong = 0
    for place in range(0, len(good), 7):
        (tmp_path / "b").write_bytes(good[:place] + bytes([good[place] ^ 0x5A]) + good[place + 1 :])
        try:
            found = Snapshot.open(tmp_path / "b")
        except StorageError:
            wrong += 1
        else:  # padding, or dates and permissions of a zip, which nobody reads
            assert np.array_equal(found.model.factors, factors(m=5, d=2).factors)
            assert asked(found) == asked(Snapshot.open(path))
    assert wrong > 0.4 * len(good) / 7
    for cut in range(0, len(good), 97):
        (tmp_path / "b").write_bytes(good[:cut])
        with pytest.raises(StorageError):
            Snapshot.open(tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("turned", lambda a: a[:-1], "do not fit"),
        ("turn", lambda a: a[:-1], "do not fit"),
        ("packed", lambda a: a[:-1], "tiles do not fit"),
        ("order", lambda a: np.where(a == 0, -1, a).astype(np.int32), "every item"),
        ("order", lambda a: np.full(a.size, -1, np.int32), "every item"),
        ("place", lambda a: a + np.int32(10**6), "every item"),
        ("place", lambda a: np.zeros_like(a), "every item"),
        ("facts", lambda a: a[:-1], "tiles do not fit"),
    ],
)
def test_arrays_that_would_lead_compiled_code_astray_are_refused(tmp_path, name, change, words):
    model = factors()
    ready = Ready.of(model)
    if not ready.made_for and name not in ("turned", "turn"):
        pytest.skip("this machine has no tiles")
    bad = dataclasses.replace(ready, **{name: change(getattr(ready, name))})
    with pytest.raises(ValueError, match=words):
        Snapshot(model, _ready=bad)


def test_a_file_is_replaced_while_it_is_open_and_the_old_one_answers_on(tmp_path):
    path = Snapshot(factors(1.0)).save(tmp_path / "a")
    old = Snapshot.open(path)
    before = asked(old)
    Snapshot(factors(3.0)).save(path)
    assert asked(old) == before
    assert asked(Snapshot.open(path)) != before


def test_a_service_follows_a_file_and_goes_on_when_it_is_damaged(tmp_path):
    path = Snapshot(factors(1.0)).save(tmp_path / "a")
    live = Live(Snapshot.open(path))
    live.follow(path)
    assert not live.follow(path)
    Snapshot(factors(3.0)).save(path)
    assert live.follow(path)
    assert np.array_equal(live.snapshot.model.factors, factors(3.0).factors)
    path.unlink()
    path.write_bytes(b"no snapshot")
    with pytest.raises(StorageError, match="damaged"):
        live.follow(path)
    assert np.array_equal(live.snapshot.model.factors, factors(3.0).factors)
    with pytest.raises(StorageError, match="there is no file"):
        live.follow(tmp_path / "nowhere")


def test_many_threads_open_one_file(tmp_path):
    path = Snapshot(factors()).save(tmp_path / "a")
    want, wrong = asked(Snapshot.open(path)), []

    def work():
        if asked(Snapshot.open(path)) != want:
            wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


def test_the_schema_is_of_kinds_and_names_and_not_of_numbers(tmp_path):
    path = Snapshot(factors(1.0)).save(tmp_path / "a")
    Snapshot.open(path, schema=Snapshot(factors(3.0, m=30)).schema)
    whole = om.models.FactorModel.from_arrays(
        np.eye(3), items=[1, 2, 3], estimator=om.ALS(weights=om.Weights(), unobserved_weight=0.01)
    )
    for other in (Snapshot(whole), Snapshot(factors(), audience=audience())):
        with pytest.raises(StorageError, match="has the schema"):
            Snapshot.open(path, schema=other.schema)


def test_age_is_an_error_by_choice(tmp_path):
    path = Snapshot(factors(), known_until="2025-05-01").save(tmp_path / "a")
    Snapshot.open(path)
    Snapshot.open(path, at="2025-05-03", max_age="3D")
    with pytest.raises(StorageError, match=r"stale: its data ends at 2025-05-01.*96.0 h ago, and 72.0 h"):
        Snapshot.open(path, at="2025-05-05", max_age="3D")
    with pytest.raises(ParameterError, match="needs at="):
        Snapshot.open(path, max_age="3D")
    with pytest.raises(StorageError, match="does not say until when"):
        Snapshot.open(Snapshot(factors()).save(path), at="2025-05-05", max_age="3D")


def test_what_is_no_snapshot_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="must be fitted"):
        Snapshot(om.ALS())
    with pytest.raises(ParameterError, match="audience"):
        Snapshot(factors(), audience=pd.DataFrame())
    with pytest.raises(StorageError, match="holds a FactorModel"):
        Snapshot.open(om.save(factors(), tmp_path / "a"))
    with pytest.raises(ParameterError, match=r"file form|kind of value|register"):
        Snapshot(factors(), timing=object()).save(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_models_without_factors_and_of_no_items_are_kept_too(tmp_path):
    data = om.simulate(n_users=40, n_items=12, days=30, seed=2).dataset()
    for model in (om.EASE().fit(data), om.models.WhatNext(model=om.ALS(factors=4).fit(data)), om.ItemKNN().fit(data)):
        found = Snapshot.open(Snapshot(model).save(tmp_path / "a")).model
        assert (
            found.recommend(data.requests(), k=3).scores.tobytes()
            == model.recommend(data.requests(), k=3).scores.tobytes()
        )
    timing = om.SendTime().fit(data)
    found = Snapshot.open(Snapshot(om.EASE().fit(data), timing=timing, audience=data.audience).save(tmp_path / "a"))
    at = om.slots("2025-03-01", days=1).at
    rows = np.arange(5)
    assert np.array_equal(
        found.timing.slot_probability(data.audience, rows, "email", at),
        timing.slot_probability(data.audience, rows, "email", at),
    )
