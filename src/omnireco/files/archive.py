"""One zip of ``.npy`` arrays and a JSON header: written plainly, and read as an untrusted file.

Nothing is taken on trust: sizes come from the directory and are compared with the file before anything is read,
members are stored and never inflated, every array is what its few bytes of header say to the byte, and checksums agree.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import mmap
import re
import struct
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from omnireco._core.parts import Damaged

__all__ = ["HEADER", "LARGEST_HEADER", "checksum", "read", "read_mapped", "write"]

HEADER = "header.json"
LARGEST_HEADER = 8 << 20
"""Bytes of the header and of the directory: objects made from text take many times its room."""

_MAGIC = b"\x93NUMPY"
_DESCRIPTION = re.compile(
    rb"\{'descr': '([<|][biuf][1248])', 'fortran_order': False, 'shape': \(([0-9, ]{0,400})\), \} *\n"
)
_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")
_MOST_DIMENSIONS = 8
_ALIGNED, _LOCAL_HEADER, _ZIP64 = 64, 30, 20
_PADDING = 0xD935  # the kind of extra field that says "padding"; readers pass over kinds that they do not know


def write(stream: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the header, with a checksum per array, and the arrays."""
    known = {**header, "checksums": {name: checksum(array) for name, array in arrays.items()}}
    text = json.dumps(known, sort_keys=True, allow_nan=False).encode()
    if len(text) > LARGEST_HEADER:
        raise Damaged(f"its small fields take {len(text):,} bytes, more than the {LARGEST_HEADER:,} a file may hold")
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(HEADER), text)  # of one date: equal values make equal files
        for name, array in arrays.items():
            with archive.open(_entry(name + ".npy", stream.tell()), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, version=(1, 0), allow_pickle=False)


def _entry(name: str, start: int) -> zipfile.ZipInfo:
    """Return an entry whose content begins on a multiple of 64 bytes, so that a mapped file holds aligned arrays."""
    entry = zipfile.ZipInfo(name)
    taken = start + _LOCAL_HEADER + len(name.encode()) + _ZIP64 + 4
    entry.extra = struct.pack("<HH", _PADDING, -taken % _ALIGNED) + bytes(-taken % _ALIGNED)
    return entry


