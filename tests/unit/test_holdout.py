"""Who is held out: by lot, for the whole of an experiment, in every plan."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import Holdout
from omnireco.errors import ParameterError, SchemaError

AT = pd.to_datetime(["2025-06-01 09:00"], utc=True)


def touches(people):
    n = len(people)
    return om.planning.Candidates.from_frame(
        pd.DataFrame({"user_id": people, "item_id": "tea", "channel": "push", "send_at": AT.repeat(n), "value": 1.0})
    )


def test_the_share_is_that_of_the_lot_and_ids_of_both_kinds_are_drawn():
    for ids in (np.arange(20_000), [f"person-{n}" for n in range(20_000)]):
        held = Holdout.draw(ids, share=0.1, seed=3).held
        assert abs(held.mean() - 0.1) < 0.008
        assert abs(np.corrcoef(held[:-1], held[1:])[0, 1]) < 0.03


def test_the_draw_knows_seed_name_and_id_alone():
    a = Holdout.draw(np.arange(1000), share=0.2, seed=1)
    again = Holdout.draw(np.arange(999, -1, -1), share=0.2, seed=1)
    assert (
        a.to_frame().sort_values("user_id")["group"].tolist()
        == again.to_frame().sort_values("user_id")["group"].tolist()
    )
    more = Holdout.draw(np.arange(1000), share=0.4, seed=1)
    assert (more.held | ~a.held).all()  # whoever was held out stays
    for other in (
        Holdout.draw(np.arange(1000), share=0.2, seed=2),
        Holdout.draw(np.arange(1000), share=0.2, experiment="b"),
    ):
        assert 0.05 < (other.held & a.held).mean() / 0.2 < 0.4


def test_a_plan_leaves_them_out_and_says_so():
    people = np.arange(200)
    plan = om.plan(touches(people), holdout=0.3, seed=5)
    held = plan.holdout.to_frame()
    sent = plan.to_frame()
    assert not set(sent["user_id"]) & set(held.loc[held["group"] == "holdout", "user_id"])
    assert len(sent) == (held["group"] == "treated").sum()
    assert (sent["propensity"] == 0.7).all()
    assert plan.left_out["holdout"] == (held["group"] == "holdout").sum()
    assert set(plan.why_not()["reason"]) == {"holdout"}
    assert plan.value == plan.bound == len(sent)
    assert "0.3 held out" in repr(plan)
    assert set(om.MessageLog.from_frame(sent.rename(columns={"send_at": "sent_at"}).assign(responded_at=pd.NaT)[
        ["user_id", "channel", "sent_at", "responded_at", "propensity"]]).propensity) == {0.7}  # fmt: skip


def test_the_same_people_stay_out_of_the_next_plan():
    first, second = om.plan(touches(range(100)), holdout=0.2), om.plan(touches(range(50, 150)), holdout=0.2)
    a, b = (p.holdout.to_frame().set_index("user_id")["group"] for p in (first, second))
    assert (a.loc[50:99] == b.loc[50:99]).all()
    given = om.plan(touches(range(50)), holdout=first.holdout)
    assert set(given.to_frame()["user_id"]) == set(a.loc[:49][a == "treated"].index)


def test_limits_are_filled_by_those_who_are_not_held_out():
    plan = om.plan(touches(range(100)), constraints=[om.Capacity("push", limit=20)], holdout=0.5)
    assert len(plan) == 20
    none = om.plan(touches(range(100)))
    assert none.holdout is None
    assert "propensity" not in none.to_frame()


def test_a_plan_with_a_holdout_comes_back_from_its_file(tmp_path):
    plan = om.plan(touches(range(30)), holdout=0.5)
    again = om.load(om.save(plan, tmp_path / "plan"))
    pd.testing.assert_frame_equal(again.holdout.to_frame(), plan.holdout.to_frame())
    gone = om.files.erase(plan.holdout, [3])
    assert len(gone) == 29


def test_people_whom_no_lot_knows_are_refused_and_never_named():
    drawn = Holdout.draw(["ann", "bob"], share=0.5)
    with pytest.raises(ParameterError, match="1 person is not in this holdout") as error:
        om.plan(touches(["ann", "zz-SECRET"]), holdout=drawn)
    assert "SECRET" not in str(error.value)
    for wrong in (0, 1, 1.5, "half", True):
        with pytest.raises(ParameterError, match=r"holdout|share"):
            om.plan(touches(["ann"]), holdout=wrong)
    with pytest.raises(ParameterError, match="experiment must be the name"):
        om.plan(touches(["ann"]), holdout=0.5, experiment="")


def test_an_assignment_from_elsewhere():
    frame = pd.DataFrame({"user_id": [1, 2, 3], "group": ["holdout", "treated", "treated"]})
    read = Holdout.from_frame(frame, share=0.3)
    assert read.held.tolist() == [True, False, False]
    pd.testing.assert_frame_equal(read.to_frame(), Holdout.from_frame(read.to_frame(), share=0.3).to_frame())
    with pytest.raises(SchemaError, match="1 rows name people twice"):
        Holdout.from_frame(pd.concat([frame, frame.iloc[:1]]), share=0.3)
    with pytest.raises(SchemaError, match="a group is called 'control'"):
        Holdout.from_frame(frame.replace("holdout", "control"), share=0.3)
