"""Model cards: true to the report and the data, silent about few people, honest about what is not known."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError


@pytest.fixture(scope="module")
def measured():
    world = om.simulate(n_users=300, n_items=30, days=60, seed=3)
    train, test = om.EventLog.from_frame(world.events, itemless="keep").split("2025-02-15")
    models = {"EASE": om.EASE().fit(train), "Popularity": om.Popularity().fit(train)}
    lists = {name: model.recommend(om.Dataset(train).requests(), k=5) for name, model in models.items()}
    return train, models, om.evaluate(lists, test, k=5, metrics=[om.ndcg, om.recall]), test


def test_a_card_is_the_report_and_the_data(measured):
    train, models, report, _ = measured
    made = om.evaluation.card(models["EASE"], data=train, report=report, title="EASE", limits=["for adults <18+>"])
    pd.testing.assert_frame_equal(made.to_frame(), report.to_frame(), check_dtype=False)
    read = json.loads(made.to_json())
    assert read["split"] == report.split
    assert read["data"]["fingerprint"] == om.data.fingerprint(train)
    assert read["data"]["events"] == len(train)
    assert read["data"]["until"] >= read["data"]["from"]
    assert read["limits"][0] == "for adults <18+>"
    assert "&lt;18+&gt;" in made.to_html()
    assert report.split in made.to_html()
    assert "<script" not in made.to_html()
    assert om.evaluation.card(models["EASE"], data=om.Dataset(train)).facts.equals(made.facts)


def test_it_says_when_the_simple_model_wins(measured):
    train, models, report, _ = measured
    gaps = report.differences("EASE").set_index("metric")
    made = om.evaluation.card(models["Popularity"], data=train, report=report, title="Popularity")
    for metric, row in gaps.iterrows():
        said = [limit for limit in made.limits if limit.startswith(f"{metric}@5")]
        assert len(said) == int(row["low"] <= 0)
        assert all(("worse" in limit) == (row["high"] < 0) for limit in said)
    lists = models["EASE"].recommend(om.Dataset(train).requests(), k=5)
    same = om.evaluate({"a": lists, "b": lists}, measured[3], k=5, metrics=[om.ndcg])
    assert "not distinguishable from b" in " ".join(
        om.evaluation.card(models["EASE"], data=train, report=same, title="a").limits
    )


def test_few_people_are_hidden_and_what_is_not_measured_says_so(measured):
    train, models, report, _ = measured
    made = om.evaluation.card(models["EASE"], data=train, report=report, title="EASE", k=10**6)
    assert made.metrics["mean"].isna().all()
    assert (made.metrics["n_users"] == 0).all()
    data = json.loads(made.to_json())["data"]
    assert [data[name] for name in ("people", "events", "from", "until")] == [None] * 4
    assert "fewer than 1000000" in made.to_html()
    assert f"{len(train):,}" not in made.to_html()
    assert str(train.end)[:10] not in made.to_html()
    assert "It was not measured: no report was given." in om.evaluation.card(models["EASE"], data=train).limits


def test_it_refuses_what_it_was_not_fitted_on(measured):
    train, models, report, _ = measured
    other = om.Interactions.from_frame(pd.DataFrame({"user_id": [1], "item_id": ["x"]}))
    with pytest.raises(ParameterError, match="items that the data does not have"):
        om.evaluation.card(models["EASE"], data=other)
    with pytest.raises(ParameterError, match="title must say which model of the report it is"):
        om.evaluation.card(models["EASE"], data=train, report=report)
    with pytest.raises(ParameterError, match="title must be the name"):
        om.evaluation.card(models["EASE"], data=train, title=3)
    with pytest.raises(ParameterError, match="model"):
        om.evaluation.card(om.EASE(), data=train)
    with pytest.raises(ParameterError, match="data"):
        om.evaluation.card(models["EASE"], data=np.eye(3))
    for wrong in ("model.omnireco", None, om.SendTime(), train):
        with pytest.raises(ParameterError, match=r"model must be a Model.*om\.EASE\(\)\.fit\(train\)"):
            om.evaluation.card(wrong, data=train)
    with pytest.raises(ParameterError, match="report must be a Report"):
        om.evaluation.card(models["EASE"], data=train, report=report.to_frame(), title="EASE")
    for limits in ([""], ["  "], [3]):
        with pytest.raises(ParameterError, match="limits must hold sentences"):
            om.evaluation.card(models["EASE"], data=train, limits=limits)


KEYS = {"schema", "title", "model", "omnireco", "k", "data", "split", "metrics", "limits"}
DATA = {"people", "items", "items_known", "events", "cells", "channels", "from", "until", "fingerprint"}
ROW = {"model", "metric", "k", "mean", "low", "high", "n_users"}
OUTLINE = ["h1", "p", "h2", "table", "h2", "p", "h2", "ul"]


def test_every_card_has_the_same_keys_and_the_same_outline(measured):
    train, models, report, _ = measured
    x = train.matrix(om.Weights())
    alone = train.to_frame().pipe(lambda frame: frame[frame["user_id"] == frame["user_id"].iloc[0]])
    alone = om.EventLog.from_frame(alone, itemless="keep")
    for made in (
        om.evaluation.card(models["EASE"], data=train, report=report, title="EASE"),
        om.evaluation.card(om.EASE().fit(x), data=x),
        om.evaluation.card(om.Popularity().fit(alone), data=alone),
    ):
        read = json.loads(made.to_json())
        assert set(read) == KEYS
        assert set(read["data"]) == DATA
        assert all(set(row) == ROW for row in read["metrics"])
        assert read["schema"] == 1
        assert all(
            type(read["data"][name]) in (int, type(None))
            for name in DATA - {"channels", "from", "until", "fingerprint"}
        )
        body = re.sub(r"<table.*?</table>", "<table>", made.to_html().split("<body>")[1], flags=re.DOTALL)
        assert re.findall(r"<(h1|h2|p|table|ul)\b", body) == [
            *OUTLINE[:6],
            *(["table"] if read["metrics"] else []),
            *OUTLINE[6:],
        ]
    assert json.loads(om.evaluation.card(om.Popularity().fit(alone), data=alone).to_json())["data"]["events"] is None


BAD = ["<script>alert('x')</script>", "a\nb", "</td><img src=x onerror=alert(1)>", "x" * 9_999, "\u202eesae"]


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
def test_names_are_texts_and_can_be_written(measured, name):
    train, models, _, test = measured
    lists = {name: models["EASE"].recommend(om.Dataset(train).requests(), k=5)}
    report = om.evaluate(lists, test, k=5, metrics=[om.ndcg])
    made = om.evaluation.card(models["EASE"], data=train, report=report, limits=[name])
    for page in (made.to_html(), made._repr_html_()):
        assert page.encode("utf-8")
        assert not re.search("<(script|img)", page)
    assert json.loads(made.to_json().encode("utf-8"))["title"] == name
    assert type(made.title) is type(made.limits[0]) is str


def test_half_a_character_is_spelled_out(measured):
    made = om.evaluation.card(measured[1]["EASE"], data=measured[0], title="\ud800", limits=["\ud800"])
    assert "<h1>\\ud800</h1>" in made.to_html()
    assert made.to_html().encode("utf-8")
    assert json.loads(made.to_json().encode("utf-8"))["limits"][0] == "\ud800"


def test_a_report_without_intervals_says_so(measured):
    train, models, _, test = measured
    lists = {name: model.recommend(om.Dataset(train).requests(), k=5) for name, model in models.items()}
    report = om.evaluate(lists, test, k=5, metrics=[om.ndcg], n_bootstrap=0)
    made = om.evaluation.card(models["Popularity"], data=train, report=report, title="Popularity")
    assert "Its numbers have no intervals, so that no difference can be distinguished from chance." in made.limits
    assert json.loads(made.to_json())["metrics"][0]["low"] is None
    assert "nan" not in made.to_html()


def test_a_number_that_is_not_defined_is_none(measured):
    train, models, _, test = measured

    def nothing(lists):
        return np.full(len(lists.codes), np.nan)

    lists = {"EASE": models["EASE"].recommend(om.Dataset(train).requests(), k=5)}
    made = om.evaluation.card(models["EASE"], data=train, report=om.evaluate(lists, test, k=5, metrics=[nothing]))
    assert json.loads(made.to_json())["metrics"][0]["mean"] is None
    assert "too few people" in made.to_html()


def test_people_who_were_measured_elsewhere_are_noticed(measured):
    train, models, report, _ = measured
    frame = train.to_frame()
    other = om.EventLog.from_frame(frame.assign(user_id=frame["user_id"] + 10**6), itemless="keep")
    made = om.evaluation.card(models["EASE"], data=other, report=report, title="EASE")
    assert f"{len(report.users)} of {len(report.users)} people measured are not in the data" in " ".join(made.limits)
    texts = om.EventLog.from_frame(frame.assign(user_id=frame["user_id"].astype(str)), itemless="keep")
    with pytest.raises(ParameterError, match=r"ids of another kind \(numbers\) than the data \(texts\)"):
        om.evaluation.card(models["EASE"], data=texts, report=report, title="EASE")


def test_items_that_the_model_never_met_are_counted(measured):
    train = measured[0]
    few = om.EASE().fit(om.EventLog.from_frame(train.to_frame().query("item_id in ['i01', 'i02', 'i03']")))
    made = om.evaluation.card(few, data=train)
    assert f"{len(train.items) - 3} items of the data are unknown to it." in made.limits
