"""Save and load: equal answers, one safe file, and a StorageError for anything else."""

from __future__ import annotations

import dataclasses
import json
import pickle
import zipfile
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, StorageError


@pytest.fixture(scope="module")
def world():
    return om.simulate(n_users=60, n_items=20, days=40, seed=3)


@pytest.fixture(scope="module")
def values(world):
    log = om.EventLog.from_frame(world.events, itemless="keep")
    x = log.matrix(om.Weights(half_life="30D"))
    lists = om.BuyAgain().fit(x).recommend(x, k=3, exclude_seen=False)
    touches = om.planning.Candidates.from_frame(
        pd.DataFrame(
            {
                "user_id": ["ann", "bob"],
                "item_id": [1, 2],
                "channel": "push",
                "send_at": pd.to_datetime(["2025-06-01 09:00", "2025-06-01 18:00"], utc=True),
                "value": [1.0, 2.0],
                "offer_id": ["a", None],
            }
        )
    )
    return {
        "log": log,
        "messages": om.MessageLog.from_frame(world.messages),
        "audience": om.Audience.from_frame(world.users),
        "catalog": om.Catalog.from_frame(
            pd.DataFrame({"item_id": ["é", "z"], "price": [1.0, 2.0], "category": ["a", None]})
        ),
        "x": x,
        "popularity": om.Popularity().fit(x),
        "ease": om.EASE().fit(x),
        "knn": om.ItemKNN().fit(x),
        "als": om.ALS(factors=4, iterations=3).fit(x),
        "lists": lists,
        "plan": om.plan(touches, constraints=[om.Budget("push", cost=1.0, total=1.0)]),
    }


@pytest.mark.parametrize("name", ["log", "messages", "audience", "catalog", "x", "lists", "plan"])
def test_what_is_loaded_equals_what_was_saved(values, name, tmp_path):
    value = values[name]
    loaded = om.load(om.save(value, tmp_path / "value.omnireco"))
    assert repr(loaded) == repr(value)
    pd.testing.assert_frame_equal(loaded.to_frame(), value.to_frame())


def test_a_loaded_send_time_gives_the_same_bytes(tmp_path):
    world = om.simulate(n_users=40, n_items=10, days=40, seed=2)
    audience = om.Audience.from_frame(world.users)
    log, sent = om.EventLog.from_frame(world.events), om.MessageLog.from_frame(world.messages)
    model = om.SendTime(expiry="2D").fit(om.Dataset(log, messages=sent, audience=audience))
    loaded = om.load(om.save(model, tmp_path / "timing"))
    assert repr(loaded) == repr(model)
    rows, at = np.arange(40), om.slots("2025-03-01", days=1).at
    ours, theirs = (found.slot_probability(audience, rows, "email", at) for found in (model, loaded))
    assert ours.tobytes() == theirs.tobytes()
    forever = om.timing.ActivityProfile(prior_strength=float("inf"), half_life=None).fit(
        om.Dataset(log, audience=audience)
    )
    profile = om.load(om.save(forever, tmp_path / "profile"))
    assert profile.hour_of_week(log.users.ids).tobytes() == forever.hour_of_week(log.users.ids).tobytes()


@pytest.mark.parametrize("name", ["popularity", "ease", "knn", "als"])
def test_a_loaded_model_gives_the_same_bytes(values, name, tmp_path):
    model, x = values[name], values["x"]
    loaded = om.load(om.save(model, tmp_path / "model.omnireco"))
    ours, theirs = model.recommend(x, k=5), loaded.recommend(x, k=5)
    assert ours.codes.tobytes() == theirs.codes.tobytes()
    assert ours.scores.tobytes() == theirs.scores.tobytes()
    assert loaded.items == model.items


def test_layers_and_window_survive(values, tmp_path):
    x = om.load(om.save(values["x"], tmp_path / "x"))
    assert list(x.layers) == list(values["x"].layers)
    log = om.load(om.save(values["log"].before("2025-01-20"), tmp_path / "log"))
    assert log.end.isoformat() == "2025-01-20T00:00:00+00:00"


def test_a_loaded_plan_still_says_why_not(values, tmp_path):
    plan = om.load(om.save(values["plan"], tmp_path / "plan"))
    pd.testing.assert_frame_equal(plan.why_not(), values["plan"].why_not())
    pd.testing.assert_frame_equal(plan.prices, values["plan"].prices)


def test_saving_twice_gives_the_same_arrays_and_leaves_no_other_file(values, tmp_path):
    om.save(values["als"], tmp_path / "model")
    om.save(values["als"], tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failed_save_keeps_the_older_file(values, tmp_path, monkeypatch):
    path = om.save(values["als"], tmp_path / "model")
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(StorageError, match="No space left"):
        om.save(values["ease"], path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["model"]


def test_frames_are_refused():
    with pytest.raises(ParameterError, match="Got DataFrame"):
        om.save(pd.DataFrame(), "nowhere")


def test_a_missing_file(tmp_path):
    with pytest.raises(StorageError, match="no file 'absent'"):
        om.load(tmp_path / "absent")


def test_every_flipped_byte_is_an_error_or_changes_nothing(values, tmp_path):
    path = om.save(values["lists"], tmp_path / "lists")
    whole = path.read_bytes()
    expected = values["lists"].to_frame()
    for position in np.random.default_rng(0).integers(0, len(whole), 300):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            loaded = om.load(path)
        except StorageError:
            continue
        pd.testing.assert_frame_equal(loaded.to_frame(), expected)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100)])
def test_foreign_bytes(content, tmp_path):
    (tmp_path / "foreign").write_bytes(content)
    with pytest.raises(StorageError, match="damaged or not a file of omnireco"):
        om.load(tmp_path / "foreign")


def test_a_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    (tmp_path / "bomb").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(StorageError):
        om.load(tmp_path / "bomb")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("header.json", json.dumps({"format": "omnireco", "version": 2, "kind": "catalog",
                                                     "fields": {}, "checksums": {"items": "0"}}))  # fmt: skip
        with archive.open("items.npy", "w") as entry:
            np.lib.format.write_array(entry, np.array([Bomb()], object), allow_pickle=True)
    with pytest.raises(StorageError):
        om.load(tmp_path / "zip")


@pytest.mark.parametrize(
    ("version", "told"),
    [(99, r"version 99.*Upgrade"), (1, r"version 1, .*fit the model again"), (0, "fit the model again")],
)
def test_a_file_of_another_version_says_what_to_do(version, told, values, tmp_path):
    path = om.save(values["lists"], tmp_path / "lists")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(parts["header.json"]) | {"version": version}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, json.dumps(header) if name == "header.json" else content)
    with pytest.raises(StorageError, match=told):
        om.load(path)


@pytest.mark.parametrize("number", [Fraction(5, 2), np.float32(2.5), np.float64(2.5)])
def test_numbers_of_every_type_come_back_as_numbers(number, tmp_path):
    assert om.load(om.save(om.EASE(regularization=number), tmp_path / "ease")).regularization == 2.5


def test_an_estimate_that_is_none_of_ours(tmp_path):
    found = om.causal.off_policy(om.causal.LoggedDecisions(np.ones(2000), np.full(2000, 0.5)), np.full(2000, 0.5))
    strange = dataclasses.replace(found, table=found.table.assign(estimator="guess"))
    with pytest.raises(ParameterError, match="an estimate has another name"):
        om.save(strange, tmp_path / "found")
