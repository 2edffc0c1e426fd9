"""Pushes to the Hub: a finished folder, or a model or pipeline with a filled card."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from diffusers.utils import PushToHubMixin
from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, ModelCard, file_exists, upload_folder
from huggingface_hub.errors import HfHubHTTPError

from .cards import CardFacts
from .eval_results import FOLDER as EVAL_RESULTS
from .eval_results import plain_results

CARD = "README.md"
HIDDEN = [".*", "*/.*"]  # as fnmatch has it, where * goes over slashes


def require_inside(folder: Path) -> None:
    """Refuse a folder of which a link leads to what is elsewhere or hidden: that would be published too.

    Raises:
        ValueError: naming the link.
    """
    root = folder.resolve()
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))  # the others stay here, links and all
        for path in (Path(parent, name) for name in (*names, *sorted(files)) if not name.startswith(".")):
            if not path.is_symlink():
                continue
            target = Path(os.path.realpath(path))
            if root not in target.parents:
                raise ValueError(
                    f"{path} is a link out of the folder, to what is not meant to be pushed; put a copy in its place."
                )
            if any(part.startswith(".") for part in target.relative_to(root).parts):
                raise ValueError(
                    f"{path} is a link to what is hidden and not meant to be pushed; put a copy in its place."
                )


Save = TypeVar("Save", bound=Callable[..., None])


@contextlib.contextmanager
def _explained_refusals() -> Iterator[None]:
    """Say what to do where the Hub only says "unauthorized" or "forbidden"."""
    try:
        yield
    except HfHubHTTPError as error:
        advice = {
            401: "Pushing needs a token: log in with `hf auth login`, set HF_TOKEN, or pass `token`.",
            403: "This token may not write there: use one with the right to write, or another `repo_id`.",
        }.get(getattr(error.response, "status_code", 0))
        if advice and advice not in str(error):
            error.append_to_message("\n" + advice)
        raise


def push_folder(
    folder: str | os.PathLike,
    repo_id: str,
    token: str | None = None,
    private: bool = False,
    message: str | None = None,
) -> str:
    """Upload a finished folder to a Hub repository, made if need be, in one commit; returns its address.

    Hidden files, such as .env and what a killed writer left, stay here, but for scores (`hub.eval_results`), which are a second commit.

    Raises:
        ValueError: if a link leads out of the folder.
        ConnectionError: if that fails; says what to do about a token. The folder stays, and the repository is as it was.
    """
    require_inside(Path(folder))
    scores = plain_results(Path(folder))
    api = HfApi(token=token)
    try:
        with _explained_refusals():
            repo = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo.repo_id, folder_path=os.fspath(folder), commit_message=message, ignore_patterns=HIDDEN
            )
            if scores:
                added = [CommitOperationAdd(f"{EVAL_RESULTS}/{path.name}", path) for path in scores]
                api.create_commit(repo.repo_id, added, commit_message="Scores")
    except Exception as error:  # of whichever HTTP library the Hub client uses
        raise ConnectionError(f"{folder} is complete, but the push to {repo_id} failed: {error}") from error
    return str(repo)


def keeping_card(save_pretrained: Save) -> Save:
    """`save_pretrained` that leaves a folder's README.md as it is; diffusers writes its own there before a push."""

    # diffusers reads the signature to learn what it may pass on, hence `wraps`.
    @functools.wraps(save_pretrained)
    def wrapper(self: FilledCardMixin, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        if os.path.isfile(save_directory):
            raise ValueError(f"`save_directory` must be a folder, got the file {os.fspath(save_directory)!r}.")
        readme = Path(save_directory, CARD)
        card = readme.read_bytes() if readme.is_file() else None
        self._folder_card = card
        try:
            with _explained_refusals():
                return save_pretrained(self, str(save_directory), *args, **kwargs)
        finally:
            self._folder_card = None
            if card is None:
                readme.unlink(missing_ok=True)
            elif not readme.is_file() or readme.read_bytes() != card:
                readme.write_bytes(card)

    return cast(Save, wrapper)


class FilledCardMixin(PushToHubMixin):
    """Pushes a filled card where diffusers would push a stock text.

    A card that a person wrote stays: first the folder's, then the repository's, and only then is one made by `card`.
    """

    _folder_card: bytes | None = None

    def card(self, *, repo_id: str | None = None, facts: CardFacts | None = None) -> ModelCard:
        """The card, filled from what the object says of itself; see `HubModel.card`."""
        raise NotImplementedError

    def _upload_folder(
        self,
        working_dir: str | os.PathLike,
        repo_id: str,
        token: str | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        subfolder: str | None = None,
    ) -> CommitInfo:
        """As diffusers', but that links out of the folder are refused, and hidden files stay here."""
        require_inside(Path(working_dir))
        if not subfolder:
            readme = Path(working_dir, CARD)
            if self._folder_card is not None:
                readme.write_bytes(self._folder_card)
            elif not file_exists(repo_id, CARD, token=token):
                self.card(repo_id=repo_id).save(readme)
        try:
            return upload_folder(
                repo_id=repo_id,
                folder_path=Path(working_dir),
                token=token,
                commit_message=commit_message or f"Upload {type(self).__name__}",
                create_pr=create_pr,
                path_in_repo=subfolder,
                ignore_patterns=HIDDEN,
            )
        except (HfHubHTTPError, ValueError, TypeError):
            raise
        except Exception as error:
            raise ConnectionError(
                f"The upload to {repo_id!r} broke off: {error} The Hub commits all files together or none, so the "
                "repository is not left half-written; push again."
            ) from error

    def push_to_hub(self, repo_id: str, *args: Any, **kwargs: Any) -> str:
        """Push as diffusers does, with a filled card; see `save_pretrained`.

        Raises:
            HfHubHTTPError: if the Hub refuses; says what to do about a token.
            ConnectionError: if the upload breaks off; the repository is then as it was.
        """
        with _explained_refusals():
            return super().push_to_hub(repo_id, *args, **kwargs)
