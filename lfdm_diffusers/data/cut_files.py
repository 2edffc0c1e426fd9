"""Finds clip files that were cut off, by the sizes they state, without decoding.

Decoders read a file that was cut off as a shorter clip. Nearly every container states how large its parts are, and a file that
ends inside one of them is not whole.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..files.packed import Packed, open_file

CUT_OFF = "it is cut off"
MP4_BOXES = {
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"meta", b"sidx", b"mfra",
    b"udta", b"pdin", b"emsg", b"prft", b"junk",
}  # fmt: skip
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def missing_bytes(path: Path | Packed) -> int | None:
    """How many bytes, at least, a file lacks of what it says it has.

    Returns:
        0 if it is whole; None if such a file does not say (MPEG streams, a live recording, anything unknown).
    """
    with open_file(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(256 * 3)
        for begins, end_of in KINDS:
            if begins(head):
                try:
                    end = end_of(file, size)
                except (struct.error, IndexError):  # it ends inside of a header
                    return 1
                return None if end is None else max(0, end - size)
    return None


def _riff_end(file: BinaryIO, size: int) -> int | None:
    """AVI (of several RIFF chunks, if large) and WebP."""
    at = 0
    while at + 8 <= size:
        name, length = struct.unpack("<4sI", _read(file, at, 8))
        if name != b"RIFF":  # something follows the last
            return at
        if length in (0, 0xFFFFFFFF):  # a recording that was never finished
            return None
        at += 8 + length
        padded = at + at % 2
        at = padded if padded < size else at
    return at


def _matroska_end(file: BinaryIO, size: int) -> int | None:
    """An EBML header, then a segment (RFC 8794 and 9559)."""
    at = 4
    length, at = _ebml_number(file, at)
    if length is None:
        return None
    at += length
    if _read(file, at, 4) != b"\x18\x53\x80\x67":
        return None
    length, at = _ebml_number(file, at + 4)
    return None if length is None else at + length


def _ebml_number(file: BinaryIO, at: int) -> tuple[int | None, int]:
    """A size, None if unknown, and where it ends."""
    first = _read(file, at, 1)[0]
    count = 9 - first.bit_length()  # of bytes: the leading zero bits and one
    if count > 8:
        return None, at + 1
    number = int.from_bytes(_read(file, at, count), "big") & ((1 << 7 * count) - 1)
    return (None if number == (1 << 7 * count) - 1 else number), at + count


def _mp4_end(file: BinaryIO, size: int) -> int | None:
    """Boxes one after the other (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= size:
        length, name = struct.unpack(">I4s", _read(file, at, 8))
        if name not in MP4_BOXES:  # something follows the last
            return at
        if length == 1:
            (length,) = struct.unpack(">Q", _read(file, at + 8, 8))
        if length == 0:  # to the end of the file, wherever that is
            return None
        if length < 8:
            return at
        at += length
    return at


def _asf_end(file: BinaryIO, size: int) -> int | None:
    """Objects one after the other, a GUID and a size each; a live stream's data have none."""
    at = 0
    while at + 24 <= size:
        (length,) = struct.unpack("<Q", _read(file, at + 16, 8))
        if length < 24:
            return None
        at += length
    return at


def _flash_end(file: BinaryIO, size: int) -> int | None:
    """Tags one after the other; a file cut between two seems whole."""
    at = 9 + 4
    while at + 11 <= size:
        at += 11 + int.from_bytes(_read(file, at + 1, 3), "big") + 4
    return at if at >= size else at + 11


def _ogg_end(file: BinaryIO, size: int) -> int | None:
    """Pages one after the other (RFC 3533); the last of a whole file says that it is."""
    at, flags = 0, 0
    while at + 27 <= size:
        head = _read(file, at, 27)
        if head[:4] != b"OggS":
            return None
        flags = head[5]
        at += 27 + head[26] + sum(_read(file, at + 27, head[26]))
    if at > size:
        return at
    return at if flags & 4 else None


def _program_end(file: BinaryIO, size: int) -> int | None:
    """Packs and packets of MPEG-1 and 2, one after the other (ISO/IEC 13818-1, 2.5.3); a file cut between two seems whole."""
    at = 0
    while at + 6 <= size:
        code, length = struct.unpack(">IH", _read(file, at, 6))
        if code == 0x1BA:  # a pack; 01 begins that of MPEG-2, which says how much stuffing follows
            at += 14 + (_read(file, at + 13, 1)[0] & 7) if length >> 14 == 1 else 12
        elif 0x1BB <= code <= 0x1FF:
            at += 6 + length
        else:  # the end, or zeros behind it
            return None
    return at if at > size else None


def _transport_end(length: int) -> Callable[[BinaryIO, int], int | None]:
    """Packets of one length; a file cut between two seems whole."""
    return lambda file, size: size + length - size % length if size % length else None


def _png_end(file: BinaryIO, size: int) -> int | None:
    at, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", _read(file, at, 8))
        at += 12 + length
    return at


def _gif_end(file: BinaryIO, size: int) -> int | None:
    """Blocks one after the other. Some writers leave out the last, the trailer: a file that ends between two is taken for whole."""

    def table(flags: int) -> int:
        return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0

    def after_parts(at: int) -> int:
        while length := _read(file, at, 1)[0]:
            at += 1 + length
        return at + 1

    at = 13 + table(_read(file, 10, 1)[0])
    while at < size:
        kind = _read(file, at, 1)
        if kind == b"!":
            at = after_parts(at + 2)
        elif kind == b",":
            at = after_parts(at + 10 + table(_read(file, at + 9, 1)[0]) + 1)
        else:  # the trailer, or what follows it
            break
    return at


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    """`count` bytes from `at`; struct.error if the file ends before."""
    file.seek(at)
    data = file.read(count)
    if len(data) < count:
        raise struct.error
    return data


def _packets(length: int, offset: int = 0) -> Callable[[bytes], bool]:
    return lambda head: len(head) > offset + 2 * length and all(head[offset + i * length] == 0x47 for i in range(3))


KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, int], int | None]], ...] = (
    (lambda head: head[:4] == b"RIFF", _riff_end),
    (lambda head: head[:4] == b"\x1a\x45\xdf\xa3", _matroska_end),
    (lambda head: head[4:8] in MP4_BOXES, _mp4_end),
    (lambda head: head[:16] == ASF_HEADER, _asf_end),
    (lambda head: head[:3] == b"FLV", _flash_end),
    (lambda head: head[:4] == b"OggS", _ogg_end),
    (lambda head: head[:4] == b"\0\0\1\xba", _program_end),
    (lambda head: head[:8] == b"\x89PNG\r\n\x1a\n", _png_end),
    (lambda head: head[:4] == b"GIF8", _gif_end),
    (_packets(188), _transport_end(188)),
    (_packets(192, 4), _transport_end(192)),
    (_packets(204), _transport_end(204)),
)
