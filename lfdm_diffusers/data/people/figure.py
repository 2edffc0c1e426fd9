"""The parametric figure as arrays: head, neck and upper body of Anny, or all of it (its data: MakeHuman, CC0).

Everything in Anny up to skinning is linear in its coefficients, so that a person is one product with the blend shapes, and a
frame is one more with the facial actions, then linear blend skinning. Metres, z up, the face towards -y, the figure's left
towards +x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ...files.extras import required
from .actions import ACTIONS

ROOM_BELOW = 0.62  # metres of figure kept below the top of the template's head: to the chest
SKIN, EYE, MOUTH, TEETH, TONGUE = range(5)  # kinds of triangle
KINDS = ("skin", "eye", "mouth", "teeth", "tongue")


@dataclass(frozen=True)
class Figure:
    """What all people share. V vertices, T triangles, K blend shapes, A actions, J bones.

    Attributes:
        template: (V, 3) of the average person; `canonical` is the same, from the middle between the eyes.
        triangles: (T, 3) numbers of vertices, `kinds` (T,) of `KINDS`.
        blendshapes: (K, V, 3), `bone_shapes` (K, J, 3): what coefficients of phenotype and local changes add.
        actions: (A, V, 3), those of `expressions.ACTIONS`; eyeballs stand still in them, as bones turn those.
        weights: (V, J) sparse, of linear blend skinning.
        lips, lids, ears, inside: (V,) in [0, 1], where skin is that.
        eye_of: (V,) 0 none, 1 left eyeball, 2 right.
    """

    template: np.ndarray
    canonical: np.ndarray
    triangles: np.ndarray
    kinds: np.ndarray
    blendshapes: np.ndarray
    bones: np.ndarray
    bone_shapes: np.ndarray
    bone_names: tuple[str, ...]
    bone_parents: tuple[int, ...]
    actions: np.ndarray
    weights: Any
    lips: np.ndarray
    lids: np.ndarray
    ears: np.ndarray
    inside: np.ndarray
    eye_of: np.ndarray
    model: Any

    def shaped(self, phenotype: dict[str, float], changes: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3) and heads of bones (J, 3) of a person at rest, float64.

        Args:
            phenotype: of Anny, each in [0, 1]: gender (0 female), age (0 infant, 1 elder), muscle, weight, african, ...
            changes: local changes of Anny by name, in [-1, 1].
        """
        # A fast path beside `model.forward`, which computes the limbs too; a test holds one against the other.
        coefficients = self.model.get_phenotype_blendshape_coefficients(
            **{name: float(value) for name, value in phenotype.items()},
            local_changes={name: float(value) for name, value in changes.items()},
        )
        coefficients = coefficients[0].numpy()
        used = np.flatnonzero(coefficients)
        amounts = coefficients[used]
        vertices = self.template + np.tensordot(amounts, self.blendshapes[used], 1)
        return vertices, self.bones + np.tensordot(amounts, self.bone_shapes[used], 1)

    def transforms(self, bones: np.ndarray, turns: dict[str, np.ndarray]) -> np.ndarray:
        """(J, 3, 4) of bones that turn about their heads (J, 3), by rotation matrices (3, 3) in the axes of the room."""
        count = len(self.bone_names)
        transforms = np.zeros((count, 3, 4))
        for bone, (name, parent) in enumerate(zip(self.bone_names, self.bone_parents)):
            above = transforms[parent] if parent >= 0 else np.eye(3, 4)
            if name in turns:
                turn, head = turns[name], bones[bone]
                local = np.column_stack([turn, head - turn @ head])
                above = np.column_stack([above[:, :3] @ local[:, :3], above[:, :3] @ local[:, 3] + above[:, 3]])
            transforms[bone] = above
        return transforms

    def posed(self, vertices: np.ndarray, transforms: np.ndarray) -> np.ndarray:
        """Linear blend skinning of vertices (V, 3) by `transforms`."""
        blended = (self.weights @ transforms.reshape(-1, 12)).reshape(-1, 3, 4)
        return np.einsum("vij,vj->vi", blended[:, :, :3], vertices) + blended[:, :, 3]


