"""Spark, local: the same matrix and the same lists as on one machine. Skipped where PySpark or Java is missing."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import omnireco as om
from omnireco.errors import EmptyError, IdKindError, ParameterError, SchemaError

pyspark = pytest.importorskip("pyspark", reason="PySpark (extra spark) is not installed")
if shutil.which("java") is None:
    pytest.skip("there is no Java on this machine", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("ignore")  # of PySpark about pandas

WEIGHTS = om.Weights(events={"purchase": 5.0}, half_life="30D", missing="ignore")


@pytest.fixture(scope="module")
def session(spark_session):
    return spark_session


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


# The matrix: the door of one machine reads a DataFrame of Spark.


def test_a_matrix_adds_what_stands_twice_and_leaves_the_zone_of_the_session_out(session, events):
    twice = pd.concat([events, events.head(100)])
    frame = session.createDataFrame(pa.Table.from_pandas(twice, preserve_index=False))
    x = om.EventLog.from_frame(twice).matrix(WEIGHTS)
    session.conf.set("spark.sql.session.timeZone", "America/St_Johns")
    y = om.EventLog.scan(frame.repartition(9)).matrix(WEIGHTS)  # more partitions than some have rows for
    session.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    np.testing.assert_allclose(x.csr.toarray(), y.csr.toarray(), rtol=1e-6)
    assert list(x.layers) == list(y.layers)
    for name, layer in x.layers.items():
        np.testing.assert_allclose(layer.toarray(), y.layers[name].toarray(), rtol=1e-6)


def test_a_matrix_refuses_times_without_a_zone_missing_ids_and_other_kinds(table):
    from pyspark.sql import functions as f

    with pytest.raises(SchemaError, match="no time zone"):
        om.EventLog.scan(table.withColumn("timestamp", f.col("timestamp").cast("timestamp_ntz")))
    with pytest.raises(SchemaError, match="Cast it"):
        om.EventLog.scan(table.withColumn("timestamp", f.col("timestamp").cast("string")))
    lost = table.withColumn("user_id", f.when(f.rand(1) < 0.5, f.col("user_id")))
    with pytest.raises(SchemaError, match="user_id is missing in"):
        om.EventLog.scan(lost).matrix()


# Best slots, candidates, evaluation


@pytest.fixture(scope="module")
def world():
    return om.simulate(n_users=90, n_items=20, days=60, seed=4)


@pytest.fixture(scope="module")
def data(world):
    return om.Dataset(
        om.EventLog.from_frame(world.events),
        messages=om.MessageLog.from_frame(world.messages),
        audience=om.Audience.from_frame(world.users),
    )


@pytest.fixture(scope="module")
def timing(data):
    return om.SendTime().fit(data)


def spark_of(session, frame):
    return session.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))


def test_best_slots_are_those_of_one_machine_to_the_bit(session, world, data, timing):
    people = spark_of(session, world.users).repartition(5)
    asked = {"channel": "email", "quiet_hours": ("21:00", "08:00")}
    got = om.spark.send_times(timing, people, "2025-04-14", 7, **asked).toArrow().to_pandas()
    want = timing.best(om.Dataset(audience=data.audience), "2025-04-14", 7, **asked)
    got = got.sort_values("user_id").reset_index(drop=True)
    for name in want.columns:
        assert (got[name].isna() == want[name].isna()).all()
        assert (got[name].dropna().to_numpy() == want[name].dropna().to_numpy()).all(), name


def test_dated_consents_and_strange_zones_are_heeded_as_on_one_machine(session, world, timing):
    users = world.users.copy()
    users["timezone"] = users["timezone"].where(users.index % 10 != 0, "Etc/Nowhere")
    stamp = pd.Timestamp("2025-04-14T12:00Z")
    users["consent_email_at"] = [stamp + pd.Timedelta(days=i % 7 - 3) if i % 4 else pd.NaT for i in range(len(users))]
    asked = {"channel": "email", "quiet_hours": ("21:00", "08:00")}
    audience = om.Audience.from_frame(users, on_invalid="drop")
    want = timing.best(om.Dataset(audience=audience), "2025-04-14", 7, **asked)
    assert 0 < len(want) < users["consent_email"].sum()
    people = spark_of(session, users)
    for frame in (people.repartition(40), people.coalesce(1)):  # parts in which no zone is known, and empty ones
        got = om.spark.send_times(timing, frame, "2025-04-14", 7, **asked).toArrow().to_pandas()
        got = got.sort_values("user_id", ignore_index=True)
        assert got["user_id"].tolist() == want["user_id"].tolist()
        for name in ("send_at", "probability"):
            assert (got[name].to_numpy() == want[name].to_numpy()).all(), name
    words = people.withColumn("consent_email_at", people["consent_email_at"].cast("string"))
    with pytest.raises(SchemaError, match="consent_email_at is string"):
        om.spark.send_times(timing, words, "2025-04-14", 7, channel="email")
    with pytest.raises(SchemaError, match="has no consent_email beside it"):
        om.spark.send_times(timing, people.drop("consent_email"), "2025-04-14", 7, channel="push")


def test_settings_of_the_session_change_no_answer(session, world, data, timing):
    people, asked = spark_of(session, world.users), {"channel": "email"}
    want = timing.best(om.Dataset(audience=data.audience), "2025-04-14", 2, **asked)
    other = {
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.sql.session.timeZone": "America/St_Johns",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1",
        "spark.sql.ansi.enabled": "false",
        "spark.sql.adaptive.enabled": "false",
    }
    usual = {name: session.conf.get(name) for name in other}
    try:
        for name, setting in other.items():
            session.conf.set(name, setting)
        found = om.spark.send_times(timing, people, "2025-04-14", 2, **asked)
        assert dict(found.dtypes)["send_at"] == "timestamp"
        got = found.toArrow().to_pandas().sort_values("user_id", ignore_index=True)
    finally:
        for name, setting in usual.items():
            session.conf.set(name, setting)
    assert (got["send_at"].to_numpy() == want["send_at"].to_numpy()).all()
    assert (got["probability"].to_numpy() == want["probability"].to_numpy()).all()


def test_ids_of_any_width_are_answered_and_those_of_another_kind_refused(session, events, table, world, timing):
    from pyspark.sql import functions as f

    model = om.EASE(weights=WEIGHTS).fit(om.Dataset(om.EventLog.from_frame(events)))
    narrow = table.withColumn("user_id", f.col("user_id").cast("smallint"))
    got = om.spark.recommend(model, narrow, k=3)
    assert dict(got.dtypes)["user_id"] == "smallint"
    assert got.toArrow().num_rows == om.spark.recommend(model, table, k=3).toArrow().num_rows
    for kind, told in (("decimal(10,2)", "bigint"), ("binary", "string"), ("array<string>", "one value")):
        ids = f.array(f.lit("a")) if kind.startswith("array") else f.lit("1").cast(kind)
        with pytest.raises(SchemaError, match=told):
            om.spark.recommend(model, table.withColumn("user_id", ids), k=3)
    people = spark_of(session, world.users)
    words = people.withColumn("user_id", f.col("user_id").cast("string"))
    with pytest.raises(IdKindError, match=r"knows people by integers.*cast\('bigint'\)"):
        om.spark.send_times(timing, words, "2025-04-14", 2, channel="email")
    with pytest.raises(SchemaError, match="withColumnRenamed"):
        om.spark.send_times(timing, people.withColumnRenamed("user_id", "User_ID"), "2025-04-14", 2, channel="email")


def test_an_evaluation_takes_no_wrapped_number_for_a_person(session):
    from pyspark.sql import functions as f

    truth = spark_of(session, pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"]}))
    lists = spark_of(session, pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"], "rank": [1, 1]}))
    with pytest.raises(ParameterError, match="k is empty"):
        om.spark.evaluate({"a": lists}, truth, k=[])
    far = lists.withColumn("user_id", f.col("user_id") + 65_536)  # as smallint they would be 1 and 2
    with pytest.raises(EmptyError, match="none of the 2 people"):
        om.spark.evaluate({"far": far}, truth.withColumn("user_id", f.col("user_id").cast("smallint")), k=1)


def test_the_advice_for_times_without_a_zone_is_right_in_any_session(session, events, table):
    from pyspark.sql import functions as f

    local = events["timestamp"].dt.tz_convert("Europe/Berlin").dt.tz_localize(None)
    found = spark_of(session, pd.DataFrame({"timestamp": local.astype(str)}))
    found = found.withColumn("timestamp", f.col("timestamp").cast("timestamp_ntz"))
    given = f.concat(f.col("timestamp").cast("string"), f.lit(" Europe/Berlin")).cast("timestamp_ltz")
    last = [one.agg(f.max(f.unix_micros("timestamp"))).first()[0] for one in
            (found.withColumn("timestamp", given), table)]  # fmt: skip
    assert last[0] == last[1]


def test_people_who_stand_twice_or_have_no_consent_column_are_refused(session, world, timing):
    from pyspark.sql import functions as f

    people = spark_of(session, world.users)
    with pytest.raises(SchemaError, match="90 people stand in the table more than once"):
        om.spark.send_times(timing, people.union(people), "2025-04-14", 7, channel="email")
    with pytest.raises(ParameterError, match="no column consent_sms"):
        om.spark.send_times(timing, people, "2025-04-14", 7, channel="sms")
    with pytest.raises(SchemaError, match="consent_email is string"):
        om.spark.send_times(timing, people.withColumn("consent_email", f.lit("yes")), "2025-04-14", 7, channel="email")
    with pytest.raises(SchemaError, match="timezone"):
        om.spark.send_times(timing, people.drop("timezone"), "2025-04-14", 7, channel="email")
    nobody = people.withColumn("user_id", f.lit(None).cast("bigint"))
    with pytest.raises(SchemaError, match="user_id is missing"):
        om.spark.send_times(timing, nobody, "2025-04-14", 7, channel="email")
    with pytest.raises(ParameterError, match="how many days"):
        om.spark.send_times(timing, people, "2025-04-14", channel="email")
    with pytest.raises(ParameterError, match="SendTime"):
        om.spark.send_times(om.SendTime(), people, "2025-04-14", 7, channel="email")


def test_candidates_are_those_of_one_machine(session, world, data, timing):
    recs = om.ALS(factors=4).fit(data).recommend(data.requests(), k=3)
    slots, rules = om.slots("2025-04-14", days=2), [om.QuietHours("21:00", "08:00")]
    left = world.messages.assign(unsubscribed_at=pd.NaT)
    left["unsubscribed_at"] = left["sent_at"].where(left["user_id"] % 5 == 0)
    whole = om.Dataset(audience=data.audience, messages=om.MessageLog.from_frame(left))
    want = om.candidates(recs, whole, timing, slots, channels=["email", "push"], eligibility=rules).to_frame()
    got = om.spark.candidates(
        spark_of(session, recs.to_frame()).repartition(4),
        spark_of(session, world.users),
        timing,
        slots,
        channels=["email", "push"],
        messages=spark_of(session, left),
        eligibility=rules,
    )
    keys = ["user_id", "item_id", "channel", "send_at"]
    got = got.toArrow().to_pandas().sort_values(keys, ignore_index=True)
    want = want.sort_values(keys, ignore_index=True)
    for name in [*keys, "probability", "value"]:
        assert (got[name].to_numpy() == want[name].to_numpy()).all(), name
    words = recs.to_frame().assign(user_id="u")
    with pytest.raises(SchemaError, match="user_id is string in the lists and bigint"):
        om.spark.candidates(spark_of(session, words), spark_of(session, world.users), timing, slots, channels="push")


def test_an_evaluation_is_that_of_one_machine_number_for_number(session, data):
    past, later = data.split("2025-02-20")
    lists = {
        "als": om.ALS(factors=4).fit(past).recommend(past.requests(past.users.ids[:60]), k=5),
        "popular": om.Popularity().fit(past).recommend(past.requests(), k=10).head(50),
    }
    metrics = [om.ndcg, om.recall, om.evaluation.mean_reciprocal_rank]
    want = om.evaluate(lists, later, k=[3, 5], metrics=metrics, n_bootstrap=200, seed=3)
    truth = later.events.to_frame()[["user_id", "item_id"]].dropna()
    frames = {name: spark_of(session, recs.to_frame()) for name, recs in lists.items()}
    theirs = spark_of(session, truth)
    got = om.spark.evaluate(frames, theirs, k=[3, 5], metrics=metrics, n_bootstrap=200, seed=3)
    pd.testing.assert_frame_equal(got.to_frame(), want.to_frame(), check_exact=True)
    assert got.n_without_list == want.n_without_list
    assert got.n_without_truth == want.n_without_truth
    assert got.users == want.users
    with pytest.raises(ParameterError, match="have 5 places"):
        om.spark.evaluate({"als": frames["als"]}, theirs, k=8)
    with pytest.raises(ParameterError, match="a metric of the catalogue"):
        om.spark.evaluate(frames, theirs, k=5, metrics=[lambda lists: 0.5])
    with pytest.raises(SchemaError, match="repeat an item"):
        om.spark.evaluate({"als": frames["als"].union(frames["als"])}, theirs, k=5)
    with pytest.raises(EmptyError, match="list for none"):
        om.spark.evaluate(
            {
                "als": frames["als"]
                .where("user_id < 0")
                .union(session.createDataFrame([(-1, i, i, 0.0) for i in range(1, 6)], frames["als"].schema))
            },
            theirs,
            k=5,
        )
    with pytest.raises(SchemaError, match="no two are equal"):
        om.spark.evaluate({"als": frames["als"].selectExpr("string(user_id) user_id", "item_id", "rank")}, theirs, k=5)
    with pytest.raises(SchemaError, match="PySpark DataFrame"):
        om.spark.evaluate(lists, theirs, k=5)
