"""Windows and macOS by construction: what only some systems have stands where it may be missing; files obey both."""

import ast
import builtins
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._core import written
from omnireco.errors import StorageError
from omnireco.evaluation.trials.prints import _frame_bytes

SOURCE = Path(om.__file__).parent
ROOT = Path(__file__).resolve().parents[2]

SOME_SYSTEMS = set(
    re.findall(
        r"\S+",
        """
    os.fork os.forkpty os.kill os.killpg os.setsid os.mkfifo os.fchmod os.chmod os.chown os.link os.symlink
    os.sched_getaffinity os.sched_setaffinity os.uname os.nice os.register_at_fork os.sysconf os.getloadavg os.getuid
    os.geteuid os.umask os.sendfile os.posix_fadvise os.O_NONBLOCK os.O_CLOEXEC os.O_NOFOLLOW os.O_BINARY os.O_DIRECT
    os.WNOHANG os.waitpid os.wait os.replace os.rename os.renames os.sep os.linesep os.pathsep
    time.tzset time.clock_gettime
    signal.SIGKILL signal.SIGHUP signal.SIGCHLD signal.SIGUSR1 signal.SIGUSR2 signal.SIGALRM signal.alarm
    signal.pthread_sigmask signal.sigtimedwait
    socket.AF_UNIX socket.SO_REUSEPORT select.poll select.epoll select.kqueue
    sys.platform platform.system os.name
    np.longdouble np.clongdouble np.float128 np.long np.ulong np.int_ np.uint
    """,
    )
)
MODULES = {"fcntl", "mmap", "ctypes", "locale", "multiprocessing", "pwd", "resource"}
ALLOWED = {
    ("_core/compute.py", "os.sched_getaffinity"): "behind hasattr; elsewhere the number of processors",
    ("_core/quiet.py", "os.register_at_fork"): "behind hasattr; Windows has no forks",
    ("_core/quiet.py", "sys.platform"): "names the C library of Windows",
    ("_core/quiet.py", "ctypes"): "flushes what the C library holds back; a missing one is no error",
    ("_core/written.py", "fcntl"): "where it is missing, an open file cannot be removed either",
    ("_core/written.py", "os.fchmod"): "behind hasattr; Windows has no such modes",
    ("_core/written.py", "os.replace"): "the one place that renames, and waits where Windows refuses",
    ("_core/compute.py", "open"): "system files of Linux in ASCII; elsewhere a stated amount of memory",
    ("files/io.py", "mmap"): "read only: a mapped snapshot is shared by processes",
    ("files/archive.py", "mmap"): "the type of what files/io.py maps",
    ("planning/plans/from_files.py", "memmap"): "a scratch file that is let go before its folder is removed",
}


def seen(path):
    """Yield what a file does that only some systems do."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from MODULES & set(names)
            if isinstance(node, ast.ImportFrom):
                yield from {f"{node.module}.{one.name}" for one in node.names} & SOME_SYSTEMS
        elif isinstance(node, ast.Attribute):
            yield from {f"{getattr(node.value, 'id', '')}.{node.attr}"} & SOME_SYSTEMS
            yield from {node.attr} & {"memmap", "fromtimestamp", "utcfromtimestamp"}
        elif isinstance(node, ast.Call):
            yield from called(node)


def called(node):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    given = {one.arg: one.value for one in node.keywords}
    texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if name == "open" and isinstance(node.func, ast.Name):
        if "encoding" not in given and not any("b" in text for text in texts[-1:]):
            yield "open"
    elif name == "write_text" and isinstance(node.func, ast.Attribute):
        yield "Path.write_text"  # its line ends are those of the system: _core.written.write_text has the text's
    elif name == "to_csv" and "lineterminator" not in given:
        yield "to_csv"  # the same
    elif name == "TemporaryFile" or (name == "NamedTemporaryFile" and "delete" not in given):
        yield name  # Windows opens no such file twice
    elif name == "strftime" and any(re.search(r"%[-#es]", text) for text in texts):
        yield "strftime"
    elif (
        name in {"rename", "replace"}
        and len(node.args) == 1
        and not given
        and re.search("path|part|temporary|target|file", ast.unparse(node.func).rpartition(".")[0])
    ):
        yield f"Path.{name}"


def test_what_only_some_systems_have_stands_in_the_list_with_its_reason():
    found = {
        (path.relative_to(SOURCE).as_posix(), what) for path in sorted(SOURCE.rglob("*.py")) for what in seen(path)
    }
    assert sorted(found - set(ALLOWED)) == []
    assert sorted(set(ALLOWED) - found) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("import os\nos.fork()", "os.fork"),
        ("from signal import SIGKILL", "signal.SIGKILL"),
        ("import fcntl", "fcntl"),
        ("open('a')", "open"),
        ("open('a', 'w')", "open"),
        ("frame.to_csv('a.csv')", "to_csv"),
        ("path.write_text('a', 'utf-8')", "Path.write_text"),
        ("path.rename(other)", "Path.rename"),
        ("x.astype(np.int_)", "np.int_"),
        ("at.strftime('%-d')", "strftime"),
        ("dt.datetime.fromtimestamp(-1)", "fromtimestamp"),
    ],
)
def test_such_a_line_is_seen(line, what, tmp_path):
    (tmp_path / "a.py").write_bytes(line.encode())
    assert what in set(seen(tmp_path / "a.py"))


def test_numpy_counts_in_64_bits_everywhere():
    """Before version 2 its own integer had 32 bits on Windows, so that ``arange``, ``sum`` and ``int`` overflowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = [one for one in project["dependencies"] if one.startswith("numpy")]
    assert "numpy>=2.0; platform_system == 'Windows'" in bounds
    assert any(one.startswith("tzdata>=") and "Windows" in one for one in project["dependencies"])


