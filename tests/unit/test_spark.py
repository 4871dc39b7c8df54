"""Spark, local: the same matrix and the same lists as on one machine. Skipped where PySpark or Java is missing."""

import os
import shutil
import sys

import numpy as np
import pyarrow as pa
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError

pyspark = pytest.importorskip("pyspark", reason="PySpark (extra spark) is not installed")
if shutil.which("java") is None:
    pytest.skip("there is no Java on this machine", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("ignore")  # of PySpark about pandas

WEIGHTS = om.Weights(events={"purchase": 5.0}, half_life="30D", missing="ignore")


@pytest.fixture(scope="module")
def session():
    os.environ["PYSPARK_PYTHON"] = sys.executable  # the executors run what runs here
    builder = pyspark.sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = (
        builder.config("spark.sql.shuffle.partitions", "3")
        .config("spark.sql.session.timeZone", "Asia/Tokyo")
        .getOrCreate()
    )
    yield spark
    spark.stop()


@pytest.fixture(scope="module")
def events():
    return om.simulate(n_users=60, n_items=30, seed=4).events


@pytest.fixture(scope="module")
def table(session, events):
    return session.createDataFrame(pa.Table.from_pandas(events, preserve_index=False))


def test_the_matrix_is_that_of_one_machine(events, table):
    x = om.EventLog.from_frame(events).matrix(WEIGHTS)
    y = om.EventLog.scan(table).matrix(WEIGHTS)
    assert x.users == y.users
    assert x.items == y.items
    np.testing.assert_allclose(x.csr.toarray(), y.csr.toarray(), rtol=1e-6)


@pytest.mark.parametrize(
    "estimator", [om.EASE(weights=WEIGHTS), om.ALS(factors=8, weights=WEIGHTS)], ids=["ease", "als"]
)
def test_lists_are_those_of_one_machine_and_leave_seen_items_out(events, table, estimator):
    data = om.Dataset(om.EventLog.from_frame(events))
    model = estimator.fit(data)
    want = model.recommend(data.requests(), k=4).to_frame()
    got = om.spark.recommend(model, table, k=4).toArrow().to_pandas()
    got = got.sort_values(["user_id", "rank"]).reset_index(drop=True)
    assert got[["user_id", "rank"]].astype("int64").equals(want[["user_id", "rank"]].astype("int64"))
    np.testing.assert_allclose(got["score"], want["score"], rtol=1e-4, atol=1e-5)
    assert (got["item_id"].to_numpy() == want["item_id"].to_numpy()).mean() > 0.99  # rounding may turn neighbours round
    seen = set(zip(events["user_id"], events["item_id"], strict=True))
    assert not seen & set(zip(got["user_id"], got["item_id"], strict=True))
    some = om.spark.recommend(model, table, k=4, eligible=list(model.items.ids[:9]), exclude_seen=False)
    assert set(some.toArrow().to_pandas()["item_id"]) <= set(model.items.ids[:9])


def test_refusals(events, table):
    model = om.EASE(weights=WEIGHTS).fit(om.EventLog.from_frame(events))
    with pytest.raises(SchemaError, match="PySpark DataFrame"):
        om.spark.recommend(model, events, k=3)
    with pytest.raises(ParameterError, match="lies after at="):
        om.spark.recommend(model, table, k=3, at="2025-01-08")
    with pytest.raises(SchemaError, match="channel"):
        om.spark.recommend(model, table.drop("channel"), k=3)
    blind = om.EASE().fit(om.data.Interactions.from_frame(events[["user_id", "item_id"]]))
    with pytest.raises(ParameterError, match="unknown weights"):
        om.spark.recommend(blind, table, k=3)
