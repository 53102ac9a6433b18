"""Read arrays of MATLAB's files of versions 5 to 7; scipy reads them too, but a damaged one can crash the process.

References
----------
.. [1] MathWorks, *MAT-File Format*, "Level 5 MAT-File Format".
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from invrim.errors import FileError

_HEADER = 128
_TAG = 8
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
"""How an element's bytes are stored, by its type; not always as wide as the class of the array."""
_TEXTS = {1: "latin-1", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
_CHARACTERS = 4
_IS_COMPLEX = 0x0800


class _Element(NamedTuple):
    kind: int
    data: memoryview


def read_mat5(path: Path, require_plausible: Callable[[int], None]) -> dict[str, np.ndarray]:
    """Read the arrays of numbers by name, and those of text; cells, structures and objects are left where they are.

    Parameters
    ----------
    path
        The file.
    require_plausible
        Called with the bytes that a compressed array will have, before they are asked for.

    Raises
    ------
    FileError
        No such file, or a damaged one.
    """
    content = memoryview(path.read_bytes())
    marks = {b"IM": "<", b"MI": ">"}
    mark = bytes(content[_HEADER - 2 : _HEADER])
    if mark not in marks:
        raise FileError(
            f"{path}: expected a MATLAB file of version 5, 7 or 7.3, got another. Save it again with -v7 or -v7.3."
        )
    order = marks[mark]
    found = {}
    for element in _elements(content[_HEADER:], order):
        whole = element
        if element.kind == _COMPRESSED:
            whole = _inflated(element.data, order, require_plausible)
        named = _array(whole.data, order) if whole.kind == _MATRIX and len(whole.data) else None
        if named is not None:
            found[named[0]] = named[1]
    return found


def _elements(data: memoryview, order: str) -> Iterator[_Element]:
    """Cut bytes into elements: type and length, or both in four bytes and up to four of data behind them."""
    while len(data):
        if len(data) < _TAG:
            raise ValueError("cut short within an element's tag")
        kind, length = (int(n) for n in np.frombuffer(data[:_TAG], order + "u4"))
        if kind >> 16:
            kind, length, begin, size = kind & 0xFFFF, kind >> 16, _TAG // 2, _TAG
        else:
            begin, size = _TAG, _TAG + length + (0 if kind == _COMPRESSED else -length % _TAG)
        if begin + length > min(len(data), size):
            raise ValueError(f"an element of {length} bytes, where {len(data) - begin} are left")
        yield _Element(kind, data[begin : begin + length])
        data = data[size:]


def _inflated(data: memoryview, order: str, require_plausible: Callable[[int], None]) -> _Element:
    stream = zlib.decompressobj()
    tag = stream.decompress(data, _TAG)
    kind, length = (int(n) for n in np.frombuffer(tag, order + "u4"))
    require_plausible(length)
    content = stream.decompress(stream.unconsumed_tail, length) if length else b""
    beyond = stream.decompress(stream.unconsumed_tail, 1)  # checks the sum at the end, too
    if len(content) != length or beyond or not stream.eof:
        raise ValueError(f"{len(content)} bytes of a compressed array, where {length} were announced")
    return _Element(kind, memoryview(content))


def _array(data: memoryview, order: str) -> tuple[str, np.ndarray] | None:
    """Name and values of a matrix; None where it is no plain array."""
    flags, sizes, name, *parts = _elements(data, order)
    word = int(_values(flags, order)[0])
    shape = tuple(int(n) for n in _values(sizes, order))
    label = bytes(name.data).decode("latin-1")
    kind = word & 0xFF
    if kind == _CHARACTERS:
        return label, np.array(_text(parts[0], order) if parts else "")
    if kind not in _CLASSES:
        return None
    count = 2 if word & _IS_COMPLEX else 1
    real, *imaginary = (_numbers(part, shape, _CLASSES[kind], order) for part in parts[:count])
    if len(imaginary) != count - 1:
        raise ValueError(f"no imaginary part of {label}")
    return label, real + 1j * imaginary[0] if imaginary else real


def _numbers(element: _Element, shape: tuple[int, ...], stored_as: str, order: str) -> np.ndarray:
    values = _values(element, order)
    if min(shape, default=0) < 0 or prod(shape) != len(values):
        raise ValueError(f"{len(values)} values of an array {shape}")
    return values.astype(stored_as).reshape(shape, order="F")


def _values(element: _Element, order: str) -> np.ndarray:
    if element.kind not in _NUMBERS:
        raise ValueError(f"an element of type {element.kind}, where numbers were expected")
    return np.frombuffer(element.data, order + _NUMBERS[element.kind])


def _text(element: _Element, order: str) -> str:
    encoding = _TEXTS.get(element.kind, "latin-1")
    suffix = {"<": "-le", ">": "-be"}[order] if encoding in {"utf-16", "utf-32"} else ""
    return bytes(element.data).decode(encoding + suffix, errors="replace")