def tracked():
    found = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=False)
    if found.returncode:
        pytest.skip("no checkout of git here")
    return found.stdout.decode().splitlines()


def test_names_of_files_can_be_checked_out_everywhere():
    names = tracked()
    assert len({name.lower() for name in names}) == len(names)
    devices = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}
    parts = {part for name in names for part in name.split("/")}
    assert [part for part in parts if part.split(".")[0].lower() in devices] == []
    assert [part for part in parts if re.search(r'[<>:"\\|?*]|[. ]$', part)] == []
    assert max(map(len, names)) < 120  # of 260 with the folders of an environment before them
    assert [name for name in names if (ROOT / name).is_symlink()] == []


# ---- a disk that behaves as that of Windows --------------------------------------------------------------------


def held(path):
    """Whether this process has a file open or mapped."""
    wanted = os.path.realpath(path)
    found = []
    for one in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{one}"))
        except OSError:
            continue
    with open("/proc/self/maps", encoding="utf-8") as lines:
        found += [line.split(maxsplit=5)[5].strip() for line in lines if line.count("/")]
    return wanted in found


@pytest.fixture
def windows(monkeypatch):
    """No fcntl, no modes, no folders that open, and no file renamed or removed while somebody has it open."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("which files are open is asked of /proc")

    def strict(call, *several):
        def tried(*paths, **options):
            for one in paths:
                if isinstance(one, (str, os.PathLike)) and options.get("dir_fd") is None and held(one):
                    raise PermissionError(13, "Access is denied", str(one))
            return call(*paths, **options)

        return tried

    opened = os.open

    def no_folders(path, flags, *mode, **options):
        if "dir_fd" not in options and os.path.isdir(path) and not flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *mode, **options)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    for name in ("replace", "rename", "unlink", "remove"):
        monkeypatch.setattr(os, name, strict(getattr(os, name)))
    monkeypatch.setattr(os, "open", no_folders)
    for name in ("fchmod", "O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "sched_getaffinity", "register_at_fork"):
        monkeypatch.delattr(os, name, raising=False)
    # removing a folder by descriptors is a way of POSIX; Windows goes by names
    monkeypatch.setattr("shutil._use_fd_functions", False)
    return monkeypatch


def model(n):
    return om.models.FactorModel.from_arrays(np.eye(n))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_disk_is_as_strict_as_said(windows, tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    with open(tmp_path / "a", "rb"), pytest.raises(PermissionError):
        os.replace(tmp_path / "a", tmp_path / "b")
    os.replace(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == ["b"]


def test_files_are_saved_loaded_and_replaced(windows, tmp_path):
    path = om.save(model(2), tmp_path / "model")
    assert len(om.load(om.save(model(3), path)).items) == 3
    assert names(tmp_path) == ["model"]


def test_a_mapped_file_stays_and_the_error_says_what_to_do(windows, tmp_path):
    windows.setattr(written, "_WAITS", (0.001,))
    path = om.live.Snapshot(model(2)).save(tmp_path / "live")
    service = om.live.Live(om.live.Snapshot.open(path))
    with pytest.raises(StorageError, match=r"save: cannot replace 'live': .* open or mapped.*write under a new name"):
        om.live.Snapshot(model(3)).save(path)
    assert names(tmp_path) == ["live"]
    service.swap(om.live.Snapshot.open(om.live.Snapshot(model(3)).save(tmp_path / "live-2")))
    assert names(tmp_path) == ["live", "live-2"]


@pytest.mark.parametrize("times", [1, 3])
def test_a_file_that_somebody_reads_for_a_moment_is_waited_for(windows, tmp_path, times):
    path, replace, tried = om.save(model(2), tmp_path / "model"), os.replace, []

    def refused(*where):
        tried.append(where)
        if len(tried) <= times:
            raise PermissionError(13, "Access is denied")
        replace(*where)

    windows.setattr(os, "replace", refused)
    assert len(om.load(om.save(model(3), path)).items) == 3
    assert len(tried) == times + 1
    assert names(tmp_path) == ["model"]


def test_parts_are_left_over_after_a_day(windows, tmp_path):
    old, new = tmp_path / "model.01234567.part", tmp_path / "model.89abcdef.part"
    for part in (old, new):
        part.write_bytes(b"")
    os.utime(old, (0, 0))
    om.save(model(2), tmp_path / "model")
    assert names(tmp_path) == ["model", new.name]


def test_every_writer_of_files_works(windows, tmp_path):
    world = om.simulate(n_users=30, n_items=12, days=40, seed=3)
    log = om.EventLog.from_frame(world.events, itemless="keep")
    data = om.Dataset(log, audience=om.Audience.from_frame(world.users))
    fitted = om.Popularity().fit(data)
    lists = om.files.recommend_to_parquet(fitted, data.requests(), tmp_path / "lists.parquet", k=3, block=7)
    assert pd.read_parquet(lists)["user_id"].nunique() == len(data.requests())
    cuts = data.rolling(horizon="7D", n=2)
    for _ in range(2):
        om.backtest({"popular": om.Popularity()}, cuts, k=3, folder=tmp_path / "cells")
    assert all(name.endswith(".cell") for name in names(tmp_path / "cells"))
    touches = fitted.recommend(data.requests(), k=2).to_frame().assign(
        channel="email", send_at=pd.Timestamp("2025-03-01", tz="UTC"), value=1.0
    )  # fmt: skip
    plan = om.plan(om.planning.Candidates.from_frame(touches, om.Dataset(audience=data.audience)), constraints=[])
    om.adapters.to_crm_csv(plan, tmp_path / "plan.csv")
    om.adapters.to_cloudevents(plan, tmp_path / "plan.jsonl")
    (tmp_path / "touches").mkdir()
    touches.sort_values("user_id").to_parquet(tmp_path / "touches" / "a.parquet")
    made = om.planning.plan_files(tmp_path / "touches", constraints=[om.FrequencyCap(1, per=None)])
    assert made.value == pytest.approx(len(data.requests()))
    store = om.live.SQLiteStore(tmp_path / "people.db")
    events = log.to_frame().iloc[:5][["user_id", "event", "channel", "timestamp"]]
    om.live.Live(om.live.Snapshot(fitted), store=store).observe(events.to_dict("records"))
    store.close()
    for name in names(tmp_path):
        if (tmp_path / name).is_file():
            os.unlink(tmp_path / name)  # nothing is still open


def test_csv_and_html_have_the_same_bytes_everywhere(tmp_path, monkeypatch):
    """Text files of Windows turn a line feed into two characters; ours are written as bytes."""
    text = builtins.open

    def translating(file, mode="r", *more, **options):
        if "b" not in mode and "r" not in mode and options.get("newline") is None:
            options["newline"] = "\r\n"
        return text(file, mode, *more, **options)

    monkeypatch.setattr(builtins, "open", translating)
    monkeypatch.setattr("io.open", translating)
    monkeypatch.setattr(os, "linesep", "\r\n")
    written.write_text(tmp_path / "a.html", "<p>\n</p>\n", "test")
    assert (tmp_path / "a.html").read_bytes() == b"<p>\n</p>\n"
    assert _frame_bytes(pd.DataFrame({"a": [1]})) == b"['a']a\n1\n"
