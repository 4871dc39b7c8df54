"""A stranger with the README alone reaches a plan for files of their own: its steps, as written, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import omnireco as om

pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "omnireco[demo]"')
ROOT = Path(__file__).parents[2]


def steps():
    """Return the section of the README."""
    return (ROOT / "README.md").read_text("utf-8").split("## Your own files in ten minutes")[1].split("\n## ")[0]


def heads():
    """Return the first line of each file that the section shows, and the command."""
    csv = re.findall(r"```csv\n(.*?)```", steps(), re.DOTALL)
    command = re.search(r"```bash\n(.*?)```", steps(), re.DOTALL)[1]
    return [[cell.strip() for cell in block.strip().splitlines()[0].split(",")] for block in csv], command.strip()


def test_the_steps_of_the_readme_end_in_a_plan(tmp_path):
    (events, users), command = heads()
    folder = tmp_path / "my-export"
    folder.mkdir()
    world = om.simulate(n_users=120, n_items=30, days=60, seed=4)
    shown = world.events[["user_id", "item_id", "channel", "event", "timestamp"]]
    shown.set_axis(events, axis=1).to_csv(folder / "events.csv", index=False)
    people = world.users[["user_id", "timezone", "consent_email", "consent_push"]]
    people.rename(columns={"user_id": users[0]}).to_csv(folder / "users.csv", index=False)
    typed = shlex.split(command)
    assert typed[0] == "omnireco"
    assert " -m" not in command
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMNIRECO")}
    done = subprocess.run(
        [sys.executable, "-m", "omnireco.cli", *typed[1:], "--quick", "--no-progress"],
        cwd=tmp_path,
        env=environment | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan = pd.read_csv(tmp_path / "my-plan" / "plan.csv")
    assert len(plan) > 0
    assert "Whom to write to" in (tmp_path / "my-plan" / "report.html").read_text("utf-8")


def test_the_files_of_the_readme_are_read_as_shown(tmp_path):
    """The rows that the README prints are valid: a log of one event is refused for its length, and for nothing else."""
    csv = re.findall(r"```csv\n(.*?)```", steps(), re.DOTALL)
    for name, block in zip(("events", "users"), csv, strict=True):
        text = "\n".join(line.strip() for line in block.strip().splitlines())
        (tmp_path / f"{name}.csv").write_text(text + "\n", "utf-8")
    columns = shlex.split(heads()[1])
    done = subprocess.run(
        [sys.executable, "-m", "omnireco.cli", "demo", "--data", ".", *columns[columns.index("--columns") :][:2]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the log covers 0 days" in done.stderr