@lru_cache(maxsize=1)
def anny_model() -> Any:
    """Anny's own model; half a minute the first time in a process.

    Raises:
        ImportError: if anny is not installed.
    """
    anny = required("anny", "people", "rendering people")
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = anny.Anny(local_changes="default", facial_actions="all", phenotypes="all", skinning_method="lbs")
    torch.set_num_threads(threads)
    return model


def load_figure(whole: bool = False) -> Figure:
    """The figure: head and upper body without hands, or the whole of it.

    Raises:
        ImportError: if anny is not installed.
    """
    return _figure(bool(whole))


@lru_cache(maxsize=2)
def _figure(whole: bool) -> Figure:
    model = anny_model()
    import anny
    from scipy import sparse

    template, faces = model.template_vertices.numpy(), model.faces.numpy()
    corners = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()]  # (T, 3, 2)
    parts = _connected(len(template), faces)
    body = np.bincount(parts).argmax()
    near = template[:, 2] > template[parts == body, 2].max() - ROOM_BELOW
    near &= np.abs(template[:, 0]) < 0.31  # no hands
    keep = near[faces].all(1) | whole
    faces, corners = faces[keep], corners[keep]
    used = np.unique(faces)
    number = np.full(len(template), -1)
    number[used] = np.arange(len(used))
    faces = number[faces]
    template, parts = template[used], parts[used]
    uv = np.zeros((len(used), 2))
    uv[faces] = corners  # at a seam any one of them
    masks = {name: _mask(anny, name, uv) for name in ("lips", "eyelids", "ears", "inside-mouth")}
    names = model.blendshape_labels
    shapes, bone_shapes = model.blendshapes.numpy(), model.bone_heads_blendshapes.numpy()
    moving = [names.index(f"facial_action:{name}") for name in ACTIONS]
    actions = shapes[moving][:, used].astype(np.float32)
    blendshapes = shapes[:, used].astype(np.float32)
    blendshapes[moving] = 0
    bone_names = tuple(model.bone_labels)
    eye_of = np.zeros(len(used), np.int64)
    for side, bone in ((1, "eye.L"), (2, "eye.R")):
        head = model.template_bone_heads.numpy()[bone_names.index(bone)]
        for part in np.unique(parts[parts != body]):
            if np.linalg.norm(template[parts == part].mean(0) - head) < 0.02 and (parts == part).sum() < 100:
                eye_of[parts == part] = side
    actions[:, eye_of > 0] = 0
    tongue = (parts != body) & (eye_of == 0)
    kinds = np.full(len(faces), SKIN, np.int64)
    kinds[(eye_of[faces] > 0).all(1)] = EYE
    kinds[tongue[faces].all(1)] = TONGUE
    inside = masks["inside-mouth"] > 0.5
    kinds[(kinds == SKIN) & inside[faces].all(1)] = MOUTH
    weights = np.zeros((len(used), len(bone_names)))
    np.put_along_axis(weights, model.vertex_bone_indices.numpy()[used], model.vertex_bone_weights.numpy()[used], 1)
    eyes = np.mean([template[eye_of == side].mean(0) for side in (1, 2)], 0)
    return Figure(
        template=template, canonical=template - eyes, triangles=faces, kinds=kinds, blendshapes=blendshapes,
        bones=model.template_bone_heads.numpy(), bone_shapes=bone_shapes, bone_names=bone_names,
        bone_parents=tuple(model.bone_parents), actions=actions,
        weights=sparse.csr_matrix(weights),
        lips=masks["lips"], lids=masks["eyelids"], ears=masks["ears"], inside=masks["inside-mouth"], eye_of=eye_of,
        model=model,
    )  # fmt: skip


def _connected(count: int, faces: np.ndarray) -> np.ndarray:
    """The connected part that each vertex is in, (count,)."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    rows, columns = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    graph = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (count, count))
    return connected_components(graph, directed=False)[1]


def _mask(anny: Any, name: str, uv: np.ndarray) -> np.ndarray:
    """A mask picture of MakeHuman, in [0, 1], at texture coordinates (V, 2)."""
    from pathlib import Path

    from PIL import Image

    picture = Image.open(Path(anny.__file__).parent / "data/mpfb2/textures" / f"mpfb_{name}.jpg")
    pixels = np.asarray(picture.convert("L"), np.float64) / 255
    side = len(pixels)
    column, row = np.clip(uv * [1, -1] * side + [0, side], 0, side - 1).astype(int).T
    return pixels[row, column]
