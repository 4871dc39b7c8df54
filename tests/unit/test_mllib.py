"""Factors of MLlib's ALS among ours: people stand where MLlib puts them, ids are kept, what does not fit is refused."""

import shutil

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError

pyspark = pytest.importorskip("pyspark", reason="PySpark (extra spark) is not installed")
if shutil.which("java") is None:
    pytest.skip("there is no Java on this machine", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("ignore")  # of PySpark about pandas


@pytest.fixture(scope="module")
def session(spark_session):
    return spark_session


@pytest.fixture(scope="module")
def events():
    return om.simulate(n_users=60, n_items=30, seed=4).events


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "explicit"])
def test_factors_of_mllib_place_people_where_mllib_does(session, events, implicit):
    from pyspark.ml.recommendation import ALS

    log = om.EventLog.from_frame(events.assign(item_id="i" + events["item_id"].astype(str)))
    x = log.matrix(om.Weights())
    cells = x.csr.tocoo()
    labels = list(x.items.ids)
    ratings = session.createDataFrame(
        pd.DataFrame({"user": x.users.ids[cells.row], "item": cells.col.astype(np.int32), "rating": cells.data})
    )
    als = ALS(rank=4, regParam=0.2, alpha=3.0, implicitPrefs=implicit, maxIter=4, seed=1)
    model = als.setUserCol("user").setItemCol("item").setRatingCol("rating").fit(ratings)
    ours = om.spark.from_mllib(model, als, x, labels=labels)
    theirs = model.userFactors.toPandas().set_index("id")["features"]
    got, _ = ours.place(x) if isinstance(ours.place(x), tuple) else (ours.place(x), None)
    want = np.stack(theirs.loc[x.users.ids])
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-4)
    top = model.recommendForAllUsers(3).toPandas().set_index("user")["recommendations"]
    lists = ours.recommend(x, k=3, exclude_seen=False).to_frame()
    same = [row["item_id"] == labels[top.loc[row["user_id"]][row["rank"] - 1]["item"]] for _, row in lists.iterrows()]
    assert np.mean(same) > 0.98
    unseen = ours.recommend(x, k=3).to_frame()
    assert not set(zip(unseen["user_id"], unseen["item_id"], strict=True)) & set(
        zip(x.users.ids[cells.row], x.items.ids[cells.col], strict=True)
    )
    with pytest.raises(SchemaError, match="labels=indexer"):
        om.spark.from_mllib(model, als, x)
    with pytest.raises(SchemaError, match="number without a label; there are 2 labels"):
        om.spark.from_mllib(model, als, x, labels=labels[:2])
    with pytest.raises(SchemaError, match="the label of another one"):
        om.spark.from_mllib(model, als, x, labels=[labels[0]] * len(labels))
    with pytest.raises(SchemaError, match="none of x"):
        om.spark.from_mllib(model, als, x, labels=[*labels[:-1], "another"])
    with pytest.raises(ParameterError, match="nonnegative"):
        om.spark.from_mllib(model, als.copy().setNonnegative(True), x, labels=labels)
    with pytest.raises(SchemaError, match="ALSModel and its ALS"):
        om.spark.from_mllib(als, model, x)


def test_factors_of_unequal_length_are_refused(session, events):
    from types import SimpleNamespace

    from pyspark.ml.recommendation import ALS

    x = om.EventLog.from_frame(events).matrix()
    rows = [(i, [1.0, 2.0][: 1 + (i > 0)]) for i in range(30)]
    odd = SimpleNamespace(rank=2, itemFactors=session.createDataFrame(rows, "id int, features array<float>"))
    with pytest.raises(ParameterError, match="1 of 30 items have not 2 factors"):
        om.spark.from_mllib(odd, ALS(implicitPrefs=True), x, labels=x.items.ids)
