"""Reading published pickles and PyTorch files without running what they hold.

A pickle is a program for a stack machine that may call anything. The machine here knows the
instructions of protocols 2 to 4 that published files use, and calls nothing: plain values are
Python's, numpy's scalars and arrays are built from an exact list of number formats, and instances
of classes that a caller expects are records of what was pickled. Everything else is refused.

What a file can take is bounded by its size: each instruction makes one small object, texts and
arrays have the length of the bytes at hand, and what holds itself, is nested deep or repeats its
parts without end is refused before anyone walks through it.
"""

from __future__ import annotations

import bz2
import io
import struct
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hwnas.data.pickled_numbers import NumberFormat, PickledArray, RefusedError, refuse
from hwnas.errors import DataFormatError

LARGEST_FILE = 256 << 20
"""Bytes of the largest file that is read; the largest published one has less than half of it."""
_MOST_INSTRUCTIONS = 20_000_000
_DEEPEST = 24


class Name(NamedTuple):
    """What a pickle refers to: a module and a name in it."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Recorded:
    """Stands for an instance of a class: what it was called with, and its attributes."""

    of: Name
    args: tuple[Any, ...]
    state: dict[str, Any] = field(default_factory=dict)


def load_pickle(
    path: Path, classes: Collection[tuple[str, str]] = (), *, packed: bool = False
) -> Any:
    """Read a pickle of plain values and numpy numbers.

    Args:
        path: the file.
        classes: (module, name) of classes whose instances are `Recorded`.
        packed: whether the file is packed by bzip2.

    Returns:
        Its object: lists, tuples, dicts, texts, bytes, numbers, numpy scalars and arrays. Ordered
        dicts are dicts.

    Raises:
        DataFormatError: the file is empty, cut off, too large or no pickle, or has anything else.
    """
    try:
        content = _content(path)
        return _Machine(_unpacked(content) if packed else content, classes).run()
    except (OSError, RefusedError) as error:
        raise _refusal(path, "pickle", error) from error


def load_torch(path: Path) -> Any:
    """Read a PyTorch file of plain values and numpy numbers; tensors are refused.

    Args:
        path: the file.

    Returns:
        Its object, as `load_pickle` gives it.

    Raises:
        DataFormatError: the file is empty, cut off, too large or no such file, or has anything
            else.
    """
    try:
        return _Machine(_pickle_of_torch(path), ()).run()
    except (OSError, RefusedError) as error:
        raise _refusal(path, "PyTorch file", error) from error


def _refusal(path: Path, kind: str, error: Exception) -> DataFormatError:
    return DataFormatError(
        f"`{path}` must be a complete {kind} of plain numbers, but reading it failed: {error}. "
        f"Fetch the file again."
    )


def _content(path: Path) -> bytes:
    if path.stat().st_size > LARGEST_FILE:
        refuse(f"it has more than {LARGEST_FILE} bytes")
    return path.read_bytes()


def _unpacked(content: bytes) -> bytes:
    """Give what bzip2 packed, up to the size of the largest file that is read."""
    machine = bz2.BZ2Decompressor()
    unpacked = machine.decompress(content, LARGEST_FILE + 1)
    if len(unpacked) > LARGEST_FILE:
        refuse(f"it unpacks to more than {LARGEST_FILE} bytes")
    if not machine.eof or machine.unused_data:
        refuse("it is not one whole file of bzip2")
    return unpacked


def _pickle_of_torch(path: Path) -> bytes:
    """Give the pickle in a PyTorch file, a zip archive of members that are not compressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(_content(path))) as archive:
            found = [m for m in archive.infolist() if m.filename.endswith("/data.pkl")]
            if len(found) != 1 or found[0].compress_type != zipfile.ZIP_STORED:
                refuse("it must have one data.pkl that is not compressed")
            return archive.read(found[0])
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        refuse(str(error) or type(error).__name__)


_DTYPE, _NDARRAY, _ENCODE, _ORDERED = (
    Name("numpy", "dtype"),
    Name("numpy", "ndarray"),
    Name("_codecs", "encode"),
    Name("collections", "OrderedDict"),
)
_PACKAGES = ("numpy.core.multiarray", "numpy._core.multiarray")
_SCALARS = {Name(package, "scalar") for package in _PACKAGES}
_ARRAYS = {Name(package, "_reconstruct") for package in _PACKAGES}
_ADMITTED = {_DTYPE, _NDARRAY, _ENCODE, _ORDERED} | _SCALARS | _ARRAYS


