"""Model cards: true to the report and the data, silent about few people, honest about what is not known."""

import json

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
    assert read["data"]["events"] == f"{len(train):,}"
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
    assert json.loads(made.to_json())["data"]["people"] == "fewer than 1000000"
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
