"""Marks files as generated: IPTC's digital source type, where readers of each format look for it.

The EU's AI act (article 50) asks for a mark that machines can read. IPTC's Photo Metadata Standard has the property
`Iptc4xmpExt:DigitalSourceType` for it, in an XMP packet (ISO 16684-1). A GIF gets a comment, Matroska a tag.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import PIL.Image

from ..version import __version__

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMMENT = f"Digital source type: {SOURCE_TYPE}"
XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"
 xmp:CreatorTool="lfdm_diffusers {__version__}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()
XMP_BOX = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")  # XMP specification, part 3: ISO base media files
PNG_HEADER = 8 + 25  # bytes of the signature and of the chunk IHDR
BLOCK = 2**20  # bytes that are moved at once


def mark_file(path: Path, format: str) -> None:
    """Mark a finished file of a format of `write_clips`, in place; its pictures stay as they are.

    Args:
        path: the file; for "png" one PNG or a folder of them.
        format: "gif", "webp", "apng", "png", "mp4" or "mov". Matroska's ("webm", "mkv") tags are written with the file.
    """
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if format in _MARKS:
            with file.open("r+b") as opened:
                _MARKS[format](opened)


def _mark_gif(file: BinaryIO) -> None:
    """A comment extension before the trailer (GIF89a, 24)."""
    comment = COMMENT.encode()
    _insert(file, file.seek(0, os.SEEK_END) - 1, b"!\xfe" + bytes([len(comment)]) + comment + b"\0")


def _mark_png(file: BinaryIO) -> None:
    """International text of the keyword that XMP has, behind the header (PNG, 11.3.3.4; XMP, part 3): readers of an animation
    may stop at its first picture."""
    text = b"iTXt" + b"XML:com.adobe.xmp" + bytes(5) + XMP  # not compressed, no language, keyword not translated
    _insert(file, PNG_HEADER, struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text)))


def _mark_webp(file: BinaryIO) -> None:
    """A chunk "XMP " at the end, which the extended header announces (WebP container specification)."""
    file.seek(12)
    if file.read(4) == b"VP8X":
        file.seek(20)
        flags = file.read(1)[0]
        file.seek(20)
        file.write(bytes([flags | 0x04]))
    else:  # a single picture has no such header
        with PIL.Image.open(file) as picture:
            (width, height), alpha = picture.size, "A" in picture.getbands()
        file.seek(12)
        chunks = file.read()
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        file.seek(12)
        file.write(b"VP8X" + struct.pack("<I", 10) + bytes([0x04 | 0x10 * alpha, 0, 0, 0]) + sides + chunks)
    file.seek(0, os.SEEK_END)
    file.write(b"XMP " + struct.pack("<I", len(XMP)) + XMP + b"\0" * (len(XMP) % 2))
    size = file.tell() - 8
    file.seek(4)
    file.write(struct.pack("<I", size))


def _mark_boxes(file: BinaryIO) -> None:
    """A box of XMP after the others (ISO 14496-12, 11.1)."""
    file.seek(0, os.SEEK_END)
    file.write(struct.pack(">I", 24 + len(XMP)) + b"uuid" + XMP_BOX + XMP)


def _insert(file: BinaryIO, at: int, data: bytes) -> None:
    """Put `data` into a file; what follows moves back, the last block first."""
    end = file.seek(0, os.SEEK_END)
    while end > at:
        start = max(at, end - BLOCK)
        file.seek(start)
        block = file.read(end - start)
        file.seek(start + len(data))
        file.write(block)
        end = start
    file.seek(at)
    file.write(data)


_MARKS = {
    "gif": _mark_gif,
    "png": _mark_png,
    "apng": _mark_png,
    "webp": _mark_webp,
    "mp4": _mark_boxes,
    "mov": _mark_boxes,
}
