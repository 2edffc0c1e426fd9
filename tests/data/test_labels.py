"""Labels that differ in case, blanks or the way accents are written are one label, wherever labels are compared."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace

import pytest

from lfdm_diffusers.data.cache import ClipReader
from lfdm_diffusers.data.clips import Clip
from lfdm_diffusers.data.labels import known_as, normalized_label
from lfdm_diffusers.data.layouts import find_clips
from lfdm_diffusers.evaluation.judged import require_known_labels
from lfdm_diffusers.evaluation.sources import Generator
from lfdm_diffusers.evaluation.video_sets import VideoSet
from lfdm_diffusers.models import LabelEmbeddings
from lfdm_diffusers.training.clips import label_texts

pytestmark = pytest.mark.fast

E = unicodedata.normalize("NFD", "é")


def test_a_data_set_has_one_spelling_of_each_label(tmp_path):
    rows = ["a.mp4,Été", f"b.mp4,{E}t{E}", "c.mp4,ÉTÉ", "d.mp4,I Have Command", "e.mp4,i  have command", "f.mp4,"]
    (tmp_path / "metadata.csv").write_text("file_name,label\n" + "\n".join(rows), encoding="utf-8")
    clips = find_clips(tmp_path)
    assert [clip.label for clip in clips] == ["Été"] * 3 + ["I Have Command"] * 2 + [""]
    assert label_texts(clips) == ["I Have Command", "Été"]
    LabelEmbeddings(label_texts(clips), 4)  # which refuses labels that are the same


def test_letters_in_other_forms_are_the_same_letters():
    """Capitals that appear only where a form is resolved, such as the script H, become small too."""
    for text in ("\u210bappy", "\uff28appy", "HAP\u200bPY"):
        assert normalized_label(text) == "happy"


def test_a_word_means_the_label_that_is_known():
    """Whichever of its synonyms that is."""
    assert known_as("Smile", {"joy", "fear"}) == "joy" and known_as("smile", {"smile", "happiness"}) == "smile"
    assert known_as("smile", {"fear"}) is None and known_as("wave", {"fear"}) is None


def test_scores_compare_labels_as_the_model_does():
    clips = [Clip("a", "Happiness"), Clip("b", "happiness "), Clip("c", f"{E}t{E}")]
    labels = VideoSet(clips, ClipReader(8, 8), 2).labels
    assert labels == ["happiness", "happiness", "été"]  # groups of cFVD, and what accuracy goes by
    require_known_labels(["accuracy"], labels[:2])
    model = SimpleNamespace(
        sampling=SimpleNamespace(labels=True), pipe=SimpleNamespace(text_encoder=None, labels=["HAPPINESS", "Été"])
    )
    Generator.require_labels(model, ["Happiness", f"{E}t{E}"])
    with pytest.raises(ValueError, match=r"the model knows HAPPINESS, Été, and has no text encoder.*'fear'"):
        Generator.require_labels(model, ["fear", "happiness"])
