"""scikit-learn's conventions: clone, parameters, a search over a cut in time; and the numbers of our own verbs."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import omnireco as om
from omnireco.errors import DataWarning, EmptyError, ParameterError, SchemaError
from omnireco.sklearn import EventMatrix, Recommender, TimeCut

CUT = "2025-02-15"


@pytest.fixture(scope="module")
def events():
    world = om.simulate(n_users=150, n_items=25, days=60, seed=3)
    return world.events.dropna(subset="item_id").sample(frac=1, random_state=1)


def test_parameters_and_clones(events):
    one = Recommender(om.ALS(factors=4), k=3)
    two = clone(one).set_params(estimator__factors=8, k=4)
    assert (one.estimator.factors, one.k) == (4, 3)
    assert (two.estimator.factors, two.k) == (8, 4)
    assert two.get_params()["estimator__factors"] == 8
    assert not hasattr(clone(one.fit(events)), "model_")
    matrix = clone(EventMatrix(weights=om.Weights(half_life="30D")))
    assert matrix.get_params(deep=False)["weights"] == om.Weights(half_life="30D")
    assert matrix.set_params(weights=None).weights is None
    with pytest.raises(ParameterError, match="estimator must be"):
        Recommender("EASE").fit(events)


def test_a_search_over_a_cut_finds_what_we_find_by_hand(events):
    grid = {"estimator__regularization": [0.5, 50.0, 5000.0]}
    search = GridSearchCV(Recommender(om.EASE(), k=5), grid, cv=TimeCut(CUT), refit=True).fit(events)
    log = om.EventLog.from_frame(events)
    train, test = log.split(CUT)
    seen = set(zip(*train.to_frame()[["user_id", "item_id"]].to_numpy().T, strict=True))
    pairs = test.to_frame()[["user_id", "item_id"]].drop_duplicates()
    fresh = pairs[[pair not in seen for pair in zip(*pairs.to_numpy().T, strict=True)]]
    for value, found in zip(grid["estimator__regularization"], search.cv_results_["mean_test_score"], strict=True):
        model, data = om.EASE(regularization=value).fit(train), om.Dataset(train)
        lists = model.recommend(data.requests(fresh["user_id"].unique().tolist(), new_users=True), k=5)
        report = om.evaluate({"m": lists}, fresh, k=5, metrics=[om.ndcg], n_bootstrap=0)
        assert found == pytest.approx(report.to_frame()["mean"].iloc[0], abs=1e-12)
    assert search.best_params_["estimator__regularization"] in grid["estimator__regularization"]
    assert search.predict(events).shape == (len(events), 5)


def test_predict_is_recommend(events):
    made = Recommender(om.EASE(), k=4).fit(events)
    users = [9999, *events["user_id"].iloc[:3].tolist(), 9999]
    found = made.predict(users)
    data = om.Dataset(om.EventLog.from_frame(events))
    lists = made.model_.recommend(data.requests(list(dict.fromkeys(users)), new_users=True), k=4).to_frame()
    for user, row in zip(users, found, strict=True):
        assert lists[lists["user_id"] == user]["item_id"].tolist() == [item for item in row if item is not None]
    assert (found[0] == found[-1]).all()
    assert made.predict([]).shape == (0, 4)


def test_the_matrix_is_that_of_the_log_and_fits_a_pipeline(events):
    made = EventMatrix(weights=om.Weights(half_life="30D")).fit(events)
    x = om.EventLog.from_frame(events).matrix(om.Weights(half_life="30D"))
    np.testing.assert_array_equal(made.transform(events).toarray(), x.csr.toarray())
    assert made.get_feature_names_out().tolist() == [str(item) for item in x.items.ids]
    other = pd.concat([events.iloc[:5], events.iloc[:1].assign(item_id="new")])
    assert made.transform(other).shape == (other["user_id"].nunique(), len(x.items))
    assert make_pipeline(EventMatrix(), TruncatedSVD(3, random_state=0)).fit_transform(events).shape[1] == 3


def test_cuts(events):
    sides = list(TimeCut("2025-02-20", "2025-02-10").split(events))
    assert len(sides) == TimeCut("2025-02-20", "2025-02-10").get_n_splits() == 2
    for (before, after), (cut, end) in zip(sides, [("02-10", "02-20"), ("02-20", "12-31")], strict=True):
        cut, end = pd.Timestamp(f"2025-{cut}", tz="UTC"), pd.Timestamp(f"2025-{end}", tz="UTC")
        assert (events["timestamp"].iloc[before] < cut).all()
        assert events["timestamp"].iloc[after].between(cut, end, inclusive="left").all()
    with pytest.raises(EmptyError, match="no event after"):
        list(TimeCut("2030-01-01").split(events))
    with pytest.raises(EmptyError, match="no event before"):
        list(TimeCut("2001-01-01").split(events))
    with pytest.raises(SchemaError, match="no column 'time'"):
        list(TimeCut(CUT, column="time").split(events))
    with pytest.raises(SchemaError, match="have no zone"):
        list(TimeCut(CUT).split(events.assign(timestamp=events["timestamp"].dt.tz_localize(None))))
    with pytest.raises(ParameterError, match="TimeCut needs a time"):
        TimeCut()


def test_what_is_no_frame_or_has_nothing_new_is_refused(events):
    made = Recommender(om.EASE(), k=5).fit(events)
    with pytest.raises(EmptyError, match="nobody has an item that is new"):
        made.score(events)
    with pytest.raises(SchemaError, match="a frame of events is needed"):
        made.score(np.eye(3))


def test_a_score_that_knows_the_future_says_so(events):
    with pytest.warns(DataWarning, match="knows the future"):
        cross_val_score(Recommender(om.EASE(), k=5), events, cv=2)
    assert cross_val_score(Recommender(om.EASE(), k=5), events, cv=TimeCut(CUT)).size == 1  # and warns of nothing


def test_frames_of_other_libraries_are_cut_and_asked_as_those_of_pandas(events):
    polars = pytest.importorskip("polars")
    table = pa.Table.from_pandas(events, preserve_index=False)
    model = Recommender(om.EASE(), k=3).fit(events)
    want = [(a.tolist(), b.tolist()) for a, b in TimeCut(CUT).split(events)]
    for frame in (table, polars.from_arrow(table)):
        assert [(a.tolist(), b.tolist()) for a, b in TimeCut(CUT).split(frame)] == want
        assert (model.predict(frame[:5]) == model.predict(events[:5])).all()


def test_times_and_people_that_cannot_be_read_are_refused(events):
    with pytest.raises(SchemaError, match=r"not times\. Read them"):
        list(TimeCut(CUT).split(events.assign(timestamp=events["timestamp"].astype(str))))
    with pytest.raises(SchemaError, match=r"missing in 1 row, which lie on no side"):
        list(TimeCut(CUT).split(events.assign(timestamp=events["timestamp"].mask(np.arange(len(events)) == 3))))
    made = Recommender(om.EASE(), k=5).fit(events)
    with pytest.raises(SchemaError, match="no column 'user_id'"):
        made.predict(events[["item_id"]])
    with pytest.raises(SchemaError, match=r"Got shape \(2, 1\)"):
        made.predict(np.array([[1001], [1002]]))
    with pytest.raises(SchemaError, match="user_id") as caught:
        made.predict(["secret-\ud800"])
    assert "secret" not in str(caught.value)
