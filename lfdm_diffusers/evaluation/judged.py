"""Scores by small networks that judge clips: labels of any data set, who it is, timing and backgrounds of drawn ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F

from ..data.people.expressions import LABELS as PEOPLE_LABELS
from ..data.suffixes import PEOPLE_SETTINGS, TOON_FACES_SETTINGS, is_drawn
from ..data.toon_faces import LABELS
from ..data.toon_faces.redrawing import drawn_again
from ..metrics import (
    ExpressionJudge,
    FlowJudge,
    LabelJudge,
    RunningMean,
    confusion_matrix,
    expression_timing,
    identity_retrieval,
    identity_similarity,
    label_accuracy,
    load_judge,
    motion_profile,
)
from ..metrics.toon_judges import ExpressionJudgement
from .scores import Rules, distance_with_spread, places_by_source
from .video_sets import VideoSet

NEUTRAL = "neutral"
SURE = 0.9  # the probability from which on an answer of the judge counts as sure
BORDER = 4  # pixels around a person that are no background


def is_of_toon_faces(real: VideoSet) -> bool:
    """Whether real clips are drawn faces with their expressions, which judges of this package know."""
    return _are_of(real, TOON_FACES_SETTINGS, LABELS)


def is_of_people(real: VideoSet) -> bool:
    """Whether real clips are rendered people's faces with their expressions, which judges of this package know."""
    return _are_of(real, PEOPLE_SETTINGS, PEOPLE_LABELS)


def _are_of(real: VideoSet, settings: str, labels: Sequence[str]) -> bool:
    return all(is_drawn(clip.path, settings) for clip in real.clips) and set(real.labels) <= set(labels)


def identity_judge(real: VideoSet) -> Literal["identity", "people-identity"]:
    """Which of the package's judges knows who is in real clips.

    Raises:
        ValueError: if none does.
    """
    if is_of_toon_faces(real):
        return "identity"
    if is_of_people(real):
        return "people-identity"
    raise ValueError(
        "identity needs a judge of who is in a clip; the package's know clips of `lfdm data toon-faces` and of `lfdm data people`, "
        "their expressions."
    )


def require_judgeable(names: Sequence[str], real: VideoSet, known: Sequence[str] = LABELS) -> None:
    """Refuse clips that the judges know nothing about, before anything is generated.

    Args:
        names: of scores.
        real: the clips.
        known: labels that the judge of accuracy knows.

    Raises:
        ValueError: for labels that the judge does not know, clips without a subject, people whom no judge knows, or, for the
            background, clips that cannot be drawn again at the model's size.
    """
    require_known_labels(names, real.labels, known)
    for name in ("identity", "background"):
        if name in names and not all(real.subjects):
            raise ValueError(f"{name} needs the subject of every real clip; {real.subjects.count('')} have none.")
    of_toons = [name for name in ("expression", "timing", "background") if name in names]
    if of_toons and not is_of_toon_faces(real):
        raise ValueError(
            f"{' and '.join(of_toons)} need clips of `lfdm data toon-faces`, which alone their judge knows."
        )
    if "identity" in names:
        identity_judge(real)
    if "background" in names:
        height, width = drawn_again(real.clips[0].path).parts.shape[1:]
        if (height, width) != (real.reader.height, real.reader.width):
            raise ValueError(
                f"background needs clips of the model's {real.reader.width}x{real.reader.height} pixels; those of the data have "
                f"{width}x{height}."
            )


def require_known_labels(names: Sequence[str], labels: Sequence[str], known: Sequence[str] = LABELS) -> None:
    """Raise a ValueError if a score of `names` goes by labels, and its judge does not know one of `labels`; `known` are those
    that the judge of accuracy knows."""
    if "accuracy" in names and (unknown := sorted(set(labels) - set(known))):
        raise ValueError(
            f"accuracy needs a judge that knows the labels; this one knows {', '.join(known)}, not "
            f"{', '.join(map(repr, unknown))}. `judge` train makes one of the training clips."
        )
    of_toons = [name for name in ("expression", "timing") if name in names]
    if of_toons and (unknown := sorted(set(labels) - set(LABELS))):
        raise ValueError(
            f"{' and '.join(of_toons)} need the judge of toon faces, which knows {', '.join(LABELS)}, not "
            f"{', '.join(map(repr, unknown))}."
        )


