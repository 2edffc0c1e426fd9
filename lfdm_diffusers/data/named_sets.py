"""Data sets by name: of the Hugging Face Hub, or local folders of the library `datasets`.

Files of clips (videos in folders, with metadata or without; tars) are downloaded into the Hub client's cache and read as any folder
is. Tables that hold the clips themselves (Parquet, Arrow) need the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from ..files.reading import why
from .clips import ClipList
from .dataset_rows import clips_in_rows, is_saved
from .folders import walk
from .suffixes import PICTURE_SUFFIXES, TAR_SUFFIX, VIDEO_SUFFIXES

CLIP_SUFFIXES = (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES, TAR_SUFFIX)
TABLE_SUFFIXES = (".parquet", ".arrow")


@dataclass(frozen=True)
class NamedSet:
    """Which data set.

    Attributes:
        name: Hub id, or a local folder.
        config: of those that it has; of files of clips, a folder in it.
        revision: branch, tag or commit on the Hub.
    """

    name: str
    config: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return self.name if self.config is None else f"{self.name} {self.config}"


def located(named: NamedSet, argument: str) -> Path | ClipList:
    """The folder of a data set's files, downloaded if it is on the Hub, or the clips in its tables.

    Args:
        argument: what errors call the data set's name.

    Raises:
        ValueError: if it is not there, or holds no clips.
    """
    folder = Path(named.name)
    if folder.is_dir():
        rows = in_tables(named, argument)
    elif folder.exists() or named.name.startswith((".", "/", "~")) or named.name.count("/") > 1:
        raise ValueError(f"`{argument}` must be a Hub id or a folder, got {named.name!r}, which is neither.")
    else:
        try:
            rows = in_tables(named, argument)
            offline = False
        except OSError as error:  # no such data set, no network, no permission
            offline = isinstance(error, OfflineModeIsEnabled) or getattr(error, "response", None) is None
            if not offline:
                raise not_had(named, argument, error) from error
            rows = False
        if not rows:
            try:
                folder = Path(
                    snapshot_download(
                        named.name,
                        repo_type="dataset",
                        revision=named.revision,
                        local_files_only=offline,
                        allow_patterns=f"{named.config}/*" if named.config else None,
                    )
                )
            except LocalEntryNotFoundError:
                rows = True  # the library has a cache of its own
            except OSError as error:
                raise ValueError(f"`{argument}` {named.name!r} cannot be downloaded: {why(error)}.") from error
    if rows:
        return clips_in_rows(named.name, named.config, named.revision)
    if named.config is not None and not (folder / named.config).is_dir():
        raise ValueError(f"`{argument}` {named.name!r} has no folder {named.config!r}.")
    return folder / named.config if named.config is not None else folder


def in_tables(named: NamedSet, argument: str) -> bool:
    """Whether the clips are in tables rather than in files of their own, by the files' names.

    Raises:
        OSError: if the Hub does not say.
        ValueError: if there are neither.
    """
    folder = Path(named.name)
    if folder.is_dir():
        if is_saved(folder):
            return True
        files = [str(file) for file in files_of(folder)]
    else:
        files = HfApi().list_repo_files(named.name, repo_type="dataset", revision=named.revision)
    suffixes = {PurePosixPath(file).suffix.lower() for file in files}
    if suffixes & set(CLIP_SUFFIXES):
        return False
    if suffixes & set(TABLE_SUFFIXES):
        return True
    raise ValueError(
        f"`{argument}` {named.name!r} holds neither clips, nor tars, nor tables: {', '.join(sorted(suffixes)) or 'nothing'}."
    )


def files_of(folder: Path) -> list[Path]:
    return [path / name for path, _, names in walk(folder) for name in names]


def not_had(named: NamedSet, argument: str, error: OSError) -> ValueError:
    """What to raise where the Hub refuses a data set."""
    return ValueError(f"`{argument}` {named.name!r} cannot be had from the Hub: {why(error)}.")