class _Machine:
    """Runs the instructions of one pickle."""

    def __init__(self, data: bytes, classes: Collection[tuple[str, str]]) -> None:
        self._data, self._at = data, 0
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._classes = {Name(*name) for name in classes}

    def run(self) -> Any:
        """Give the object; refuses all that is left over or not admitted."""
        data = self._data
        if data[:1] != b"\x80":
            refuse("it is no pickle of protocol 2 to 4, which is admitted alone")
        try:
            for _ in range(_MOST_INSTRUCTIONS):
                code = data[self._at]
                self._at += 1
                if code == _STOP:
                    return self._end()
                _INSTRUCTIONS[code](self)
        except KeyError:
            refuse(f"its instruction {code:#04x} at byte {self._at - 1} is not admitted")
        except (IndexError, struct.error):
            refuse("it is cut off, or no pickle")
        except UnicodeDecodeError as error:
            refuse(f"a text is damaged ({error})")
        refuse(f"it has more than {_MOST_INSTRUCTIONS} instructions")

    def _end(self) -> Any:
        if self._at != len(self._data) or self._marks or len(self._stack) != 1:
            refuse("it has more than one object")
        _measure(self._stack[0])
        return self._stack[0]

    def take(self, n: int) -> bytes:
        """Give the next `n` bytes."""
        start, self._at = self._at, self._at + n
        if self._at > len(self._data):
            raise IndexError
        return self._data[start : self._at]

    def number(self, layout: struct.Struct) -> Any:
        """Give the next number."""
        (value,) = layout.unpack_from(self._data, self._at)
        self._at += layout.size
        return value

    def line(self) -> str:
        """Give the text up to the end of the line."""
        end = self._data.find(b"\n", self._at, self._at + 200)
        if end < 0:
            raise IndexError
        return self.take(end + 1 - self._at)[:-1].decode()

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Take the last value from the stack."""
        return self._stack.pop()

    def mark(self) -> None:
        """Begin a list of values."""
        self._marks.append(self._stack)
        self._stack = []

    def items(self) -> list[Any]:
        """Give the values since the last mark."""
        items, self._stack = self._stack, self._marks.pop()
        return items

    def remember(self, index: int) -> None:
        """Keep the last value."""
        self._memo[index] = self._stack[-1]

    def remember_next(self) -> None:
        """Keep the last value under the next number."""
        self.remember(len(self._memo))

    def recall(self, index: int) -> None:
        """Push a value that was kept."""
        if index not in self._memo:
            refuse("it refers to what it does not have")
        value = self._memo[index]
        self.push(value.value if type(value) is PickledArray else value)

    def extend(self, items: list[Any]) -> None:
        """Add to the list on the stack."""
        if type(self._stack[-1]) is not list:
            refuse("it adds to what is no list")
        self._stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        """Add keys and values to the dict on the stack."""
        if type(self._stack[-1]) is not dict or len(items) % 2:
            refuse("it sets items of what is no dict")
        for key in items[::2]:
            plain = key if type(key) is tuple and len(key) <= 64 else (key,)
            if not all(type(part) in (str, int) for part in plain):
                refuse(f"a key of a dict is a {type(key).__name__}")
        self._stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def name(self, module: Any, name: Any) -> None:
        """Push a name, if it is admitted."""
        if not (isinstance(module, str) and isinstance(name, str)):
            refuse("a name is no text")
        found = Name(module, name)
        if found not in _ADMITTED and found not in self._classes:
            refuse(f"it names {found}, which is not admitted")
        self.push(found)

    def call(self) -> None:
        """Do what calling one of the admitted names would give."""
        args, called = self.pop(), self.pop()
        if type(called) is not Name or type(args) is not tuple:
            refuse("it calls what is not admitted")
        if called in self._classes:
            self.push(Recorded(called, args))
        elif called == _DTYPE and 0 < len(args) <= 3:
            self.push(NumberFormat(args[0]))
        elif called == _ORDERED and not args:
            self.push({})
        elif called == _ENCODE and len(args) == 2:
            self.push(_latin1(*args))
        elif called in _SCALARS and len(args) == 2:
            self.push(_scalar(*args))
        elif called in _ARRAYS and args and type(args[0]) is Name and args[0] == _NDARRAY:
            self.push(PickledArray())
        else:
            refuse(f"it calls {called} in a way that is not admitted")

    def build(self) -> None:
        """Give the last object its state."""
        state = self.pop()
        target = self._stack[-1]
        if type(target) is NumberFormat:
            target.build(state)
        elif type(target) is PickledArray:
            self._stack[-1] = target.build(state)
        elif type(target) is Recorded and type(state) is dict:
            target.state.update(state)
        else:
            refuse("it gives a state to what has none")


def _latin1(text: Any, encoding: Any) -> bytes:
    """Do what `_codecs.encode` is called for in old pickles."""
    if type(text) is not str or type(encoding) is not str or encoding not in ("latin1", "latin-1"):
        refuse(f"the encoding {encoding!r} is not admitted")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        refuse("a text stands for no bytes")


def _scalar(kind: Any, raw: Any) -> Any:
    """Give a numpy scalar of its bytes."""
    if (
        type(kind) is not NumberFormat
        or type(raw) is not bytes
        or len(raw) != kind.plain().itemsize
    ):
        refuse("a number has another number of bytes")
    return np.frombuffer(raw, kind.plain())[0]


def _whole_number(machine: _Machine) -> None:
    raw = machine.take(machine.number(_BYTE))
    if len(raw) > 8:
        refuse("a whole number has more than 64 bits")
    machine.push(int.from_bytes(raw, "little", signed=True))


def _measure(value: Any) -> None:
    """Refuse what holds itself, is nested deep, or has repeated parts beyond all bounds."""
    sizes: dict[int, int] = {}
    open_now: set[int] = set()

    def size(part: Any) -> int:
        if type(part) not in _CONTAINERS:
            return 1
        if (known := sizes.get(id(part))) is not None:
            return known
        if id(part) in open_now or len(open_now) >= _DEEPEST:
            refuse("it holds itself, or is nested too deep")
        open_now.add(id(part))
        total = 1 + sum(map(size, _parts(part)))
        open_now.remove(id(part))
        if total > _MOST_INSTRUCTIONS:
            refuse("its parts are repeated too often")
        sizes[id(part)] = total
        return total

    size(value)


_CONTAINERS = {list, tuple, dict, Recorded}


def _parts(value: Any) -> Collection[Any]:
    if type(value) is dict:
        return value.values()
    if type(value) is Recorded:
        return (value.args, value.state)
    parts: Collection[Any] = value
    return parts


_BYTE, _SHORT, _INT = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<i")
_LENGTH, _LENGTH8, _FLOAT = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct(">d")
_STOP = ord(".")


def _protocol(machine: _Machine) -> None:
    if not 2 <= (protocol := machine.number(_BYTE)) <= 4:
        refuse(f"its protocol {protocol} is not admitted")


def _tuple(length: int) -> Callable[[_Machine], None]:
    def instruction(machine: _Machine) -> None:
        machine.push(tuple([machine.pop() for _ in range(length)][::-1]))

    return instruction


def _text(layout: struct.Struct) -> Callable[[_Machine], None]:
    def instruction(machine: _Machine) -> None:
        machine.push(machine.take(machine.number(layout)).decode())

    return instruction


def _bytes(layout: struct.Struct) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.take(machine.number(layout)))


def _setitem(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.update([key, value])


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.name(module, name)


# The instructions as CPython's documentation of the format (`pickletools`) names them.
_INSTRUCTIONS: dict[int, Callable[[_Machine], Any]] = {
    0x80: _protocol,  # PROTO
    0x95: lambda m: m.number(_LENGTH8),  # FRAME
    ord("N"): lambda m: m.push(None),  # NONE
    0x88: lambda m: m.push(True),  # NEWTRUE
    0x89: lambda m: m.push(False),  # NEWFALSE
    ord("K"): lambda m: m.push(m.number(_BYTE)),  # BININT1
    ord("M"): lambda m: m.push(m.number(_SHORT)),  # BININT2
    ord("J"): lambda m: m.push(m.number(_INT)),  # BININT
    0x8A: _whole_number,  # LONG1
    ord("G"): lambda m: m.push(m.number(_FLOAT)),  # BINFLOAT
    0x8C: _text(_BYTE),  # SHORT_BINUNICODE
    ord("X"): _text(_LENGTH),  # BINUNICODE
    ord("C"): _bytes(_BYTE),  # SHORT_BINBYTES
    ord("B"): _bytes(_LENGTH),  # BINBYTES
    ord("]"): lambda m: m.push([]),  # EMPTY_LIST
    ord("}"): lambda m: m.push({}),  # EMPTY_DICT
    ord(")"): lambda m: m.push(()),  # EMPTY_TUPLE
    0x85: _tuple(1),  # TUPLE1
    0x86: _tuple(2),  # TUPLE2
    0x87: _tuple(3),  # TUPLE3
    ord("("): _Machine.mark,  # MARK
    ord("t"): lambda m: m.push(tuple(m.items())),  # TUPLE
    ord("a"): lambda m: m.extend([m.pop()]),  # APPEND
    ord("e"): lambda m: m.extend(m.items()),  # APPENDS
    ord("s"): _setitem,  # SETITEM
    ord("u"): lambda m: m.update(m.items()),  # SETITEMS
    ord("q"): lambda m: m.remember(m.number(_BYTE)),  # BINPUT
    ord("r"): lambda m: m.remember(m.number(_LENGTH)),  # LONG_BINPUT
    0x94: _Machine.remember_next,  # MEMOIZE
    ord("h"): lambda m: m.recall(m.number(_BYTE)),  # BINGET
    ord("j"): lambda m: m.recall(m.number(_LENGTH)),  # LONG_BINGET
    ord("c"): lambda m: m.name(m.line(), m.line()),  # GLOBAL
    0x93: _stack_global,  # STACK_GLOBAL
    ord("R"): _Machine.call,  # REDUCE
    0x81: _Machine.call,  # NEWOBJ
    ord("b"): _Machine.build,  # BUILD
}
