"""What one event is worth, by hand."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data import EventLog, Interactions, Weights
from omnireco.errors import ParameterError, SchemaError


def log(**changes):
    """Ann views tea in the app twice within 20 minutes, then buys it in the store a day later; Bob views a cup."""
    frame = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "ann", "bob"],
            "item_id": ["tea", "tea", "tea", "cup"],
            "channel": ["app", "app", "store", "app"],
            "event": ["view", "view", "purchase", "view"],
            "timestamp": pd.to_datetime(
                ["2025-05-01 08:00", "2025-05-01 08:20", "2025-05-02 08:00", "2025-05-02 08:00"], utc=True
            ),
            "value": [0.0, 0.0, 3.0, -1.0],
        }
        | changes
    )
    return EventLog.from_frame(frame)


CLOCK = "2025-05-03T08:00Z"


@pytest.mark.parametrize(
    ("weights", "tea_app", "tea_store", "cup"),
    [
        (None, 2, 1, 1),
        (Weights(events={"view": 1, "purchase": 8}, channels={"store": 2}), 2, 16, 1),
        (Weights(events={"view": 0}), 0, 1, 0),
        (Weights(half_life="1D"), 0.25 + 2 ** (-(1 + 1420 / 1440)), 0.5, 0.5),
        (Weights(value="linear"), 0, 3, -1),
        (Weights(value="log"), 0, np.log(4), -np.log(2)),
        (Weights(cap=1.5), 1, 0.5, 1),
        (Weights(deduplicate="30min"), 1, 1, 1),
        (Weights(deduplicate="20min"), 2, 1, 1),
        (Weights(binary=True), 2 / 3, 1 / 3, 1),
        (Weights(events={"purchase": -2}, binary=True), None, None, 1),
    ],
)
def test_cells_by_hand(weights, tea_app, tea_store, cup):
    x = log().matrix(weights, at=CLOCK)
    assert x.items.ids.tolist() == ["cup", "tea"]
    if tea_app is None:  # 2 views and a return of weight 2 cancel: nothing is left
        assert x.csr.toarray().tolist() == [[0, 0], [1, 0]]
        return
    assert x.layers["app"].toarray() == pytest.approx(np.array([[0, tea_app], [cup, 0]]), rel=1e-6)
    assert x.layers["store"].toarray() == pytest.approx(np.array([[0, tea_store], [0, 0]]), rel=1e-6)
    assert x.csr.toarray() == pytest.approx(np.array([[0, tea_app + tea_store], [cup, 0]]), rel=1e-6)
    assert x.at_us == 1_746_259_200_000_000


def test_the_decay_runs_from_the_end_of_the_log_by_default():
    x = log().matrix(Weights(half_life="1D"))
    assert x.csr[1, 0] == pytest.approx(1, rel=1e-6)
    with pytest.raises(ParameterError, match=r"at lies before the last event.*log\.before\(at\)\.matrix\(weights\)"):
        log().matrix(Weights(half_life="1D"), at="2025-05-02")


def test_events_that_aged_to_nothing_leave_no_cell_and_no_warning():
    old = {"timestamp": pd.to_datetime(["1999-01-01", "1999-01-01", "2025-05-02", "2025-05-02"], utc=True)}
    for binary in (False, True):
        x = log(**old).matrix(Weights(half_life="1h", binary=binary))
        assert x.nnz == 2
    middle = {"timestamp": pd.to_datetime(["2025-03-19"] * 2 + ["2025-05-02"] * 2, utc=True)}
    x = log(**middle, item_id=["tea", "tea", "pot", "cup"]).matrix(Weights(half_life="1h", binary=True))
    assert x.csr.sum() == 2  # 2 ** -1056 is no number that float32 can hold


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"events": [1]}, r"events must map names to weights, such as \{'view': 1\}"),
        ({"channels": {"app": "2"}}, r"channels\['app'\] must be a number"),
        ({"events": {"view": np.inf}}, r"events\['view'\] must be a finite number"),
        ({"half_life": 30}, "half_life must be a duration"),
        ({"value": "sqrt"}, "value must be one of 'linear', 'log'"),
        ({"cap": 0}, "cap must be greater than 0"),
        ({"deduplicate": "soon"}, "deduplicate must be a duration"),
        ({"binary": 1}, "binary must be True or False"),
    ],
)
def test_weights_that_are_none(arguments, match):
    with pytest.raises(ParameterError, match=match):
        Weights(**arguments)


def test_weights_and_logs_that_do_not_fit():
    bare = EventLog.from_frame(log().to_frame().drop(columns="value"))
    with pytest.raises(SchemaError, match=r"needs a value per event.*columns=\{'value': 'price'\}"):
        bare.matrix(Weights(value="log"))
    with pytest.raises(ParameterError, match=r"weights must be a Weights. Got dict: write Weights\(events=...\)"):
        bare.matrix({"view": 1})
    with pytest.raises(SchemaError, match=r"exceeds 3.4e38, the largest float32. Scale.*Weights\(cap=1000\)"):
        log(value=[1e300] * 4).matrix(Weights(value="linear"))
    assert log(value=[1e300] * 4).matrix(Weights(value="linear", cap=5)).csr.max() == 5


def test_weights_are_frozen_and_keep_their_own_copy():
    table = {"view": 1}
    weights = Weights(events=table)
    table["view"] = 9
    assert weights.events["view"] == 1
    with pytest.raises(TypeError):
        weights.events["view"] = 2
    with pytest.raises(AttributeError):
        weights.cap = 3


def test_weights_can_be_copied_pickled_hashed_and_read():
    weights = Weights(events={"view": 1}, channels={"store": 2})
    assert copy.deepcopy(weights) == pickle.loads(pickle.dumps(weights)) == weights
    assert len({weights, copy.copy(weights)}) == 1
    assert "events={'view': 1.0}" in repr(weights)
    with pytest.raises(TypeError, match="frozen value"):
        weights.events["view"] = 3
    with pytest.raises(TypeError, match="frozen value"):
        weights.events.update(view=3)


def test_binary_leaves_out_what_speaks_against_an_item():
    frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 1, 1], "weight": [1.0, -3.0, 2.0]})
    x = Interactions.from_frame(frame, binary=True)
    assert x.to_frame().to_numpy().tolist() == [[2.0, 1.0, 1.0]]


# ---- values that are missing -----------------------------------------------------------------------------------


def with_gaps():
    return pd.DataFrame(
        {
            "user_id": ["a", "a", "b", "b"],
            "item_id": ["x", "y", "x", None],
            "channel": "web",
            "event": ["view", "purchase", "purchase", "page"],
            "timestamp": pd.to_datetime(["2025-05-01", "2025-05-02", "2025-05-03", "2025-05-04"], utc=True),
            "value": [np.nan, 3.0, 4.0, np.nan],
        }
    )


def test_a_missing_value_is_kept_and_is_no_zero():
    log = om.EventLog.from_frame(with_gaps(), itemless="keep")
    assert np.isnan(log.value).tolist() == [True, False, False, True]
    assert log.summary().set_index("event")["value"].to_dict() == {"page": 0.0, "purchase": 7.0, "view": 0.0}
    kept = om.EventLog.from_frame(with_gaps(), itemless="keep", on_invalid="drop")
    assert len(kept) == 4
    assert not kept.quality.findings
    twice = om.EventLog.from_frame(pd.concat([with_gaps()] * 2), itemless="keep")
    assert om.data.fingerprint(twice.deduplicated()) == om.data.fingerprint(log)


@pytest.mark.parametrize(
    "weights",
    [om.Weights(value="linear"), om.Weights(value="log"), om.Weights(targets={"view": {0: 0, 5: 1}})],
    ids=str,
)
def test_an_event_of_no_known_value_is_not_weighed_by_it(weights):
    log = om.EventLog.from_frame(with_gaps(), itemless="keep")
    with pytest.raises(SchemaError, match=r"value: it is missing in 1 event of 4 \('view'\)\. Weigh only events"):
        log.matrix(weights)


def test_each_advice_on_missing_values_works():
    log, frame = om.EventLog.from_frame(with_gaps(), itemless="keep"), with_gaps()
    bought = [[0.0, 3.0], [4.0, 0.0]]
    linear = om.Weights(value="linear")
    assert log.select(events=["purchase"]).matrix(linear).csr.toarray().tolist() == bought
    assert log.matrix(om.Weights(value="linear", events={"view": 0})).csr.toarray().tolist() == bought
    known = om.EventLog.from_frame(frame.dropna(subset=["value"]))
    assert known.matrix(linear).csr.toarray().tolist() == bought
    said = om.EventLog.from_frame(frame.assign(value=frame["value"].fillna(1)), itemless="keep")
    assert said.matrix(linear).csr.toarray().tolist() == [[1.0, 3.0], [4.0, 0.0]]


def test_an_infinite_value_is_refused_and_its_advice_works():
    frame = with_gaps().assign(value=[np.inf, 3.0, -np.inf, 1.0])
    with pytest.raises(SchemaError, match=r"value is infinite in 2 rows.*replace\(\[numpy.inf, -numpy.inf\]"):
        om.EventLog.from_frame(frame, itemless="keep")
    frame["value"] = frame["value"].replace([np.inf, -np.inf], np.nan)
    assert np.isnan(om.EventLog.from_frame(frame, itemless="keep").value).sum() == 2


def test_sums_of_value_say_what_they_lack():
    log = om.EventLog.from_frame(with_gaps().assign(value=[1.0, 3.0, np.nan, 2.0]), itemless="keep")
    with pytest.warns(om.errors.DataWarning, match="value is missing in 1 of 2 completed events"):
        report = om.evaluation.channel_report(log, completes="purchase", window="14D", k=1)
    assert report.channels["value"].iloc[0] == 3.0


def test_a_scan_refuses_to_weigh_by_missing_values(tmp_path):
    with_gaps().to_parquet(tmp_path / "x.parquet")
    scan = om.EventLog.scan(tmp_path, itemless="keep")
    with pytest.raises(SchemaError, match=r"value is missing or infinite in 2 rows.*scan\.log\(start"):
        scan.matrix(om.Weights(value="log"))
    assert scan.log().matrix(om.Weights(value="log", events={"view": 0})).nnz == 2
