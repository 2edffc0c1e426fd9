"""Numbers of an evaluation on frames that are made by hand: what is kept of a generated frame, compared, and left out."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import Clip, read_clip
from lfdm_diffusers.data.video_writing import write_clip
from lfdm_diffusers.evaluation import judged
from lfdm_diffusers.evaluation.full_size import FullSizeScores
from lfdm_diffusers.evaluation.generation import Sampling, generate_clips, plan_clips
from lfdm_diffusers.evaluation.reconstruction import reconstruction_pairs
from lfdm_diffusers.evaluation.video_sets import VideoSet, _webp_chunks
from lfdm_diffusers.pipelines import animating
from lfdm_diffusers.pipelines.checks import require_denoised


def grey(*values: int) -> np.ndarray:
    """A clip of 16x16 pixels with one grey in each frame."""
    return np.broadcast_to(np.array(values, dtype=np.uint8)[:, None, None, None], (len(values), 16, 16, 3)).copy()


def test_generated_frames_are_rounded_to_the_nearest_grey(tmp_path):
    write_clip(tmp_path / "real.mkv", grey(7, 8), "mkv", 8)
    real = VideoSet([Clip(tmp_path / "real.mkv", label="a", subject="b", num_frames=2)], ClipReader(16, 16), 2)

    def pipe(pictures, labels, **options):
        assert labels == ["a"] and int(pictures[0].float().mean()) == 7
        return SimpleNamespace(frames=torch.tensor([100.6, 100.4]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 16, 16) / 255)

    pipe.device = torch.device("cpu")
    generate_clips(pipe, real, plan_clips(real, 1), Sampling(), tmp_path / "made", {}, progress=False)
    assert np.array_equal(read_clip(tmp_path / "made" / "000000.mkv"), grey(101, 100))


def test_a_clip_that_comes_to_nan_is_named_and_the_others_are_written(tmp_path):
    """Of a batch of three the second; what was written is not made again by the next call."""
    clips = []
    for number, label in enumerate(("a", "b", "c")):
        write_clip(tmp_path / f"{label}.mkv", grey(20 * number, 8), "mkv", 8)
        clips.append(Clip(tmp_path / f"{label}.mkv", label=label, subject=label, num_frames=2))
    real, asked = VideoSet(clips, ClipReader(16, 16), 2), []

    def pipe(pictures, labels, **options):
        asked.append(labels)
        assert animating._UNJUDGED.get()  # whether pictures are known is not asked of every batch
        assert len(options["generator"]) == len(pictures) == len(labels)
        volumes = torch.tensor([float("nan") if label == "b" else 0.5 for label in labels])
        require_denoised(volumes.view(-1, 1), "DDIMScheduler")
        frames = torch.stack([picture[None].expand(2, -1, -1, -1) for picture in pictures])
        return SimpleNamespace(frames=frames.float() / 255)

    pipe.device = torch.device("cpu")
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"^1 of 3 clips .*: 000001\.mkv \(.*b\.mkv, label 'b'\)\. The others are in"
        ):
            generate_clips(pipe, real, plan_clips(real, 3), Sampling(), tmp_path / "made", {}, progress=False)
    assert asked == [["a", "b", "c"], ["a", "c"], ["b"]] and not animating._UNJUDGED.get()
    assert sorted(file.name for file in (tmp_path / "made").glob("*.mkv")) == ["000000.mkv", "000002.mkv"]
    assert np.array_equal(read_clip(tmp_path / "made" / "000002.mkv"), grey(40, 40))


def test_a_pair_is_the_first_frame_and_the_one_farthest_from_it(tmp_path):
    write_clip(tmp_path / "clip.mkv", grey(100, 90, 160, 20, 120), "mkv", 8)
    reference, driving = reconstruction_pairs([Clip(tmp_path / "clip.mkv")], ClipReader(16, 16), 1)
    assert reference.unique().item() == pytest.approx(100 / 255) and driving.unique().item() == pytest.approx(20 / 255)


def test_the_background_begins_a_few_pixels_from_the_person(monkeypatch):
    """What changes within `BORDER` pixels of the drawn person is no background; one pixel farther it is."""
    parts = np.zeros((2, 32, 32), dtype=np.uint8)
    parts[1, 10:20, 10:20] = 1  # in the second frame alone
    monkeypatch.setattr(
        judged, "drawn_again", lambda path: SimpleNamespace(parts=parts, part_names=["backdrop", "head"])
    )

    def score(top: int) -> dict[str, float]:
        """Of a clip that is black but for a white bar in its second frame, from row `top` down to the person."""

        class Bar(VideoSet):
            def frames(self, index: int) -> torch.Tensor:
                frames = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
                frames[1, :, top:20, 10:20] = 255
                return frames

        clips = Bar([Clip("clip.webp", label="anger", subject="0", num_frames=2)], ClipReader(32, 32), 2)
        return judged.background_score(clips, clips)

    assert score(10 - judged.BORDER)["value"] == 0
    outside = 2 * (32**2 - (10 + 2 * judged.BORDER) ** 2)  # pixels of both frames
    assert score(10 - judged.BORDER - 1)["value"] == pytest.approx(10 / outside)


def test_pictures_in_a_webp_file_stand_behind_chunks_of_odd_sizes():
    """A chunk of an odd size has a byte behind it that no size counts; so has one within a frame."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    frame = chunk(b"ANMF", bytes(16) + chunk(b"ALPH", b"odd") + chunk(b"VP8 ", b"lossy") + chunk(b"VP8L", b"lossless"))
    body = b"WEBP" + chunk(b"ICCP", b"odd") + frame
    assert _webp_chunks(b"RIFF" + struct.pack("<I", len(body)) + body) == {b"VP8 ", b"VP8L"}


def test_scores_of_full_size_frames():
    """Errors of a tenth where the truth moves, of a hundredth where it does not."""
    reference, target = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    target[..., :4] = 0.5
    frames = target + torch.where(target > 0, 0.1, 0.01)
    scores = FullSizeScores()
    scores.update(reference, target, frames)
    found = scores.compute()
    assert found["l1"] == pytest.approx(0.055) and found["l1_moving"] == pytest.approx(0.1)
    assert found["psnr"] == pytest.approx(-10 * np.log10((0.1**2 + 0.01**2) / 2), rel=1e-5)
    assert found["sharpness"] == pytest.approx(0.59 / 0.5)
    still = FullSizeScores()
    still.update(reference, target, reference)  # nothing moves in what was made
    assert still.compute()["l1_moving"] == pytest.approx(0.5)