def read(stream: IO[bytes], size: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays of a file of ``size`` bytes.

    Raises
    ------
    Damaged
        And whatever zipfile and json raise on bytes that are not theirs.
    """
    with zipfile.ZipFile(_Sparing(stream)) as archive:
        members = _members(archive, size)
        if HEADER not in members:
            raise Damaged("it has no header")
        header = parse(_bytes(archive, members.pop(HEADER)))
        wanted = header.get("checksums")
        if not isinstance(wanted, dict) or {f"{name}.npy" for name in wanted} != set(members):
            raise Damaged("its header names other arrays than it holds")
        arrays = {name: _array(archive, members[f"{name}.npy"], name) for name in wanted}
    _check_sums(arrays, wanted)
    return header, arrays


def read_mapped(mapped: mmap.mmap) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what :func:`read` returns, with arrays that lie in a mapped file: nothing is copied, and all is checked.

    Processes that map one file share its memory. A file must not change under a map: it is replaced by another one.
    """
    with zipfile.ZipFile(_Sparing(io.BufferedReader(_Bytes(mapped)))) as archive:
        members = _members(archive, len(mapped))
        if HEADER not in members:
            raise Damaged("it has no header")
        header = parse(_bytes(archive, members.pop(HEADER)))
        wanted = header.get("checksums")
        if not isinstance(wanted, dict) or {f"{name}.npy" for name in wanted} != set(members):
            raise Damaged("its header names other arrays than it holds")
    arrays = {name: _array_in(mapped, members[f"{name}.npy"], name) for name in wanted}
    _check_sums(arrays, wanted)
    return header, arrays


def _check_sums(arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> None:
    for name, array in arrays.items():
        if checksum(array) != wanted[name]:
            raise Damaged(f"the checksum of {name} differs")


def _array_in(mapped: mmap.mmap, entry: zipfile.ZipInfo, name: str) -> np.ndarray:
    """Return one array of a mapped file, read-only; its header must describe exactly the bytes that follow."""
    local = mapped[entry.header_offset : entry.header_offset + _LOCAL_HEADER]
    if len(local) < _LOCAL_HEADER or local[:4] != b"PK\x03\x04":
        raise Damaged(f"{name} is not where its directory says")
    begin = entry.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", local[26:30]))
    if begin + entry.file_size > len(mapped):
        raise Damaged("it ends too early")
    start = mapped[begin : begin + 10]
    length = int.from_bytes(start[8:10], "little")
    dtype, shape = _claimed(start, mapped[begin + 10 : begin + 10 + length], entry.file_size - 10 - length, name)
    array = np.frombuffer(mapped, dtype, math.prod(shape), begin + 10 + length).reshape(shape)
    return array if array.flags.aligned else array.copy()


def checksum(array: np.ndarray) -> str:
    """Return the SHA-256 of an array: its type, its shape, its bytes."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()


def parse(text: bytes) -> dict[str, Any]:
    """Return a JSON object; NaN, infinity, repeated names and what is no object are refused."""
    found = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    if not isinstance(found, dict):
        raise Damaged("its header is no object")
    return found


def _no_constant(name: str) -> None:
    raise Damaged(f"its header holds {name}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Damaged("its header names a field twice")
    return found


class _Bytes(io.RawIOBase):
    """A mapped file as a stream of its own: several may read one map."""

    def __init__(self, mapped: mmap.mmap) -> None:
        self._mapped, self._at = mapped, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + {0: 0, 1: self._at, 2: len(self._mapped)}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, into: Any) -> int:
        piece = self._mapped[self._at : self._at + len(into)]
        into[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class _Sparing:
    """A stream that refuses to be read in one large piece: a directory is small, and arrays are read bit by bit."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable
        self.close = lambda: None

    def read(self, size: int = -1) -> bytes:
        found = self._stream.read(size if 0 <= size <= LARGEST_HEADER else LARGEST_HEADER + 1)
        if len(found) > LARGEST_HEADER:
            raise Damaged("its directory is larger than any of ours")
        return found


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name: stored as they are, each once, together no larger than the file."""
    members: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for entry in archive.infolist():
        plain = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 0x21
        if not plain or entry.compress_size != entry.file_size:
            raise Damaged("a member is compressed or encrypted")
        if entry.filename in members:
            raise Damaged("it has two members of one name")
        if entry.filename != HEADER and not _NAME.fullmatch(entry.filename.removesuffix(".npy")):
            raise Damaged("a member has a name that no array of ours has")
        members[entry.filename] = entry
        total += entry.file_size
    if total > size:
        raise Damaged("its members claim more bytes than it has")
    return members


def _bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.file_size > LARGEST_HEADER:
        raise Damaged(f"its header is larger than {LARGEST_HEADER:,} bytes")
    return archive.read(entry)


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> np.ndarray:
    """Return one array; its header must describe exactly the bytes that follow."""
    with archive.open(entry) as stream:
        start = stream.read(10)
        length = int.from_bytes(start[8:10], "little")
        n_bytes = entry.file_size - 10 - length
        dtype, shape = _claimed(start, stream.read(length), n_bytes, name)
        array = np.empty(shape, dtype)
        if n_bytes:
            _fill(stream, array.reshape(-1).view(np.uint8))
    return array


def _claimed(start: bytes, text: bytes, n_bytes: int, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type and shape that an array's header claims, which must explain its bytes."""
    described = _DESCRIPTION.fullmatch(text)
    if start[:8] != _MAGIC + b"\x01\x00" or described is None:
        raise Damaged(f"{name} is no array of ours")
    dtype = np.dtype(described[1].decode())
    shape = tuple(int(part) for part in described[2].decode().split(",") if part.strip())
    wrong = math.prod(shape) * dtype.itemsize != n_bytes
    if len(shape) > _MOST_DIMENSIONS or wrong or max(shape, default=0) >= 1 << 62:
        size = n_bytes + len(start) + len(text)
        raise Damaged(f"{name} has {size:,} bytes, which its shape does not explain")
    return dtype, shape


def _fill(stream: IO[bytes], into: np.ndarray) -> None:
    at = 0
    while at < into.size:
        piece = stream.read(min(1 << 20, into.size - at))
        if not piece:
            raise Damaged("it ends too early")
        into[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)
