# ruff: noqa: E501 - tables
"""Hostile files: a short form of ``tests/fuzz_files.py``, and the zip itself."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import omnireco as om
from omnireco.data.messages import NEVER
from omnireco.errors import StorageError

_SPEC = importlib.util.spec_from_file_location("fuzz_files", Path(__file__).parents[1] / "fuzz_files.py")
fuzz = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fuzz)

QUICK = ["audience", "sparse item model", "factor model", "send time model", "reading model", "recommendations",
         "live bandit", "zone posterior", "candidates", "log, text beyond ASCII"]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="children are watched by what Linux tells of them")
def test_hostile_content_is_refused_or_used_without_harm():
    found = fuzz.run(250, seed=1, names=QUICK)
    assert found["refused"] > 50
    assert found["used"] > 10
    assert not [outcome for outcome in found if not outcome.startswith(("refused", "used"))], found


@pytest.fixture
def parts(tmp_path):
    path = om.save(om.models.FactorModel.from_arrays(np.eye(3), items=["a", "b", "c"]), tmp_path / "model")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path, parts, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def npy(array):
    held = io.BytesIO()
    np.lib.format.write_array(held, array)
    return held.getvalue()


def shaped(parts, text):
    return parts | {"factors.npy": parts["factors.npy"].replace(b"(3, 3), }", text)}


CHANGES = {
    "a header cut in the middle": (lambda p: shaped(p, b"(3, 3, ( "), "no array of ours"),
    "a shape beyond its bytes": (lambda p: shaped(p, b"(9, 9), }"), "does not explain"),
    "a shape that overflows": (lambda p: shaped(p, b"(4611686018427387904, 4, 3), }"), "no array of ours|does not explain"),
    "another order": (lambda p: p | {"factors.npy": npy(np.asfortranarray(np.ones((3, 2), np.float32)))}, "no array of ours"),
    "another byte order": (lambda p: p | {"factors.npy": npy(np.eye(3).astype(">f4"))}, "no array of ours"),
    "a structured type": (lambda p: p | {"factors.npy": npy(np.zeros(3, "f4,f4"))}, "no array of ours"),
    "objects": (lambda p: p | {"factors.npy": npy(np.zeros(3, "U4"))}, "no array of ours"),
    "a member too many": (lambda p: p | {"extra.npy": npy(np.eye(2))}, "other arrays than it holds"),
    "a member too few": (lambda p: {n: c for n, c in p.items() if n != "factors.npy"}, "other arrays than it holds"),
    "a name with dots": (lambda p: p | {"../up.npy": npy(np.eye(2))}, "a name that no array of ours has"),
    "an absolute name": (lambda p: p | {"/etc.npy": npy(np.eye(2))}, "a name that no array of ours has"),
    "no header": (lambda p: {n: c for n, c in p.items() if n != "header.json"}, "no header"),
    "deep JSON": (lambda p: p | {"header.json": b"[" * 100_000}, "RecursionError"),
    "NaN in JSON": (lambda p: p | {"header.json": b'{"format": NaN}'}, "holds NaN"),
    "a name twice": (lambda p: p | {"header.json": b'{"format": 1, "format": 2}'}, "names a field twice"),
    "no object": (lambda p: p | {"header.json": b"[]"}, "no object"),
    "a flipped checksum": (lambda p: p | {"factors.npy": npy(np.ones((3, 3), np.float32))}, "checksum of factors differs"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_is_not_ours(name, parts, tmp_path):
    change, told = CHANGES[name]
    with pytest.raises(StorageError, match=told):
        om.load(written(tmp_path / "changed", change(parts)))


def test_compressed_members_are_refused_before_they_are_inflated(parts, tmp_path):
    parts["header.json"] = b" " * (1 << 24) + b"{}"
    with pytest.raises(StorageError, match="compressed"):
        om.load(written(tmp_path / "bomb", parts, compression=zipfile.ZIP_DEFLATED))


def test_a_header_larger_than_any_of_ours(parts, tmp_path):
    parts["header.json"] = b" " * (9 << 20) + b"{}"
    with pytest.raises(StorageError, match="header is larger"):
        om.load(written(tmp_path / "large", parts))


@pytest.mark.parametrize("change", [{"version": "1"}, {"kind": []}, {"kind": "stranger"}, {"fields": []}, {"extra": 1}])
def test_a_header_of_another_kind(change, parts, tmp_path):
    parts["header.json"] = json.dumps(json.loads(parts["header.json"]) | change).encode()
    with pytest.raises(StorageError, match="damaged or not a file of omnireco"):
        om.load(written(tmp_path / "other", parts))


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="no regular file"):
        om.load(tmp_path / "pipe")
    with pytest.raises(StorageError, match="cannot read"):
        om.load(tmp_path)
    with pytest.raises(StorageError, match="folder, pipe or device"):
        om.save(om.Weights(), tmp_path / "pipe")
    with pytest.raises(om.errors.ParameterError, match="path must be a file's name"):
        om.load("a\0b")


def test_permissions_and_links_stay(tmp_path):
    path = om.save(om.Weights(), tmp_path / "value")
    os.chmod(path, 0o600)
    (tmp_path / "link").symlink_to(path)
    om.save(om.Weights(binary=True), tmp_path / "link")
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "link").is_symlink()
    assert om.load(path).binary


def test_what_a_killed_save_left_behind_is_removed(tmp_path):
    for name in ("value.0123abcd.part", "other.0123abcd.part", "value.txt.part"):
        (tmp_path / name).write_bytes(b"half")
    om.save(om.Weights(), tmp_path / "value")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.0123abcd.part", "value", "value.txt.part"]


def test_a_value_whose_parts_disagree_is_not_written(tmp_path):
    one = om.data.Vocabulary.from_ids(["a"])
    wrong = om.Recommendations(one, one, np.zeros((1, 1), np.int32), np.full((1, 1), np.nan, np.float32))
    with pytest.raises(om.errors.ParameterError, match="scores"):
        om.save(wrong, tmp_path / "value")
    assert not list(tmp_path.iterdir())


def changed(path, change):
    """Write a file again with other fields and arrays, and checksums that agree."""
    header, arrays = fuzz.taken_apart(path)
    change(header["fields"], arrays)
    fuzz.put_together(path, header, arrays)
    return path


def messages_from_the_future(fields, arrays):
    arrays["messages/sent_at"] = arrays["messages/sent_at"] + 40 * 86_400_000_000
    arrays["messages/responded_at"] = np.full_like(arrays["messages/responded_at"], NEVER)
    fields["messages"]["fields"]["end_us"] = int(arrays["messages/sent_at"][-1]) + 1


def answers_from_the_future(fields, arrays):
    arrays["messages/responded_at"] = arrays["messages/sent_at"] + 400 * 86_400_000_000


def choices_of_others(fields, arrays):
    arrays["chosen/users"] = arrays["chosen/users"][::-1].copy()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda fields, arrays: fields.update(end_us=5), "events reach past the end"),
        (lambda fields, arrays: fields.update(end_us=2**62), "end_us lies outside"),
        (lambda fields, arrays: fields["without"].append("requests"), r"."),
        (messages_from_the_future, "messages reach past the end of the data"),
        (answers_from_the_future, "answers lie after the end of the log"),
        (choices_of_others, "what was chosen belongs to other requests"),
    ],
)
def test_a_dataset_of_which_a_part_lies_past_its_cut_is_refused(change, match, tmp_path):
    world = om.simulate(n_users=30, n_items=12, days=40, seed=2)
    log = om.EventLog.from_frame(world.events)
    asked = om.Requests.from_log(log, context=["channel"])
    sent = om.MessageLog.from_frame(world.messages)
    past = om.Dataset(log, messages=sent, asked=asked).before("2025-02-01")
    assert om.load(om.save(past, tmp_path / "data")).end == past.end
    with pytest.raises(StorageError, match=match):
        om.load(changed(om.save(past, tmp_path / "data"), change))


@pytest.mark.parametrize("part", ["given", "exclude"])
def test_baskets_of_fewer_requests_are_refused(part, tmp_path):
    world = om.simulate(n_users=30, n_items=12, days=40, seed=2)
    data = om.Dataset(om.EventLog.from_frame(world.events))
    asked = data.requests(data.users.ids[:4], given=[["i01"]] * 4, exclude=[["i02"]] * 4)

    def shorter(fields, arrays):
        start, codes = (next(n for n in arrays if n.startswith(part) and n.endswith(end)) for end in ("indptr", "item"))
        arrays[start], arrays[codes] = arrays[start][:3].copy(), arrays[codes][:2].copy()

    path = changed(om.save(asked, tmp_path / "requests"), shorter)
    with pytest.raises(StorageError, match=f"{part}/0/indptr has 3 offsets, not one more than ids"):
        om.load(path)
    path = changed(om.save(asked, tmp_path / "requests"), lambda fields, arrays: fields.update(key="of nobody"))
    with pytest.raises(StorageError, match="key must be one of 'user_id', 'request_id'"):
        om.load(path)
