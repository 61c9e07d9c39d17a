"""What happens to files and texts: flipped bits, cuts, repetitions, huge numbers, deep nesting."""

from __future__ import annotations

import io
import random
import re
import zipfile
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_TOKENS = (
    b"nan", b"inf", b"-inf", b"-1", b"0", b"1e400", b"-0.0", b"9" * 400, b"2147483648", b"true",
    b"null", b"\x00", b"\xff\xfe", b'"', b"'", b",", b"\n", b"\r\n", b";", b"=", b"=1+1", b"@x",
    b"[red]", b"\x1b[2J", b"\xe2\x80\xae", b"~9", b"|", b"+", b"[" * 300, b"(" * 300,
    b'{"a":' * 300,
    b"../..", b"%s", b"{}", b":", b"://", b"me:secret@",
)  # fmt: skip


def mutate(content: bytes, seed: int) -> bytes:
    """Change a content one to four times; equal seeds give equal contents."""
    rng = random.Random(seed)
    if content.startswith(b"PK") and rng.random() < 0.7:
        return _inside(content, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_CHANGES)(content, rng)
    return content


def mutations(contents: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Give changed contents as a strategy of hypothesis."""
    return st.builds(mutate, st.sampled_from(list(contents)), st.integers(0, 2**32 - 1))


def _inside(content: bytes, rng: random.Random) -> bytes:
    """Change one member of an archive, whose checksums are right again."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        chosen = rng.choice(list(members))
        for name, member in members.items():
            new.writestr(name, mutate(member, rng.randrange(2**32)) if name == chosen else member)
    return stream.getvalue()


def _part(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(content))
    return start, min(len(content), start + rng.choice((1, 4, 30, 300)))


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 3)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randint(0, len(content))]


def _delete(content: bytes, rng: random.Random) -> bytes:
    start, end = _part(content, rng)
    return content[:start] + content[end:]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start, end = _part(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 50)) + content[end:]


def _swap(content: bytes, rng: random.Random) -> bytes:
    (a, b), (c, d) = sorted((_part(content, rng), _part(content, rng)))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randint(0, len(content))
    return content[:at] + rng.choice(_TOKENS) + content[at:]


def _replace_number(content: bytes, rng: random.Random) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return _insert(content, rng)
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(_TOKENS) + content[match.end() :]


def _digit(content: bytes, rng: random.Random) -> bytes:
    digits = [i for i, byte in enumerate(content) if 48 <= byte < 58]
    if not digits:
        return _flip(content, rng)
    at = rng.choice(digits)
    return content[:at] + b"%d" % rng.randrange(10) + content[at + 1 :]


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) > 1:
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[i], lines[j] = (lines[j], lines[i]) if rng.random() < 0.5 else (lines[j], lines[j])
    return b"".join(lines)


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _cut, _delete, _repeat, _swap, _insert, _replace_number, _replace_number, _digit, _digit,
    _lines,
)  # fmt: skip
