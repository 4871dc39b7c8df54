"""Spark, local: the same matrix and the same lists as on one machine. Skipped where PySpark or Java is missing."""

import os
import shutil
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import omnireco as om
from omnireco.errors import EmptyError, InfeasibleError, ParameterError, SchemaError
from omnireco.planning import Candidates, OncePerItem, OneOffer, Rows, Volume

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


# Factors of MLlib


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


# Plans over partitions

CONSTRAINTS = [
    om.FrequencyCap(2, per="24h"),
    OncePerItem(),
    om.Budget("sms", cost=0.05, total=4.0),
    om.Capacity("push", per="6h", limit=20),
]


def touch_table(n_users=400, per=8, seed=0):
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), per)
    n = user.size
    return pd.DataFrame(
        {
            "user_id": np.char.add("secret-", user.astype(str)),
            "item_id": np.char.add("i", rng.integers(0, 20, n).astype(str)),
            "channel": np.array(["push", "email", "sms"])[rng.integers(0, 3, n)],
            "send_at": pd.to_datetime("2025-06-01", utc=True) + pd.to_timedelta(rng.integers(0, 48, n), unit="h"),
            "value": rng.lognormal(-2, 1, n),
        }
    )


@pytest.fixture(scope="module")
def frame():
    return touch_table()


def kept(sent, constraints):
    """Whether what is sent keeps every rule, as the rules themselves count."""
    found = Candidates.from_frame(sent)
    for rule in constraints:
        rows = rule.rows(found.touches)
        used = np.bincount(rows.row, rows.weight, rows.limit.size)
        least = 0.0 if rows.least is None else rows.least
        if (used > rows.limit * (1 + 1e-9)).any() or (used < least).any():
            return False
    return True


def test_a_plan_over_parts_and_one_of_one_machine_lie_in_each_others_gaps(session, frame):
    one = om.plan(Candidates.from_frame(frame), constraints=CONSTRAINTS)
    many = om.spark.plan(spark_of(session, frame).repartition(6), constraints=CONSTRAINTS, n_parts=3)
    assert many.value <= one.bound * (1 + 1e-9)
    assert one.value <= many.bound * (1 + 1e-9)
    assert many.optimality_gap < 0.005
    sent = many.touches.toArrow().to_pandas()
    assert kept(sent, CONSTRAINTS)
    assert len(sent) == many.n_touches
    assert sent["value"].sum() == pytest.approx(many.value, rel=1e-12)
    assert not sent.duplicated().any()
    prices = many.prices.set_index("row")
    assert prices.loc["sms", "used"] == pytest.approx(0.05 * (sent["channel"] == "sms").sum())
    assert prices.loc["sms", "limit"] == pytest.approx(4.0)
    assert prices.loc["sms", "price"] == pytest.approx(one.prices.set_index("row").loc["sms", "price"], rel=0.1)
    assert "secret" not in repr(many)


def test_a_plan_is_the_same_whatever_the_order_of_rows_and_when_tasks_run_again(session, frame):
    frame = frame.head(1200)
    rules = [om.FrequencyCap(1, per="24h"), om.Budget("sms", cost=1.0, total=20.0)]
    one = om.spark.plan(spark_of(session, frame).repartition(5), constraints=rules, n_parts=3)
    again = om.spark.plan(spark_of(session, frame.sample(frac=1.0, random_state=1)), constraints=rules, n_parts=3)
    assert again.value == one.value
    assert again.bound == one.bound
    first, second, third = (
        plan.touches.toArrow().to_pandas().sort_values(["user_id", "send_at"], ignore_index=True)
        for plan in (one, one, again)
    )
    pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(first, third)