@torch.no_grad()
def judge_scores(
    names: Sequence[str],
    rules: Rules,
    real: VideoSet,
    generated: VideoSet,
    sources: Sequence[int],
    label_judge: LabelJudge | FlowJudge | None = None,
) -> dict[str, Any]:
    """Those of the scores below that `names` asks for.

    Args:
        names: of scores.
        rules: of distances.
        real, generated: the clips.
        sources: the real clip that each generated one is made from.
        label_judge: of accuracy; None is that of toon faces.
    """
    found: dict[str, Any] = {}
    require_known_labels(names, generated.labels, label_judge.labels if label_judge else LABELS)
    labels = [generated.labels, real.labels]
    if "accuracy" in names and label_judge is not None:
        found["accuracy"] = trained_accuracy(label_judge, (generated, real), labels, rules.batch_size)
    by_expression = {"expression", "timing"} | ({"accuracy"} if label_judge is None else set())
    if by_expression & set(names):
        judge = load_judge("expression")
        seen = [judged(judge, clips.batches(rules.batch_size)) for clips in (generated, real)]
        if "accuracy" in names and label_judge is None:
            found["accuracy"] = accuracy_score(judge.labels, [each.logits for each in seen], labels)
            found["accuracy"]["judge"] = "expression"
        if "expression" in names:
            made, true = seen
            found["expression"] = distance_with_spread(rules.frechet, made.features, true.features, rules)
            found["expression"]["judge"] = "expression"
        if "timing" in names:
            found["timing"] = timing_score(judge, seen, (generated, real), sources, rules.batch_size)
    if "identity" in names:
        found["identity"] = identity_score(real, generated)
    if "background" in names:
        found["background"] = background_score(real, generated)
    return found


def judged(judge: ExpressionJudge, batches: Iterable[torch.Tensor]) -> ExpressionJudgement:
    """What the judge says of all clips of `batches`, `(B, F, 3, H, W)` uint8."""
    parts = [judge(batch.float() / 255) for batch in batches]
    fields = ("logits", "strength", "features")
    return ExpressionJudgement(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))


