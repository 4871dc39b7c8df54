"""Save and load values in one safe file each: arrays plus a JSON header, never pickle.

The file is a zip of ``.npy`` arrays (NumPy's npz, without objects) and a header that names the format, its
version, the kind of value and a checksum per array. It is written under a temporary name and renamed, so a
reader never sees half a file; a damaged, foreign or newer file is a :class:`StorageError`, never a crash,
and loading never runs code.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omnireco._forms.kinds import forms
from omnireco._forms.parts import Reader, Writer
from omnireco.errors import OmnirecoError, ParameterError, StorageError

__all__ = ["load", "save"]


_FORMAT, _VERSION = "omnireco", 1


_HEADER = "header.json"


# What numpy, json and zipfile raise on bytes that are not theirs.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    EOFError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


def save(value: Any, path: str | os.PathLike[str]) -> Path:
    """Write a model, log, matrix, audience, catalogue, recommendations or plan to a file.

    Parameters
    ----------
    value : a value of omnireco
        Models, EventLog, MessageLog, Audience, Identities, Catalog, Interactions, Recommendations, Plan.
    path : str or path
        The file; replaced when it exists. The usual ending is ``.omnireco``.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ParameterError
        When the value is of a kind that has no file form.
    StorageError
        When the file cannot be written; an older file stays as it was.

    Examples
    --------
    >>> import tempfile, omnireco as om
    >>> model = om.FactorModel.from_arrays([[1.0, 0.0], [0.0, 1.0]], items=["tea", "cup"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     om.load(om.save(model, folder + "/model.omnireco"))
    FactorModel(2 items, 2 factors)
    """
    kind = next((name for name, form in forms().items() if type(value) is form.kind), None)
    if kind is None:
        raise ParameterError(
            f"save takes a model, log, matrix, audience, catalogue, lists or plan. Got {type(value).__name__}. "
            "Frames are written by their own library: frame.to_parquet(path)."
        )
    out = Writer()
    forms()[kind].pack(value, out)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": kind,
        "fields": out.fields,
        "checksums": {name: _checksum(array) for name, array in out.arrays.items()},
    }
    target = Path(path)
    try:
        _write(target, json.dumps(header, sort_keys=True).encode(), out.arrays)
    except OSError as error:
        raise StorageError(f"save: cannot write {target.name!r}: {error.strerror or error}.") from error
    return target


def load(path: str | os.PathLike[str]) -> Any:
    """Read a value written by :func:`save`.

    Raises
    ------
    StorageError
        When there is no such file, or it is damaged, not omnireco's, or written by a newer version.
    """
    target = Path(path)
    try:
        header, arrays = _read(target)
        return forms()[header["kind"]].unpack(Reader(header["fields"], arrays))
    except StorageError:
        raise
    except FileNotFoundError:
        raise StorageError(f"load: there is no file {target.name!r} in that folder.") from None
    except _DAMAGE as error:
        reason = str(error) if isinstance(error, OmnirecoError) else type(error).__name__
        raise StorageError(
            f"load: {target.name!r} is damaged or not a file of omnireco ({reason}). Restore a copy, or save it again."
        ) from None


def _write(target: Path, header: bytes, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a zip next to the target and rename it over the target."""
    handle, temporary = tempfile.mkstemp(prefix=target.name, suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_HEADER, header)
            for name, array in arrays.items():
                with archive.open(name + ".npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _read(target: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays of a file, checked against their checksums."""
    with zipfile.ZipFile(target) as archive:
        header = json.loads(archive.read(_HEADER))
        if header["format"] != _FORMAT:
            raise ValueError
        if header["version"] > _VERSION:
            raise StorageError(
                f"load: {target.name!r} has format version {header['version']}, and this one reads up to {_VERSION}. "
                "Upgrade: pip install -U omnireco."
            )
        arrays = {}
        for name, checksum in header["checksums"].items():
            with archive.open(name + ".npy") as entry:
                arrays[name] = np.lib.format.read_array(entry, allow_pickle=False)
            if _checksum(arrays[name]) != checksum:
                raise StorageError(f"load: {target.name!r} is damaged: a checksum differs. Restore it from a copy.")
    return header, arrays


def _checksum(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()