def test_a_part_with_everything_a_person_with_everything_and_messages_of_the_past(session):
    frame = touch_table(40, 6)
    frame.loc[frame.index[:120], "user_id"] = "secret-0"
    had = pd.DataFrame({"user_id": ["secret-0", "secret-30", "secret-900"], "channel": ["sms", "letter", "push"]})
    had["sent_at"] = pd.to_datetime("2025-05-31T23:30", utc=True)
    had["responded_at"] = pd.Series(pd.NaT, index=had.index).dt.tz_localize("UTC")
    rules = [om.FrequencyCap(1, per="7D"), om.FrequencyCap(1, per="7D", channels="letter")]
    whole = Candidates.from_frame(frame, om.Dataset(messages=om.MessageLog.from_frame(had)))
    one = om.plan(whole, constraints=rules)
    for n_parts in (1, 7):
        got = om.spark.plan(
            spark_of(session, frame), constraints=rules, messages=spark_of(session, had), n_parts=n_parts
        )
        assert got.value == pytest.approx(one.value, rel=1e-12)
        assert got.bound == pytest.approx(one.value, rel=1e-9)
        assert not {"secret-0", "secret-30"} & set(got.touches.toArrow().to_pandas()["user_id"])


def test_a_floor_is_met_or_the_plan_refused(session, frame):
    frame = frame.assign(campaign_id=np.where(frame["value"] < 0.1, "spring", "other"))
    rules = [om.FrequencyCap(1, per=None), Volume("spring", least=150)]
    got = om.spark.plan(spark_of(session, frame), constraints=rules, n_parts=3)
    sent = got.touches.toArrow().to_pandas()
    assert (sent["campaign_id"] == "spring").sum() >= 150
    one = om.plan(Candidates.from_frame(frame), constraints=rules)
    assert one.value * (1 - 0.01) <= got.value <= one.bound
    assert one.value <= got.bound
    with pytest.raises(InfeasibleError, match="add up to 0"):
        om.spark.plan(spark_of(session, frame), constraints=[om.FrequencyCap(0, per=None), rules[1]], n_parts=3)


class Loose(om.planning.Constraint):
    """A row of everybody that says it is one of a single person."""

    def rows(self, touches):
        n = len(touches)
        return Rows(row=np.zeros(n, int), touch=np.arange(n), weight=np.ones(n), limit=np.array([3.0]))


class Share(om.planning.Constraint):
    """A limit that follows from the touches of a part."""

    def rows(self, touches):
        n = len(touches)
        return Rows(
            row=np.zeros(n, int), touch=np.arange(n), weight=np.ones(n), limit=np.array([n / 2]), labels=("half",)
        )


def test_a_plan_refuses_what_parts_cannot_know(session, frame):
    from pyspark.sql import functions as f

    table = spark_of(session, frame.head(200))
    with pytest.raises(ParameterError, match="one offer, and they lie in many parts"):
        om.spark.plan(table, constraints=[OneOffer("segment")])
    with pytest.raises(ParameterError, match="Loose has 1 row without a label"):
        om.spark.plan(table, constraints=[Loose()], n_parts=2)
    with pytest.raises(ParameterError, match="differs from part to part"):
        om.spark.plan(table, constraints=[Share()], n_parts=2)
    with pytest.raises(EmptyError, match="there are no touches"):
        om.spark.plan(table.limit(0))
    with pytest.raises(SchemaError, match="no time zone"):
        om.spark.plan(table.withColumn("send_at", f.col("send_at").cast("timestamp_ntz")))
    with pytest.raises(SchemaError, match="value is string"):
        om.spark.plan(table.withColumn("value", f.lit("much")))
    with pytest.raises(SchemaError, match="channel"):
        om.spark.plan(table.drop("channel"))
    with pytest.raises(SchemaError, match="PySpark DataFrame"):
        om.spark.plan(frame)
    with pytest.raises(ParameterError, match="FrequencyCap: channels"):
        om.spark.plan(table, constraints=[om.FrequencyCap(1, per="7D", channels="fax")])


def test_no_error_of_an_executor_names_a_person(session, frame):
    from pyspark.sql import functions as f

    table = spark_of(session, frame.head(200))
    with pytest.raises(SchemaError, match="value") as caught:
        om.spark.plan(table.withColumn("value", f.when(f.col("item_id") != "i3", f.col("value"))))
    assert "secret" not in str(caught.value)