def accuracy_score(
    known: Sequence[str], logits: Sequence[torch.Tensor], labels: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Share of clips that a judge calls by their label, of generated and of real ones; by label too.

    `sure` counts only answers of a probability of `SURE`; `probability` is the label's mean probability; `confusion` has
    a row for each label asked for and a column for each label seen.

    Args:
        known: the judge's labels, in the order of its logits.
        logits, labels: of the generated and of the real clips, `(N, labels)` and N.
    """
    found: dict[str, Any] = {}
    for name, each, asked in zip(("", "real_"), logits, labels):
        truth = torch.tensor([known.index(label) for label in asked])
        probabilities = each.softmax(dim=1)
        most, predicted = probabilities.max(dim=1)
        matrix = confusion_matrix(predicted, truth, len(known))
        found |= {
            f"{name}value": label_accuracy(predicted, truth),
            f"{name}groups": {
                label: (matrix[i, i] / matrix[i].sum()).item() for i, label in enumerate(known) if matrix[i].sum()
            },
            f"{name}sure": ((predicted == truth) & (most >= SURE)).double().mean().item(),
            f"{name}probability": probabilities.gather(1, truth[:, None]).mean().item(),
            f"{name}confusion": matrix.tolist(),
        }
    return found


def trained_accuracy(
    judge: LabelJudge | FlowJudge, clips: Sequence[VideoSet], labels: Sequence[Sequence[str]], batch_size: int
) -> dict[str, Any]:
    """`accuracy_score` by a judge that was trained for these labels, and `first_frame`: the share of real clips that it calls
    by their label if it sees their first frames alone, repeated. What the picture tells, no model need move for.

    Args:
        judge: of the labels.
        clips, labels: generated ones, and real ones that the judge has not seen.
        batch_size: clips at once.
    """
    generated, real = clips
    made = torch.cat([judge(part.float() / 255) for part in generated.batches(batch_size)])
    shown = [  # of real clips, whole and still
        (judge(part), judge(part[:, :1].expand_as(part)))
        for part in (x.float() / 255 for x in real.batches(batch_size))
    ]
    true, still = map(torch.cat, zip(*shown))
    found = accuracy_score(judge.labels, [made, true], labels)
    truth = torch.tensor([judge.labels.index(label) for label in labels[1]])
    found["first_frame"] = label_accuracy(still.argmax(dim=1), truth)
    found["judge"] = f"trained on {judge.facts['training_clips']} clips"
    return found


def timing_score(
    judge: ExpressionJudge,
    seen: Sequence[ExpressionJudgement],
    clips: Sequence[VideoSet],
    sources: Sequence[int],
    batch_size: int = 8,
) -> dict[str, Any]:
    """How differently timed two clips of one picture and label are: mean difference of their onsets, in frames.

    Onset and offset are where the strength of the expression crosses half of its largest value; neutral clips are left
    out. `real` is the same of two takes of each person, where the data set's own drawing can make the other take.

    Args:
        judge: of expressions.
        seen, clips: what it says of the generated and of the real clips, and these.
        sources: the real clip that each generated one is made from; the first two of each are compared.
        batch_size: clips at once.
    """
    (generated_seen, real_seen), (generated, real) = seen, clips
    pairs = torch.tensor([places[:2] for places in places_by_source(sources)])  # (N, 2)
    profiles = torch.cat([motion_profile(batch.float() / 255) for batch in generated.batches(batch_size)])
    expressive = torch.tensor([generated.labels[first] != NEUTRAL for first, _ in pairs.tolist()])
    found: dict[str, Any] = pair_timing(*(generated_seen.strength[pairs[:, i]][expressive] for i in (0, 1)))
    found["profile_correlation"] = correlation(*(profiles[pairs[:, i]] for i in (0, 1)))
    found["judge"] = "expression"
    if (others := other_takes(real)) is not None:
        takes = (torch.cat(list(real.batches(batch_size))), others)
        expressive = torch.tensor([label != NEUTRAL for label in real.labels])
        strengths = (real_seen.strength, judged(judge, others.split(batch_size)).strength)
        between_takes = pair_timing(*(strength[expressive] for strength in strengths))
        of_takes = [
            torch.cat([motion_profile(part.float() / 255) for part in take.split(batch_size)]) for take in takes
        ]
        between_takes["profile_correlation"] = correlation(*of_takes)
        found |= {"real_value": between_takes["value"], "real": between_takes}
    return found


def pair_timing(one: torch.Tensor, two: torch.Tensor) -> dict[str, Any]:
    """Differences and means of the timing of pairs of clips, whose expressions have the strengths `(N, F)`."""
    first, second = (torch.stack(expression_timing(strength)) for strength in (one, two))  # (2, N): onset and offset
    onset, offset = (first - second).abs()
    peak = one.amax(dim=1)
    return {
        "value": onset.nanmean().item(),
        "offset_difference": offset.nanmean().item(),
        "onset_mean": first[0].nanmean().item(),
        "offset_mean": first[1].nanmean().item(),
        "apex_strength": peak.mean().item(),
        "without_expression": first[0].isnan().double().mean().item(),
        "back_to_rest": (one[:, -1] < peak / 2).double().mean().item(),
    }


def correlation(one: torch.Tensor, two: torch.Tensor) -> float:
    """Mean correlation over time of two sets of curves `(N, T)`, such as `motion_profile` gives."""
    centred = [curve - curve.mean(dim=1, keepdim=True) for curve in (one, two)]
    one, two = (curve / curve.norm(dim=1, keepdim=True).clamp(min=1e-9) for curve in centred)
    return (one * two).sum(dim=1).mean().item()


def other_takes(real: VideoSet) -> torch.Tensor | None:
    """The next take of each real clip, drawn, `(N, F, 3, H, W)` uint8; None for clips that nothing can draw again."""
    takes = []
    for index, clip in enumerate(real.clips):
        try:
            drawn = drawn_again(clip.path, takes_later=1)
        except ValueError:
            return None
        frames = real.reader.place(drawn.frames[real.indices(index)])
        takes.append(torch.from_numpy(frames).permute(0, 3, 1, 2))
    return torch.stack(takes)


def pictures_of_subjects(real: VideoSet) -> dict[str, torch.Tensor]:
    """The first frame of the first clip of each subject, `(3, H, W)` uint8."""
    first = {}
    for index, subject in enumerate(real.subjects):
        if subject not in first:
            first[subject] = real.frames(index)[0]
    return first


def require_known_subjects(name: str, generated: VideoSet, known: Iterable[str]) -> None:
    """Raise a ValueError if a generated clip is of a subject that no real clip shows."""
    if unknown := sorted(set(generated.subjects) - set(known)):
        raise ValueError(f"{name} needs generated clips of the real clips' subjects; only they have {unknown[0]!r}.")


def identity_score(real: VideoSet, generated: VideoSet) -> dict[str, Any]:
    """Mean cosine of features of every frame after the first and of its person's picture (known as CSIM).

    `retrieval` is the share of frames that are nearest to their own person's picture; `most_similar_other` the mean cosine
    to the nearest of the others. The same of real clips stands beside them.
    """
    pictures = pictures_of_subjects(real)
    require_known_subjects("identity", generated, pictures)
    judge = identity_judge(real)
    encoder, people = load_judge(judge), list(pictures)
    gallery = encoder(torch.stack(list(pictures.values())).float() / 255)  # (P, D)
    found: dict[str, Any] = {"judge": judge}
    for name, clips in (("", generated), ("real_", real)):
        features = torch.cat([encoder(clips.frames(i)[1:].float() / 255) for i in range(len(clips))])
        of_clips = torch.tensor([people.index(subject) for subject in clips.subjects])
        who = of_clips.repeat_interleave(clips.num_frames - 1)  # (N * (F - 1),)
        cosines = identity_similarity(features[:, None], gallery[None])  # (N * (F - 1), P)
        found[f"{name}value"] = cosines.gather(1, who[:, None]).mean().item()
        found[f"{name}retrieval"] = identity_retrieval(features, who, gallery)
        if len(people) > 1:
            others = cosines[~F.one_hot(who, len(people)).bool()].view(len(who), -1)
            found[f"{name}most_similar_other"] = others.amax(dim=1).mean().item()
    return found


def background_score(real: VideoSet, generated: VideoSet) -> dict[str, float]:
    """Mean |frame - picture| where nothing but the backdrop ever comes near in any of the person's real clips."""
    pictures = pictures_of_subjects(real)
    require_known_subjects("background", generated, pictures)
    near = {
        subject: torch.zeros(1, real.reader.height, real.reader.width, dtype=torch.float32) for subject in pictures
    }
    for clip in real.clips:
        drawn = drawn_again(clip.path)
        person = torch.from_numpy((drawn.parts != drawn.part_names.index("backdrop")).any(axis=0)).float()
        around = F.max_pool2d(person[None], 2 * BORDER + 1, stride=1, padding=BORDER)
        near[clip.subject] = torch.maximum(near[clip.subject], around)
    found = {}
    for name, clips in (("value", generated), ("real_value", real)):
        mean = RunningMean()
        for index, subject in enumerate(clips.subjects):
            change = (clips.frames(index).float() - pictures[subject].float()).abs() / 255
            mean.add(change, near[subject] == 0)
        found[name] = mean.value
    return found
