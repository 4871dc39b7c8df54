"""Plans over partitions of Spark: one certificate, every limit kept over all parts, what parts cannot know refused."""

import shutil

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


@pytest.fixture(scope="module")
def session(spark_session):
    return spark_session


def spark_of(session, frame):
    return session.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))


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


def test_parts_that_do_not_fit_here_are_priced_by_jobs_to_the_same_plan(session, frame, monkeypatch):
    table = spark_of(session, frame)
    here = om.spark.plan(table, constraints=CONSTRAINTS, n_parts=5)
    monkeypatch.setattr("omnireco.spark.spark_plan._HERE", 1)
    there = om.spark.plan(table, constraints=CONSTRAINTS, n_parts=5)
    assert there.value <= here.bound * (1 + 1e-9)
    assert here.value <= there.bound * (1 + 1e-9)
    assert there.optimality_gap < 0.01
    sent = there.touches.toArrow().to_pandas()
    assert kept(sent, CONSTRAINTS)
    assert len(sent) == there.n_touches
    assert sent["value"].sum() == pytest.approx(there.value, rel=1e-12)


def test_who_is_held_out_is_that_of_one_machine_whatever_the_parts(session, frame, monkeypatch):
    asked = {"constraints": CONSTRAINTS, "holdout": 0.2, "experiment": "winter", "seed": 3}
    one = om.plan(Candidates.from_frame(frame), **asked)
    want = one.holdout.to_frame().sort_values("user_id", ignore_index=True)
    for n_parts, here in ((3, 1 << 28), (7, 1)):
        monkeypatch.setattr("omnireco.spark.spark_plan._HERE", here)
        got = om.spark.plan(spark_of(session, frame).repartition(6), n_parts=n_parts, **asked)
        lots = got.holdout.toArrow().to_pandas().sort_values("user_id", ignore_index=True)
        pd.testing.assert_frame_equal(lots.astype(want.dtypes), want)
        assert got.n_held == (want["group"] == "holdout").sum()
        sent = got.touches.toArrow().to_pandas()
        held = set(want.loc[want["group"] == "holdout", "user_id"])
        assert not held & set(sent["user_id"])
        assert (sent["propensity"] == one.to_frame()["propensity"].iloc[0]).all()
        assert got.value <= one.bound * (1 + 1e-9)
        assert one.value <= got.bound * (1 + 1e-9)
        assert f"{got.n_held} held out" in repr(got)
    numbers = frame.head(80).assign(user_id=np.arange(80) // 8)
    one = om.plan(Candidates.from_frame(numbers), holdout=0.4)
    got = om.spark.plan(spark_of(session, numbers), holdout=0.4, n_parts=2)
    assert got.value == pytest.approx(one.value, rel=1e-12)
    assert got.n_held == one.holdout.held.sum()


def test_lots_that_parts_do_not_know_are_refused(session, frame):
    table = spark_of(session, frame.head(80))
    drawn = om.causal.Holdout.draw(["secret-1"], share=0.1, experiment="winter", seed=7)
    with pytest.raises(ParameterError, match="experiment='winter', seed=7"):
        om.spark.plan(table, holdout=drawn)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        om.spark.plan(table, holdout=1.0)
    with pytest.raises(ParameterError, match="experiment must be"):
        om.spark.plan(table, holdout=0.1, experiment="")
    with pytest.raises(ParameterError, match="not explored"):
        om.spark.plan(table, explore=0.05)


def test_hostile_tables_are_refused(session, frame):
    from pyspark.sql import functions as f

    table = spark_of(session, frame.head(80))
    nobody = table.withColumn("user_id", f.when(f.col("item_id") != "i3", f.col("user_id")))
    with pytest.raises(SchemaError, match="user_id"):
        om.spark.plan(nobody, n_parts=3)
    with pytest.raises(SchemaError, match="stands twice"):
        om.spark.plan(table.select("*", f.col("value")))
    had = pd.DataFrame({"user_id": [1], "channel": ["sms"], "sent_at": pd.to_datetime(["2025-05-31"], utc=True)})
    had["responded_at"] = pd.Series(pd.NaT, index=had.index).dt.tz_localize("UTC")
    with pytest.raises(SchemaError, match="user_id is string in the touches and bigint in the messages"):
        om.spark.plan(table, messages=spark_of(session, had))


def test_no_error_of_an_executor_names_a_person(session, frame):
    from pyspark.sql import functions as f

    table = spark_of(session, frame.head(200))
    with pytest.raises(SchemaError, match="value") as caught:
        om.spark.plan(table.withColumn("value", f.when(f.col("item_id") != "i3", f.col("value"))))
    assert "secret" not in str(caught.value)
