"""Change a valid file where its format has meaning, so that damage gets past the first check.

A file that holds others (zip, safetensors, GLB, PNG, Parquet) is taken apart, changed in one part
and put together again with the right lengths and checksums.
"""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePath
from random import Random
from typing import Any

# What a number or a word of a text is replaced by.
VALUES = [
    *(b"nan", b"-nan(ind)", b"inf", b"-1.#INF", b"1e999", b"-1e999", b"1e-320", b"1e300", b"1e30"),
    *(b"-1", b"0", b"-0", b"1", b"2", b"1.5", b"255", b"65535", b"65536", b"2147483648", b"1e7"),
    *(b"4294967295", b"9223372036854775808", b"9" * 30, b"9" * 400, b"1." + b"0" * 400, b"-" * 9),
    *(b"0x10", b"1_000", b"1,5", b"1/0", b"0/0", "²".encode(), "٣".encode(), "½".encode(), b"1e"),
    *(b"", b"null", b"true", b"None", b"../x", b"/dev/zero", b".", b"\x1b[2J", b"\xff", b"\0"),
    *(b"two", b"hundred", b"thousand", b"point", b"and", b"a half", b"no", b"-", b"x" * 3000),
]
# What a value of JSON is replaced by.
JSON_VALUES = [
    *("NaN", "Infinity", "-1e999", "1e999", "null", "true", "[]", "{}", '""', '"x"', "-1", "0"),
    *("1.5", "1e300", "1e-320", "65536", "2147483648", "9223372036854775808", "9" * 50),
    *(
        '"\\ud800"',
        '"\\u0000"',
        '"../x"',
        '"/dev/zero"',
        '"\\u001b[2J"',
        "[[[]]]",
        "[1,2]",
        "[NaN]",
    ),
    *(
        '"' + "x" * 3000 + '"',
        "[" * 3000 + "]" * 3000,
        "[" * 200_000,
        '{"a":' * 100 + "1" + "}" * 100,
    ),
]
# What bytes are overwritten with, in both orders.
PACKED = [
    *(struct.pack("<I", n) for n in (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 65536, 10**6)),
    *(struct.pack(">I", n) for n in (1, 65536, 2**31 - 1)),
    *(struct.pack("<Q", n) for n in (1, 2**31, 2**40, 2**63, 2**64 - 1)),
    *(struct.pack("<f", x) for x in (float("nan"), float("inf"), -1.0, 1e30, 1e-40)),
    *(struct.pack("<d", x) for x in (float("nan"), float("inf"), 1e300)),
    *(b"\0", b"\xff", b"\0\0", b"\xff\xff", b"\0\x80", b"\0" * 64, b"\xff" * 64),
]
NEST = [b"[" * 3000, b"{a: " * 60, b'{"a":' * 3000, b"(" * 500, b"- " * 500, b"<" * 500]
# Lines of formats of geometry, and marks of YAML.
LINES = [
    *(b"f -1 -2 -3\n", b"v 1 2\n", b"l 1 2\n", b"usemtl\n", b"mtllib\n", b"Kd . 0 1\n", b"d\n"),
    *(b"element edge 5\n", b"element face 0\n", b"3 0 1 2\n", b"vertex 1 1 1\n", b"endsolid\n"),
    *(b"&a ", b"*a", b"<<: ", b"!!int ", b"? ", b"| ", b"> ", b"---\n", b"%YAML 1.1\n"),
    *(b": ", b"- ", b"~", b"yes", b"2020-99-99", b'"\\ud800"', b"/", b"//", b",", b";"),
    *(b"{", b"}", b"]"),
]
NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[^\s,;:\[\]{}\"'<>()]+")


def mutate(name: str, data: bytes, random: Random) -> bytes:
    """Return the changed content of a file.

    Args:
        name: the file's name, whose suffix tells its format.
        data: its content.
        random: the generator of a target.
    """
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        change = FORMATS.get(PurePath(name).suffix.lower(), _plain)
        if random.random() < 0.25:
            change = _plain
        try:
            data = change(data, random)
        except Exception:
            # An earlier change has made it a file that cannot be taken apart, in any of the ways
            # in which the libraries that do so fail.
            data = _plain(data, random)
    return data


def _plain(data: bytes, random: Random) -> bytes:
    """Change a text or bytes."""
    if not data:
        return random.choice([*VALUES, *PACKED])
    text = b"\0" not in data[:400]
    return random.choice(_TEXT if text else _BYTES)(data, random)


def _place(data: bytes, random: Random) -> int:
    """Return a position, in half of the cases near the start, where headers are."""
    return random.randrange(min(len(data), random.choice([64, 512, len(data) + 1])) or 1)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: _place(data, random)]


