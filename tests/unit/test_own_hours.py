"""Profiles in Spark: those of one machine to the bit, from events there; what cannot be right is refused."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
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
def world():
    return om.simulate(n_users=120, n_items=20, days=60, seed=4)


@pytest.fixture(scope="module")
def users(world):
    """People, two of them without a zone that is known, and one without events."""
    found = world.users.copy()
    found["timezone"] = found["timezone"].astype(object)
    found.loc[found.index[:2], "timezone"] = [None, "Etc/Nowhere"]
    return found


@pytest.fixture(scope="module")
def events(world):
    return world.events[world.events["user_id"] != world.users["user_id"].iloc[5]]


@pytest.fixture(scope="module")
def data(world, events, users):
    return om.Dataset(
        om.EventLog.from_frame(events),
        messages=om.MessageLog.from_frame(world.messages),
        audience=om.Audience.from_frame(users, attributes=["segment"] if "segment" in users else (), on_invalid="drop"),
    )


def spark_of(session, frame):
    return session.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))


def gathered(frame):
    table = frame.toArrow().to_pandas().sort_values("user_id", ignore_index=True)
    return table["user_id"].to_numpy(), table["n_sessions"].to_numpy(), np.stack(table["hour_of_week"])


def test_profiles_are_those_of_one_machine_to_the_bit_however_the_rows_lie(session, world, events, users, data):
    model = om.timing.ActivityProfile(half_life="20D").fit(data)
    sent, happened = spark_of(session, world.messages), spark_of(session, events)
    for rows, people in (
        (happened.repartition(7), spark_of(session, users)),
        (happened.orderBy("timestamp").coalesce(1), spark_of(session, users).repartition(200)),  # many empty ones
    ):
        ids, n, hours = gathered(om.spark.profiles(model, rows, people, messages=sent))
        assert ids.tolist() == sorted(users["user_id"])
        assert (hours == model.hour_of_week(ids)).all()
        history = np.append(model.history, 0)[model.users.codes(ids, missing="none")]
        assert (n == history).all()
    assert (hours[[0, 1, 5]] == model.population).all()  # no zone, no IANA zone, no events


def test_parts_do_not_matter_and_a_send_time_gives_its_activity(session, world, events, users, data, monkeypatch):
    timing = om.SendTime().fit(data)
    tables = spark_of(session, events), spark_of(session, users)
    sent = spark_of(session, world.messages)
    monkeypatch.setattr("omnireco.spark.own_hours._PEOPLE", 9)
    ids, _, hours = gathered(om.spark.profiles(timing, *tables, messages=sent))
    assert (hours == timing.activity.hour_of_week(ids)).all()


def test_a_population_learned_on_a_sample_gives_everybody_their_own_week(session, events, users):
    some = events[events["user_id"] % 2 == 0]
    small = om.Dataset(om.EventLog.from_frame(some), audience=om.Audience.from_frame(users, on_invalid="drop"))
    model = om.timing.ActivityProfile(half_life=None).fit(small)
    ids, n, hours = gathered(om.spark.profiles(model, spark_of(session, events), spark_of(session, users)))
    known = np.isin(ids, model.users.ids)
    assert (hours[known] == model.hour_of_week(ids[known])).all()
    others = ~known & (n > 0)
    assert others.sum() > 20
    assert (hours[others] != model.population).any(axis=1).all()
    np.testing.assert_allclose(hours.sum(axis=1), 1.0, rtol=1e-12)


def test_channels_and_a_later_clock(session, events, users, data):
    model = om.timing.ActivityProfile(half_life="20D", channels=("web",)).fit(
        om.Dataset(data.events, audience=data.audience)
    )
    tables = spark_of(session, events), spark_of(session, users)
    ids, _, hours = gathered(om.spark.profiles(model, *tables, channel="web"))
    np.testing.assert_allclose(hours, model.hour_of_week(ids, channel="web"), rtol=1e-12)
    later = gathered(om.spark.profiles(model, *tables, at="2026-01-01"))[2]
    assert np.abs(later - model.population).sum() < np.abs(hours - model.population).sum()  # the past weighs less
    with pytest.raises(ParameterError, match="profiles of its own"):
        om.spark.profiles(model, *tables, channel="app")


def test_profiles_refuse_what_would_be_wrong_in_silence(session, world, events, users, data):
    from pyspark.sql import functions as f

    model = om.timing.ActivityProfile().fit(data)
    log, people = spark_of(session, events), spark_of(session, users)
    asked = om.spark.profiles
    with pytest.raises(ParameterError, match="ActivityModel"):
        asked(om.timing.ActivityProfile(), log, people)
    with pytest.raises(SchemaError, match="PySpark DataFrame"):
        asked(model, events, people)
    with pytest.raises(SchemaError, match="no time zone"):
        asked(model, log.withColumn("timestamp", f.col("timestamp").cast("timestamp_ntz")), people)
    with pytest.raises(SchemaError, match="user_id is string in the events and bigint"):
        asked(model, log.withColumn("user_id", f.col("user_id").cast("string")), people)
    sent = spark_of(session, world.messages).withColumn("user_id", f.lit("a"))
    with pytest.raises(SchemaError, match="user_id is string in the messages"):
        asked(model, log, people, messages=sent)
    for name in ("user_id", "channel", "timestamp"):
        with pytest.raises(SchemaError, match=f"{name} is missing in"):
            asked(model, log.withColumn(name, f.when(f.col("event") != "view", f.col(name))), people)
    with pytest.raises(SchemaError, match="more than once"):
        asked(model, log, people.union(people))
    with pytest.raises(SchemaError, match="IANA"):
        asked(model, log, people.withColumn("timezone", f.lit("CET+1")))
    with pytest.raises(ParameterError, match="lies after at="):
        asked(model, log, people, at="2025-01-15")
    days = log.withColumn("timestamp", f.date_trunc("day", "timestamp"))
    with pytest.raises(ParameterError, match="as dates do"):
        asked(model, days, people)
    asked(model, days, people, timestamp="instant")
    with pytest.raises(SchemaError, match="stands twice"):
        asked(model, log.select("*", f.col("channel")), people)


def test_nobody_and_nothing(session, events, users, data):
    model = om.timing.ActivityProfile().fit(data)
    log, people = spark_of(session, events), spark_of(session, users)
    assert om.spark.profiles(model, log, people.limit(0)).toArrow().num_rows == 0
    ids, n, hours = gathered(om.spark.profiles(model, log.limit(0), people))
    assert len(ids) == len(users)
    assert not n.any()
    assert (hours == model.population).all()
    words = people.selectExpr("concat('secret-', user_id) user_id", "timezone")
    theirs = log.withColumn("user_id", pyspark.sql.functions.expr("concat('secret-', user_id)"))
    strings = events.assign(user_id=[f"secret-{one}" for one in events["user_id"]])
    renamed = om.Dataset(
        om.EventLog.from_frame(strings),
        audience=om.Audience.from_frame(
            pd.DataFrame({"user_id": [f"secret-{one}" for one in users["user_id"]], "timezone": users["timezone"]}),
            on_invalid="drop",
        ),
    )
    named = om.timing.ActivityProfile().fit(renamed)
    ids, _, hours = gathered(om.spark.profiles(named, theirs, words))
    assert (hours == named.hour_of_week(ids)).all()
