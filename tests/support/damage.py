"""Damage to files by hypothesis: bytes with a meaning in their formats, and a check of the error message."""

from hypothesis import strategies as st

# bytes with a meaning in some format: entry types, octal and binary sizes, magic numbers, ends of text
TELLING = [
    b"L",
    b"K",
    b"x",
    b"g",
    b"S",
    b"1",
    b"2",
    b"3",
    b"\0",
    b"77777777777\0",
    b"\x80" + bytes(10) + b"\1",
    b"\xff" * 12,
]
TELLING += [b"../", b"/", b"ustar  \0", b"PK\x05\x06", b"{", b"]", b"\n"]
edits = st.lists(st.tuples(st.integers(0, 4095), st.sampled_from(TELLING) | st.binary(max_size=12)), max_size=6)


def edited(content: bytes, changes) -> bytes:
    """``content`` with bytes replaced at the given offsets (modulo its length)."""
    result = bytearray(content)
    for at, new in changes:
        at %= max(1, len(result))
        result[at : at + len(new)] = new
    return bytes(result)


def one_line(error: BaseException) -> str:
    assert str(error).isprintable() and len(str(error)) < 500
    return str(error)
