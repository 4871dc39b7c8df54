"""Plans of parquet files: as good as those in memory, by batches of people, with the same proof."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data import Audience, Dataset
from omnireco.errors import ParameterError, SchemaError, StorageError
from omnireco.planning import Budget, Candidates, Capacity, FrequencyCap, OncePerItem, QuietHours, plan, plan_files
from omnireco.planning.plans import from_files

CHANNELS = np.array(["email", "push", "sms"], object)
RULES = [
    FrequencyCap(2, per=None),
    Budget(["sms", "push"], cost={"sms": 0.07, "push": 0.02}, total=4.0),
    Budget("email", cost=0.01, total=0.8),
    Capacity("push", per="6h", limit=20),
    Capacity("email", per="6h", limit=30),
]


def week(n_people=300, each=10, seed=0):
    rng = np.random.default_rng(seed)
    n = n_people * each
    return pd.DataFrame(
        {
            "user_id": np.repeat([f"user-{i:04d}" for i in range(n_people)], each),
            "item_id": rng.integers(0, 40, n),
            "channel": CHANNELS[rng.integers(0, 3, n)],
            "send_at": pd.Timestamp("2025-06-02", tz="UTC") + pd.to_timedelta(rng.integers(0, 60, n), unit="h"),
            "value": np.round(rng.gamma(1.0, 1.0, n) - 0.2, 6),
            "creative_id": rng.integers(0, 4, n),
        }
    )


def written(frame, folder, files=3, rows=500):
    edges = np.linspace(0, len(frame), files + 1).astype(int)  # persons are cut in two by files, too
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        frame.iloc[a:b].to_parquet(folder / f"part-{i}.parquet", index=False, row_group_size=rows)
    return folder


@pytest.fixture
def batches(monkeypatch):
    """Read some hundred rows at a time."""
    whole = from_files.read_batches
    monkeypatch.setattr(from_files, "read_batches", lambda *a, **k: whole(*a, **k | {"rows": 333}))


def test_as_good_as_in_memory_with_the_same_proof(tmp_path, batches):
    frame = week()
    made = plan_files(written(frame, tmp_path), constraints=RULES)
    memory = plan(Candidates.from_frame(frame), constraints=RULES)
    assert made.value <= memory.bound * (1 + 1e-9)
    assert memory.value <= made.bound * (1 + 1e-9)
    assert made.optimality_gap < 0.01
    sent = made.to_frame()
    assert sent.groupby("user_id").size().max() <= 2
    assert sent["channel"].map({"sms": 0.07, "push": 0.02, "email": 0.0}).sum() <= 4.0 + 1e-9
    assert (sent["channel"] == "email").sum() <= 80
    cells = sent.assign(cell=sent["send_at"].dt.floor("6h")).groupby(["channel", "cell"]).size()
    assert cells["push"].max() <= 20
    assert cells["email"].max() <= 30
    assert made.value == pytest.approx(sent["value"].sum())
    inside = frame.merge(sent, on=["user_id", "item_id", "channel", "send_at", "value", "creative_id"])
    assert len(inside) >= len(sent)
    assert list(memory.to_frame().columns) == list(sent.columns)
    assert len(sent) + sum(made.left_out.values()) == len(frame)
    assert made.left_out["no value"] == memory.left_out["no value"]


def test_prices_say_what_is_used(tmp_path, batches):
    made = plan_files(written(week(seed=1), tmp_path), constraints=RULES)
    sent, lines = made.to_frame(), made.prices
    memory = plan(Candidates.from_frame(week(seed=1)), constraints=RULES).prices
    assert lines[["constraint", "row", "limit"]].equals(memory[["constraint", "row", "limit"]])
    used = lines.set_index(["constraint", "row"])["used"]
    assert used["Budget('email')", "email"] == pytest.approx(0.01 * (sent["channel"] == "email").sum())
    push = sent[sent["channel"] == "push"]
    assert used["Capacity('push', per='6h')"].sum() == len(push)
    assert (used.to_numpy() <= lines["limit"].to_numpy() + 1e-9).all()


def test_equal_where_nothing_is_shared(tmp_path, batches):
    frame, cap = week(seed=2), [FrequencyCap(3, per=None)]
    made = plan_files(written(frame, tmp_path, files=1), constraints=cap)
    memory = plan(Candidates.from_frame(frame), constraints=cap)
    pd.testing.assert_frame_equal(made.to_frame(), memory.to_frame())
    assert made.value == pytest.approx(memory.value, rel=1e-12)
    assert made.left_out == memory.left_out
    assert made.exact


def test_consent_quiet_hours_and_columns_of_ones_own_are_read(tmp_path, batches):
    frame = week(60)
    people = pd.DataFrame(
        {
            "user_id": frame["user_id"].unique(),
            "timezone": "Europe/Berlin",
            "consent_email": np.arange(60) % 2 == 0,
            "consent_push": True,
            "consent_sms": False,
        }
    )
    data = Dataset(audience=Audience.from_frame(people))
    folder = written(frame.rename(columns={"user_id": "guest"}), tmp_path)
    quiet = (rule for rule in [QuietHours("21:00", "08:00")])
    made = plan_files(folder, data, constraints=[FrequencyCap(2, per=None), Capacity("push", per="1h", limit=9)],
                      columns={"user_id": "guest"}, eligibility=quiet)  # fmt: skip
    memory = Candidates.from_frame(frame, data, eligibility=[QuietHours("21:00", "08:00")])
    sent = made.to_frame()
    assert set(sent["channel"]) <= {"email", "push"}
    assert sent["send_at_local"].dt.hour.between(8, 20).all()
    for name, n in memory.left_out.items():
        assert made.left_out[name] == n


def test_threads_change_nothing_and_the_folder_is_left_alone(tmp_path, batches):
    folder = written(week(seed=3), tmp_path)
    before = sorted(p.name for p in folder.iterdir())
    one, two = (plan_files(folder, constraints=RULES, threads=k) for k in (1, 3))
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())
    assert one.bound == two.bound
    assert sorted(p.name for p in folder.iterdir()) == before


def test_people_whose_rows_stand_apart_are_refused(tmp_path, batches):
    frame = week()
    apart = pd.concat([frame, frame.iloc[:5]])
    with pytest.raises(SchemaError, match="rows of 1 person stand in several places") as error:
        plan_files(written(apart, tmp_path), constraints=RULES)
    assert "user-0" not in str(error.value)
    sorted_again = apart.sort_values("user_id")
    assert len(plan_files(written(sorted_again, tmp_path), constraints=RULES))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (OncePerItem(), "OncePerItem"),
        (FrequencyCap(1, per="4h"), "windows shorter than the plan"),
        (FrequencyCap(1, per=None, channels="sms"), "some of the touches alone"),
        (Budget("smss", cost=1, total=1), "smss"),
        (Capacity("pusch", limit=3), "pusch"),
    ],
)
def test_rules_that_cannot_be_counted_by_batch_are_refused(tmp_path, rule, said):
    with pytest.raises(ParameterError, match=said):
        plan_files(written(week(30), tmp_path), constraints=[rule])


def test_a_channel_that_some_files_do_not_have_is_no_error(tmp_path):
    frame = week(40)
    frame.loc[frame["user_id"] < "user-0020", "channel"] = "email"
    made = plan_files(written(frame, tmp_path, files=2), constraints=RULES)
    assert set(made.to_frame()["channel"]) == set(CHANNELS)


def test_wrong_paths_and_columns_are_refused(tmp_path):
    with pytest.raises(StorageError, match="no file or folder"):
        plan_files(tmp_path / "nothing")
    with pytest.raises(ParameterError, match="path of a file or folder"):
        plan_files(week(3))
    folder = written(week(5).rename(columns={"user_id": "guest"}), tmp_path)
    with pytest.raises(SchemaError, match="has no column 'user_id'"):
        plan_files(folder)
    with pytest.raises(ParameterError, match="columns="):
        plan_files(folder, columns="guest")
    empty = tmp_path / "empty"
    empty.mkdir()
    week(5).iloc[:0].to_parquet(empty / "a.parquet")
    with pytest.raises(SchemaError, match="no row"):
        plan_files(empty)


def test_what_needs_all_touches_refuses(tmp_path):
    made = plan_files(written(week(30), tmp_path), constraints=RULES)
    assert made.reduced is None
    assert len(made.summary())
    assert len(made.load())
    with pytest.raises(ParameterError, match="without their rules"):
        made.with_limit(FrequencyCap(3, per=None), instead_of="FrequencyCap(2, per=None)")
    with pytest.raises(ParameterError):
        made.accept({"user_id": "user-0001", "item_id": 1, "channel": "push", "send_at": "2025-06-03T18:00Z",
                     "value": 0.3})  # fmt: skip


def test_progress_counts_files_twice(tmp_path):
    steps = []
    plan_files(written(week(30), tmp_path), constraints=RULES, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i + 1, 6) for i in range(6)]
    assert om.planning.plan_files is plan_files