def _flip(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 8])):
        changed[_place(data, random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, random: Random) -> bytes:
    place, what = _place(data, random), random.choice(PACKED)
    # Most numbers of binary files lie at multiples of four bytes from the start or from the end.
    place -= (place - random.choice([0, len(data)])) % 4
    place = max(place, 0)
    return data[:place] + what + data[place + len(what) :]


def _insert(data: bytes, random: Random) -> bytes:
    place = _place(data, random)
    what = random.choice(
        [*VALUES, *PACKED, *NEST, *LINES, b"\n", b" ", b"\t", b'"', b"#", b"\r", b"\\\n"]
    )
    return data[:place] + what + data[place:]


def _delete(data: bytes, random: Random) -> bytes:
    place = _place(data, random)
    return data[:place] + data[place + random.choice([1, 4, 20, 200]) :]


def _repeat(data: bytes, random: Random) -> bytes:
    """Repeat a block in its place."""
    place, size = _place(data, random), random.choice([1, 12, 50, 300])
    return data[:place] + data[place : place + size] * random.choice([2, 3, 500]) + data[place:]


def _move(data: bytes, random: Random) -> bytes:
    """Copy a block to another place."""
    start, place, size = _place(data, random), _place(data, random), random.choice([4, 12, 50])
    return data[:place] + data[start : start + size] + data[place + size :]


def _number(data: bytes, random: Random) -> bytes:
    return _exchange(NUMBER, data, random)


def _word(data: bytes, random: Random) -> bytes:
    return _exchange(WORD, data, random)


def _exchange(pattern: re.Pattern[bytes], data: bytes, random: Random) -> bytes:
    """Replace a number or a word by a special one, or by another one of the file."""
    found = list(pattern.finditer(data, 0, 200_000))
    if not found:
        return _insert(data, random)
    # Half of the changes are among the first, which are headers and counts.
    one = random.choice(found[: random.choice([12, len(found)])])
    what = random.choice(VALUES) if random.random() < 0.6 else random.choice(found)[0]
    return data[: one.start()] + what + data[one.end() :]


def _lines(data: bytes, random: Random) -> bytes:
    """Remove, repeat, move or empty a line."""
    lines = data.split(b"\n")
    one, other = (random.randrange(min(len(lines), random.choice([12, 10**9]))) for _ in "ab")
    kind = random.randrange(5)
    if kind == 0:
        del lines[one]
    elif kind == 1:
        lines[one:one] = [lines[one]] * random.choice([1, 2, 300])
    elif kind == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 3:
        lines[one] = b""
    else:
        lines[one] += b" " + lines[other]
    return b"\n".join(lines)


def _encoding(data: bytes, random: Random) -> bytes:
    """Write a text in another encoding or with other ends of lines."""
    text = data.decode("latin-1")
    kind = random.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "\r", "\r\n", "\u2028"])
    if kind.startswith("utf"):
        return text.encode(kind)
    return text.replace("\n", kind).encode("utf-8")


_TEXT = [_cut, _flip, _insert, _delete, _repeat, _move, _lines, _lines, _encoding]
_TEXT += [_number, _number, _number, _word, _word]
_BYTES = [_cut, _flip, _overwrite, _overwrite, _overwrite, _insert, _delete, _repeat, _move]
_BYTES += [_number, _word]


def _json(data: bytes, random: Random) -> bytes:
    """Replace, remove, repeat, wrap or exchange a value, or write a key twice."""
    document = json.loads(data)
    places: list[tuple[Any, Any]] = []
    level = [document]
    while level:
        value = level.pop()
        if isinstance(value, dict | list):
            keys = list(value) if isinstance(value, dict) else range(len(value))
            places += [(value, key) for key in keys]
            level += [value[key] for key in keys]
    if not places:
        return _plain(data, random)
    holder, key = random.choice(places)
    raw, kind = random.choice(JSON_VALUES), random.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        other, other_key = random.choice(places)
        # A copy, because a list in itself cannot be written.
        holder[key] = json.loads(json.dumps(other[other_key]))
    elif kind == 2 and isinstance(holder, list):
        holder += [holder[key]] * random.choice([1, 2, 1000])
    elif kind == 3:
        holder[key] = [holder[key]]
    elif kind == 4 and isinstance(holder, dict):
        raw = f"{raw}, {json.dumps(key)}: {json.dumps(holder[key])}"
        holder[key] = "@raw@"
    elif kind == 5 and isinstance(holder, dict):
        holder[random.choice(["x", "", "\x1b[2J", key + " "])] = holder.pop(key)
    else:
        holder[key] = "@raw@"
    return json.dumps(document).replace('"@raw@"', raw).encode()


def _json_lines(data: bytes, random: Random) -> bytes:
    lines = data.rstrip(b"\n").split(b"\n")
    if random.random() < 0.2:
        return _lines(data, random)
    place = random.randrange(len(lines))
    lines[place] = _json(lines[place], random)
    return b"\n".join(lines) + b"\n"


