"""Save and load values in one file each: arrays plus a JSON header, never pickle.

The file is a zip of ``.npy`` arrays (NumPy's npz, without objects) and a header that names the format, its
version, the kind of value and a checksum per array. It is written under a temporary name and renamed, so a
reader never sees half a file; a damaged, foreign or newer file is a :class:`StorageError`, never a crash,
and loading never runs code. What a file claims is checked before compiled code sees it: types, shapes, ranges,
order and finite numbers of every part.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from omnireco._core.checks import shown
from omnireco._core.form import Unknown, Unregistered, form_named, form_of
from omnireco._core.parts import Damaged, Scope
from omnireco._core.written import open_regular, replaced
from omnireco.errors import OmnirecoError, ParameterError, StorageError
from omnireco.files import kinds  # noqa: F401 - every kind of value makes itself known
from omnireco.files.archive import checksum as _checksum  # noqa: F401 - tests write hostile files with it
from omnireco.files.archive import read, read_mapped, write

__all__ = ["load", "save"]

_FORMAT, _VERSION = "omnireco", 2
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_. -]{0,80}")
_FIELDS = {"format", "version", "kind", "fields", "checksums"}

# What numpy, json, zipfile and the constructors of values raise on bytes that are not theirs.
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OmnirecoError,
)


def save(value: Any, path: str | os.PathLike[str]) -> Path:
    """Write a value to a file.

    Parameters
    ----------
    value : a value of omnireco
        Logs, audiences, catalogues, identities, matrices, requests, lists, candidates, plans, reports, rules,
        estimators and fitted models, empty ones too.
    path : str or path
        The file. One that exists is replaced, keeps its permissions, and is found behind a symbolic link. The usual
        ending is ``.omnireco``.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ParameterError
        When the value is of a kind that has no file form and of no class that :func:`register` knows, or its parts
        contradict one another: nothing is written that :func:`load` would refuse.
    StorageError
        When the file cannot be written; an older file stays as it was.

    Examples
    --------
    >>> import tempfile, omnireco as om
    >>> model = om.models.FactorModel.from_arrays([[1.0, 0.0], [0.0, 1.0]], items=["tea", "cup"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     om.load(om.save(model, folder + "/model.omnireco"))
    FactorModel(2 items, 2 factors)
    """
    target = _path(path, "save")
    try:
        form, parts = form_of(type(value)), Scope()
        form.write(parts, value)
        header = {"format": _FORMAT, "version": _VERSION, "kind": form.name, "fields": parts.fields}
        with replaced(target) as stream:
            write(stream, header, parts.arrays)
    except Unregistered as error:
        inside = "" if str(error) == type(value).__name__ else f" inside this {type(value).__name__}"
        raise ParameterError(
            f"save takes a value of omnireco or of a registered class. Got {error}{inside}. Register a class of your "
            f"own in one line: om.files.register({error}, parts={{...}}). Frames are written by their own library: "
            "frame.to_parquet(path)."
        ) from None
    except (Damaged, UnicodeError) as error:
        raise ParameterError(
            f"save takes a value of omnireco whose parts agree. Got {type(value).__name__}: {error}. Frames are "
            "written by their own library: frame.to_parquet(path)."
        ) from None
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"save: cannot write {target.name!r}: {error.strerror or error}.") from error
    return target


def load(path: str | os.PathLike[str]) -> Any:
    """Read a value written by :func:`save`.

    Parameters
    ----------
    path : str or path
        A regular file, or a symbolic link to one. No more than some megabytes beyond its size are taken, whatever it
        claims.

    Raises
    ------
    StorageError
        When there is no such file, or it is damaged, not omnireco's, holds what its kind of value cannot hold, holds a
        value of a class that nothing in this process has registered, or was written by a version with another format.

    Notes
    -----
    An untrusted file cannot run code, and cannot make compiled code read or write outside its arrays. Its *content*
    is not verified: consents, identities and weights are as true as whoever wrote them, and the
    checksums find damage, not forgery.
    """
    return _loaded(path, mapped=False)


def load_mapped(path: str | os.PathLike[str]) -> Any:
    """Return what :func:`load` returns, with arrays that lie in the mapped file: many processes share one copy."""
    return _loaded(path, mapped=True)


def _loaded(path: Any, *, mapped: bool) -> Any:
    target = _path(path, "load")
    try:
        with open_regular(target) as stream:
            if mapped:
                header, arrays = read_mapped(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            else:
                header, arrays = read(stream, os.fstat(stream.fileno()).st_size)
        return _value(header, arrays, target.name)
    except StorageError:
        raise
    except FileNotFoundError:
        raise StorageError(f"load: there is no file {target.name!r} in that folder.") from None
    except OSError as error:
        raise StorageError(f"load: cannot read {target.name!r}: {error.strerror or error}.") from None
    except Unknown as error:
        raise StorageError(_unknown(str(error), target.name)) from None
    except _DAMAGE as error:
        reason = str(error) if isinstance(error, (OmnirecoError, Damaged)) else type(error).__name__
        raise StorageError(
            f"load: {target.name!r} is damaged or not a file of omnireco ({reason}). Restore a copy, or save it again."
        ) from None


def _value(header: dict[str, Any], arrays: dict[str, Any], name: str) -> Any:
    """Return the value of a header and arrays, every one of which must belong to it."""
    if header.get("format") != _FORMAT or type(header.get("version")) is not int:
        raise Damaged("its header is another one")
    if header["version"] > _VERSION:
        raise StorageError(
            f"load: {name!r} has format version {header['version']}, and this one reads version {_VERSION}. "
            "Upgrade: pip install -U omnireco."
        )
    if header["version"] < _VERSION:
        raise StorageError(
            f"load: {name!r} has format version {header['version']}, and this one reads version {_VERSION}. Build it "
            "again from its frame, or fit the model again, and save it: what its parts mean has changed."
        )
    if set(header) != _FIELDS or type(header["fields"]) is not dict:
        raise Damaged("its header has other fields")
    value = form_named(header["kind"]).read(Scope(arrays, header["fields"]))
    if arrays:
        raise Damaged(f"it holds arrays that its kind has not: {', '.join(sorted(arrays)[:3])}")
    return value


def _unknown(kind: str, name: str) -> str:
    """Return what to do about a kind that nothing here has registered."""
    known = kind if _CLASS.fullmatch(kind) else "a kind without a proper name"
    return (
        f"load: {name!r} holds a value of the class {known}, which is none of omnireco's and not registered in this "
        f"process. Import the module that defines it and write om.files.register({known}) before loading; if there is "
        "no such class, the file is damaged or not a file of omnireco."
    )


def _path(path: Any, where: str) -> Path:
    """Return a path; what can be none is the caller's mistake."""
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(name, str) or "\0" in name:
        raise ParameterError(f"{where}: path must be a file's name, such as 'model.omnireco'. Got {shown(path)}.")
    return Path(path)
