"""Finds, by a picture file's first bytes, which extra Pillow needs for it and whether it is HDR, which is not converted."""

from __future__ import annotations

import functools
import logging
import os

import PIL.features

from ..files.names import printable
from ..files.packed import open_file

AVIF_BRANDS = {b"avif", b"avis"}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # ITU-T H.273, table 3
VIDEO_STARTS = (b"\x1aE\xdf\xa3", b"FLV", b"\0\0\1\xba", b"\0\0\1\xb3")  # Matroska and WebM, Flash, MPEG
HEAD = 4096

logger = logging.getLogger(__name__)


def require_decoder(path: str | os.PathLike) -> None:
    """Make Pillow read the kind of picture that a file holds, if that takes an extra; warn of HDR, which is not converted.

    Raises:
        ValueError: saying what is to be done, if this installation cannot.
        OSError: if the file cannot be read.
    """
    with open_file(path) as file:
        head = file.read(HEAD)
    brands = _brands(head)
    if brands & AVIF_BRANDS:
        if not PIL.features.check("avif"):
            raise ValueError("it is AVIF, which needs Pillow 11.3 or newer; or save it as PNG or JPEG")
    elif brands & HEIF_BRANDS and not _reads_heif():
        raise ValueError(
            "it is HEIC, as iPhones save pictures: run `pip install lfdm_diffusers[heic]`, or save it as JPEG or PNG"
        )
    say_hdr(path, _transfer(head))


def why_no_picture(path: str | os.PathLike) -> str:
    """What a file is in which Pillow finds no picture, for the end of a sentence."""
    with open_file(path) as file:
        head = file.read(HEAD)
    if not head:
        return "it is empty"
    is_riff_video = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    is_iso_video = bool(_brands(head)) and not _brands(head) & (AVIF_BRANDS | HEIF_BRANDS)
    if is_riff_video or is_iso_video or head.startswith(VIDEO_STARTS):
        return "it is a video"
    return "it is damaged, or of a format that is not read; PNG, JPEG, WebP, GIF, TIFF, AVIF and others are"


def say_hdr(path: str | os.PathLike, transfer: int | None) -> None:
    """Warn, once a file, that a picture or video has more light than the colours that are made of it can show."""
    if transfer in HDR_TRANSFERS:
        _warn_once(printable(os.fspath(path)), HDR_TRANSFERS[transfer])


def _brands(head: bytes) -> set[bytes]:
    """Of an ISO media file (ISO/IEC 14496-12, 4.3); empty for others."""
    if head[4:8] != b"ftyp":
        return set()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}


def _transfer(head: bytes) -> int | None:
    """The transfer characteristics (ITU-T H.273) that a PNG (chunk cICP), AVIF or HEIC (box colr) names; None if it names none."""
    if head[:4] == b"\x89PNG" and (at := head.find(b"cICP")) > 0:
        return head[at + 5] if at + 5 < len(head) else None
    if head[4:8] == b"ftyp" and (at := head.find(b"colrnclx")) > 0:
        return int.from_bytes(head[at + 10 : at + 12], "big")
    return None


@functools.cache
def _reads_heif() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@functools.lru_cache(maxsize=1024)
def _warn_once(name: str, transfer: str) -> None:
    logger.warning(
        "%s is HDR (%s): its colours are taken as they are stored, paler than a screen shows them.", name, transfer
    )
