"""What another limit would do: before and after, which constraint is meant, and that loosening never loses."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.planning import Budget, Candidates, Capacity, FrequencyCap, plan

START = pd.Timestamp("2025-06-01", tz="UTC")


def touches(n=40, seed=0):
    rng = np.random.default_rng(seed)
    m = 6 * n
    return Candidates.from_frame(
        pd.DataFrame(
            {
                "user_id": np.repeat(np.arange(n), 6),
                "item_id": rng.integers(0, 9, m),
                "channel": rng.choice(["push", "sms"], m),
                "send_at": START + pd.to_timedelta(rng.integers(0, 48, m), unit="h"),
                "value": rng.gamma(2, 1, m),
            }
        ),
        once_per_item=True,
    )


def made(**more):
    rules = [
        FrequencyCap(2, per="7D"),
        FrequencyCap(1, per="12h"),
        Budget("sms", cost=0.5, total=10),
        Capacity("push", limit=2),
    ]
    return plan(touches(), constraints=rules, **more)


def test_a_looser_limit_earns_more_and_is_the_plan_of_that_limit():
    first = made()
    found = first.with_limit(Budget("sms", cost=0.5, total=20))
    again = plan(
        touches(), constraints=[*first.constraints[1:3], Budget("sms", cost=0.5, total=20), first.constraints[4]]
    )
    assert found.before is first
    assert found.after.value == pytest.approx(again.value)
    assert found.after.value > first.value
    table = found.to_frame().set_index(["measure", "channel"])
    assert table.loc[("value", "all"), "change"] == pytest.approx(found.after.value - first.value)
    assert table.loc[("messages", "sms"), "after"] == 40
    assert table.loc[("messages", "all"), "before"] == len(first)
    assert repr(found).startswith("WhatIf(Budget('sms') -> another limit: value ")


def test_the_gap_is_told_from_the_cap_by_its_length():
    assert made().with_limit(FrequencyCap(3, per="7D")).changed == "FrequencyCap(2, per='7D')"
    assert made().with_limit(FrequencyCap(2, per="12h")).changed == "FrequencyCap(1, per='12h')"


def test_a_rule_can_be_taken_away_or_named():
    found = made().with_limit(None, instead_of="OncePerItem")
    assert (found.to, found.changed) == ("nothing", "OncePerItem")
    assert len(found.after.constraints) == 4
    assert found.after.value >= found.before.value
    other = made().with_limit(FrequencyCap(1, per="3D"), instead_of="FrequencyCap(2, per='7D')")
    assert other.after.value <= other.before.value


def test_holdout_and_exploration_stay():
    first = made(holdout=0.3, explore=0.2, seed=5)
    after = first.with_limit(Budget("sms", cost=0.5, total=20)).after
    assert after.holdout is first.holdout
    assert after.exploration.swaps is first.exploration.swaps
    assert not first.holdout.held[after.touches.touches.user[after.reason == 0]].any()
    same = first.with_limit(Budget("sms", cost=0.5, total=10))
    assert np.array_equal(same.after.reason == 0, first.reason == 0)


@pytest.mark.parametrize(
    "loose", [Budget("sms", cost=0.5, total=30), Capacity("push", limit=9), FrequencyCap(4, per="7D")]
)
def test_loosening_never_loses(loose):
    for seed in range(4):
        first = plan(
            touches(15, seed),
            constraints=[FrequencyCap(1, per="7D"), Budget("sms", cost=0.5, total=3), Capacity("push", limit=1)],
        )
        assert first.with_limit(loose).after.value >= first.value - 1e-9


@pytest.mark.parametrize(
    ("rule", "more", "words"),
    [
        (
            Budget("email", cost=1, total=3),
            {},
            r"no constraint of this plan differs from Budget\('email'\) in the limit",
        ),
        (FrequencyCap(3), {}, "Name the one that changes: with_limit"),
        (None, {}, "name the constraint that is taken away"),
        (FrequencyCap(3), {"instead_of": "FrequencyCap"}, "instead_of must be"),
        (om.QuietHours("21:00", "08:00"), {}, "looks at one touch at a time"),
        (3, {}, "constraints must hold Constraint rules"),
    ],
)
def test_what_is_refused(rule, more, words):
    with pytest.raises(ParameterError, match=words):
        made().with_limit(rule, **more)


def test_it_is_drawn():
    pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "omnireco[demo]"')
    from omnireco import plotting

    ax = plotting.what_if(made().with_limit(Budget("sms", cost=0.5, total=20)))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sms", "push"]
