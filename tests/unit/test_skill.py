"""Skill of profiles on two people, by hand; refusals are in test_explore.py."""

import numpy as np
import pytest

from omnireco.timing.skill import timing_skill

EVEN = np.full(168, 1 / 168)


def one_hour(hour, share=0.5):
    profile = np.full(168, (1 - share) / 167)
    profile[hour] = share
    return profile


LATER = np.zeros((2, 168))
LATER[0, 9], LATER[1, 33] = 3, 1  # 9 on Monday, 9 on Tuesday
HISTORY = np.array([4, 30])


def test_the_baseline_has_no_skill_over_itself():
    table = timing_skill({"same": np.tile(EVEN, (2, 1))}, EVEN, LATER, HISTORY, n_bootstrap=50)
    assert table[["nats", "low", "high"]].to_numpy() == pytest.approx(np.zeros((3, 3)))


def test_people_count_by_their_sessions_and_apart_by_history():
    profiles = np.stack([one_hour(9), EVEN])
    table = timing_skill({"mine": profiles}, EVEN, LATER, HISTORY, n_bootstrap=50).set_index("history")
    gain = np.log(0.5 * 168)
    assert table["nats"].to_dict() == pytest.approx({"1-5": gain, "21-100": 0.0, "all": 3 * gain / 4})
    assert table["people"].to_dict() == {"1-5": 1, "21-100": 1, "all": 2}
    assert table["sessions"].to_dict() == {"1-5": 3, "21-100": 1, "all": 4}


def test_a_hit_is_one_of_the_highest_hours_of_its_day():
    profiles = np.stack([one_hour(9), EVEN])  # of equal hours the earliest: 0, 1 and 2 o'clock
    table = timing_skill({"mine": profiles}, EVEN, LATER, HISTORY, n_bootstrap=50).set_index("history")
    assert table["hit_1"].to_dict() == {"1-5": 1.0, "21-100": 0.0, "all": 0.75}
    early = np.zeros((2, 168))
    early[:, [24 + 1, 24 + 3]] = 1  # 1 and 3 o'clock on Tuesday
    table = timing_skill({"even": np.tile(EVEN, (2, 1))}, EVEN, early, HISTORY, n_bootstrap=50).set_index("history")
    assert (table.loc["all", "hit_1"], table.loc["all", "hit_3"]) == (0.0, 0.5)


def test_a_baseline_of_each_person():
    own = np.stack([one_hour(9), one_hour(33)])
    table = timing_skill({"own": own}, own, LATER, HISTORY, n_bootstrap=50)
    assert table["nats"].to_numpy() == pytest.approx(np.zeros(3))