def _zip(data: bytes, random: Random) -> bytes:
    """Change a member of an archive, its name, or how it is stored."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    place = random.randrange(len(members))
    name, content = members[place]
    kind = random.randrange(6)
    if kind == 0:
        members[place] = (_plain(name.encode(), random).decode("latin-1"), content)
    elif kind == 1:
        del members[place]
    elif kind == 2:
        members.append((name, random.choice(members)[1]))
    else:
        members[place] = (name, mutate(name, content, random))
    made = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),  # of a name that occurs twice
        zipfile.ZipFile(
            made, "w", random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
        ) as out,
    ):
        for name, content in members:
            out.writestr(name, content)
    return made.getvalue()


def _safetensors(data: bytes, random: Random) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    if random.random() < 0.7:
        header = _json(header, random)
        header += b" " * (-len(header) % 8)
    else:
        body = random.choice(_BYTES)(body, random)
    return len(header).to_bytes(8, "little") + header + body


def _glb(data: bytes, random: Random) -> bytes:
    size = int.from_bytes(data[12:16], "little")
    text, rest = data[20 : 20 + size], data[20 + size :]
    if random.random() < 0.75:
        text = _json(text, random)
        text += b" " * (-len(text) % 4)
    elif rest[8:]:
        body = random.choice(_BYTES)(rest[8:], random)
        rest = len(body).to_bytes(4, "little") + rest[4:8] + body
    chunk = len(text).to_bytes(4, "little") + data[16:20] + text
    return data[:8] + (12 + len(chunk) + len(rest)).to_bytes(4, "little") + chunk + rest


def _npy(data: bytes, random: Random) -> bytes:
    """Change the header, which is a Python literal of a known length."""
    size = int.from_bytes(data[8:10], "little")
    header = random.choice([_number, _word, _plain])(data[10 : 10 + size], random)[:60_000]
    if random.random() < 0.3:
        types = [b"<f2", b">f8", b"|b1", b"|O", b"<U5", b"<c16", b"<M8[s]", b"|V3", b"<i8", b"<f4"]
        header = re.sub(rb"'[<>|][^']*'", b"'" + random.choice(types) + b"'", header)
    return data[:8] + len(header).to_bytes(2, "little") + header + data[10 + size :]


def _png(data: bytes, random: Random) -> bytes:
    """Change, repeat or remove a chunk, with its checksum."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    one = random.randrange(len(chunks))
    kind, content = chunks[one]
    what = random.randrange(5)
    if what == 0:
        del chunks[one]
    elif what == 1:
        chunks.insert(random.randrange(len(chunks)), chunks[one])
    elif kind == b"IDAT" and what == 2:
        chunks[one] = (kind, zlib.compress(random.choice(_BYTES)(zlib.decompress(content), random)))
    elif content:
        chunks[one] = (kind, random.choice(_BYTES)(content, random))
    return data[:8] + b"".join(
        len(content).to_bytes(4, "big")
        + kind
        + content
        + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in chunks
    )


def _parquet(data: bytes, random: Random) -> bytes:
    """Change a column of a table, its name, its type, or its rows."""
    import pandas as pd

    table = pd.read_parquet(io.BytesIO(data))
    name = random.choice(list(table.columns))
    kind = random.randrange(8)
    if kind == 0:
        table = table.drop(columns=name)
    elif kind == 1:
        table = table.rename(columns={name: random.choice(["x", "Value", " value", "\x1b[2J"])})
    elif kind == 2:
        table = pd.concat([table, table.iloc[: random.choice([1, 5, 10**6])]])
    elif kind == 3:
        table = table.iloc[: random.choice([0, 1, 5])]
    elif kind == 4:
        other = random.choice(list(table.columns))
        table[name] = table[other]
    else:
        values = [float("nan"), float("inf"), -1, 0, 1e300, 2**62, 0.5, "x", "", None, "nan", True]
        column = table[name].astype(object)
        rows = slice(None) if kind == 5 else random.randrange(len(table))
        column.iloc[rows] = random.choice([*values, [1, 2], {"a": 1}, b"\xff", "\x1b[2J", "1"])
        table[name] = column
    made = io.BytesIO()
    try:
        table.to_parquet(made)
    except Exception:  # pyarrow cannot write a column of several types: write it as text
        table[name] = table[name].astype(str)
        made = io.BytesIO()
        table.to_parquet(made)
    return made.getvalue()


FORMATS: dict[str, Callable[[bytes, Random], bytes]] = {
    ".json": _json,
    ".gltf": _json,
    ".jsonl": _json_lines,
    ".npz": _zip,
    ".zip": _zip,
    ".npy": _npy,
    ".glb": _glb,
    ".png": _png,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
}
