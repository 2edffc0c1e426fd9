"""The still layers of a toon person, baked once per person and size: backdrop, hair, body, ears and the bare face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..chance import random_stream
from .drawing import (
    Array,
    Texture,
    bump,
    closed_spline,
    coverage,
    ellipse,
    mix,
    polygon,
    rgb,
    ripples,
    segment,
    shade,
    smooth_union,
    smoothstep,
    uniform,
)
from .hair import Ink, draw_hair, mirrored
from .people import ToonSubject


@dataclass(frozen=True)
class Portrait:
    """Baked layers. `backdrop` is (3, size, size) in screen coordinates; the textures are in material coordinates."""

    backdrop: Array
    hair_back: Texture | None
    neck: Texture
    clothes: Texture
    ears: Texture
    face: Texture
    hair_front: Texture | None


@lru_cache(maxsize=4)
def portrait(person: ToonSubject, size: int) -> Portrait:
    """Bake a person for pictures of size x size: texels are about three quarters of a pixel."""
    texels = max(round(2.15 * size), 96)
    hair_back, hair_front = draw_hair(person, texels)
    return Portrait(
        backdrop=draw_backdrop(person, size),
        hair_back=hair_back,
        neck=draw_neck(person, texels),
        clothes=draw_clothes(person, texels),
        ears=draw_ears(person, texels),
        face=draw_face(person, texels, hair_front),
        hair_front=hair_front,
    )


def head_shape(person: ToonSubject, x: Array, y: Array) -> Array:
    """Signed distance to the outline of the head: a superellipse that narrows towards the chin."""
    height = np.where(y < 0, person.face_top, person.chin)
    v = np.abs(y) / height
    width = person.face_width * (1.0 - person.taper * np.clip(y / person.chin, 0, 1.3) ** 2)
    n = np.where(y < 0, 2.15, person.squareness)
    f = (np.abs(x / width) ** n + v**n) ** (1 / n) - 1.0
    # Divide by the slope to turn the level set into a distance, correct to first order at the edge.
    step = 1e-4

    def level(px: Array, py: Array) -> Array:
        w = person.face_width * (1.0 - person.taper * np.clip(py / person.chin, 0, 1.3) ** 2)
        return (np.abs(px / w) ** n + (np.abs(py) / height) ** n) ** (1 / n) - 1.0

    slope = np.hypot((level(x + step, y) - f) / step, (level(x, y + step) - f) / step)
    return f / np.maximum(slope, 0.5)


def draw_backdrop(person: ToonSubject, size: int) -> Array:
    """A soft two-tone background with a simple pattern, fixed to the picture."""
    t = (2 * np.arange(size) + 1) / size - 1.0
    x, y = t[None, :], t[:, None]
    pixel = 2.0 / size
    base = person.background
    light = smoothstep(1.5, 0.1, np.hypot(x - 0.35 * person.light, y + 0.35))
    out = mix(mix(shade(base, 0.16), base, light), shade(base, -0.45), 0.55 * light**2)
    rng = random_stream(person.seed, person.index, 13)
    if person.backdrop == "disc":
        d = np.hypot(x, y - 0.05) - 0.88
        out = mix(out, shade(base, -0.55), 0.75 * coverage(d, pixel))
    elif person.backdrop == "hills":
        for k, level in enumerate((0.15, 0.45)):
            edge = level + 0.13 * np.sin(uniform(rng, 2.2, 3.4) * x + uniform(rng, 0, 6.28))
            out = mix(out, shade(base, 0.10 + 0.10 * k), 0.8 * coverage(edge - y, pixel))
    elif person.backdrop == "dots":
        cell = 0.27
        row = np.floor(y / cell)
        u = (x / cell + 0.5 * (row % 2)) % 1.0 - 0.5
        v = (y / cell) % 1.0 - 0.5
        out = mix(out, shade(base, -0.55), 0.6 * coverage((np.hypot(u, v) - 0.20) * cell, pixel))
    elif person.backdrop == "rays":
        angle = np.arctan2(y - 0.15, x)
        wave = np.sin(angle * 12)
        radius = np.hypot(x, y - 0.15)
        out = mix(out, shade(base, -0.5), 0.45 * coverage(-wave * np.maximum(radius, 0.05) / 12, pixel))
    glow = smoothstep(1.15, 0.35, np.hypot(x, (y - 0.02) * 0.9))  # sets the head off from the pattern
    return np.clip(mix(out, shade(base, -0.6), 0.35 * glow), 0, 1)


def draw_neck(person: ToonSubject, texels: int) -> Texture:
    """Neck and the skin that a neckline shows, with the shadow of the chin."""
    ink = Ink(texels)
    x, y = ink.x, ink.y
    w = 0.36 * person.face_width + (0.0 if person.lashes > 0.5 else 0.025)
    points = [(w, 0.30), (w, 0.62), (w + 0.03, 0.76), (0.36, 0.86), (0.50, 1.0), (0.5, 1.35), (0, 1.35)]
    d = polygon(x, y, closed_spline(mirrored([(0, 0.3), *points])))
    skin = mix(person.skin, shade(person.skin, 0.22), smoothstep(-0.2, 0.25, -x * person.light))
    chin = head_shape(person, x + 0.03 * person.light, y - 0.10)
    ink.add(d, mix(skin, shade(person.skin, 0.46), 0.85 * smoothstep(0.10, -0.02, chin)))
    for side in (-1.0, 1.0):
        bone = segment(x, y, side * 0.05, 0.90, side * 0.24, 0.86)
        ink.tint(shade(person.skin, 0.35), 0.35 * smoothstep(0.02, 0.0, bone))
    return ink.texture()


def draw_clothes(person: ToonSubject, texels: int) -> Texture:
    """Shoulders and a garment."""
    ink = Ink(texels)
    x, y = ink.x, ink.y
    cloth, style = person.clothes, person.clothes_style
    broad = 0.0 if person.lashes > 0.5 else 0.05
    right = [(0, 0.72), (0.16, 0.735), (0.25, 0.775), (0.48 + broad, 0.845), (0.70 + broad, 0.945),
             (0.80 + broad, 1.12), (0.84 + broad, 1.38), (0, 1.39)]  # fmt: skip
    body = polygon(x, y, closed_spline(mirrored(right)))
    tone = smoothstep(-0.1, 0.9, -x * person.light) * 0.30 + 0.20 * smoothstep(0.75, 1.1, y)
    colour = mix(shade(cloth, -0.10), shade(cloth, 0.50), tone)
    if style == "stripes":
        wave = np.sin((y + 0.10 * x**2) * 38.0)
        colour = mix(colour, mix(person.accent, shade(person.accent, 0.5), tone), coverage(-wave / 38.0, ink.texel))
    neckline = {"vneck": None, "collar": None}.get(style, ellipse(x, y, 0.0, 0.70, 0.235, 0.135))
    if neckline is None:
        neckline = polygon(
            x, y, closed_spline(mirrored([(0, 0.55), (0.23, 0.66), (0.20, 0.76), (0.0, 0.985), (0.0, 0.985)]), 5)
        )
    if style == "turtleneck":
        neckline = ellipse(x, y, 0.0, 0.60, 0.20, 0.05)
        tube = polygon(
            x, y, closed_spline(mirrored([(0, 0.70), (0.19, 0.675), (0.205, 0.74), (0.235, 0.83), (0, 0.87)]))
        )
        ink.add(body, colour)
        folds = 0.5 + 0.5 * np.sin(70 * y - 24 * x**2)
        ink.tint(shade(cloth, 0.6), 0.4 * smoothstep(0.05, 0.0, tube))
        ink.add(tube, mix(colour, shade(cloth, 0.42), 0.30 * folds + 0.35 * smoothstep(0.0, 0.25, -x * person.light)))
    else:
        ink.add(np.maximum(body, -neckline), colour)
    trim = np.abs(neckline - 0.02) - 0.02
    if style in ("tee", "stripes", "vneck"):
        ink.tint(shade(person.accent if style != "stripes" else cloth, 0.12), 0.9 * coverage(trim, ink.texel))
    if style == "hoodie":
        hood = np.maximum(ellipse(x, y, 0.0, 0.75, 0.40, 0.17), -neckline)
        ink.tint(shade(cloth, 0.65), 0.35 * smoothstep(0.05, 0.0, hood))
        ink.add(
            hood,
            mix(shade(cloth, 0.10), shade(cloth, 0.45), smoothstep(0.05, 0.0, neckline)),
        )
        for side in (-1.0, 1.0):
            cord = segment(x, y, side * 0.11, 0.88, side * 0.125, 1.12) - 0.014
            ink.tint(mix(person.accent, (1.0, 1.0, 1.0), 0.6), coverage(cord, ink.texel))
    if style == "collar":
        for side in (-1.0, 1.0):
            leaf = polygon(side * x, y, np.array([(0.0, 0.985), (0.175, 0.70), (0.27, 0.745), (0.235, 0.955)]))
            ink.tint(shade(cloth, 0.7), 0.4 * smoothstep(0.04, 0.0, leaf))
            leaf_colour = mix(shade(cloth, -0.45), shade(cloth, 0.15), smoothstep(-0.3, 0.4, -x * person.light))
            ink.add(leaf - 0.01, leaf_colour)
        for k in range(3):
            ink.tint(shade(cloth, -0.7), coverage(ellipse(x, y, 0.0, 1.04 + 0.11 * k, 0.02, 0.02), ink.texel))
    if person.hair_style == "headscarf":
        wrap_neck(person, ink)
    return ink.texture()


def wrap_neck(person: ToonSubject, ink: Ink) -> None:
    """The part of a headscarf that lies around the neck and over the chest."""
    x, y, cloth = ink.x, ink.y, person.accent
    wrap = polygon(
        x, y, closed_spline(mirrored([(0, 0.40), (0.42, 0.40), (0.50, 0.66), (0.56, 0.92), (0.34, 1.06), (0, 1.12)]))
    )
    folds = 0.5 + 0.5 * np.sin(26 * (y - 0.9 * x * x * person.light - 0.5 * x))
    colour = mix(shade(cloth, 0.06), shade(cloth, 0.36), 0.6 * folds * smoothstep(0.62, 0.8, y))
    ink.tint(shade(person.clothes, 0.7), 0.4 * smoothstep(0.07, 0.0, wrap))
    chin = head_shape(person, x, y - 0.08)
    ink.add(wrap, mix(colour, shade(cloth, 0.62), 0.8 * smoothstep(0.10, -0.02, chin)))


def draw_ears(person: ToonSubject, texels: int) -> Texture:
    """Both ears, with a shaded bowl, and earrings."""
    ink = Ink(texels)
    x, y = ink.x, ink.y
    for side in (-1.0, 1.0):
        cx = side * (person.face_width + 0.012)
        rx, ry = 0.075 * person.ear_size, 0.115 * person.ear_size
        d = ellipse(x, y, cx, 0.085, rx, ry, side * 0.22)
        dim = 0.10 + (0.14 if side == -person.light else 0.0)
        colour = mix(shade(person.skin, dim), shade(person.skin, dim + 0.2), smoothstep(0.05, 0.22, y))
        inner = ellipse(x, y, cx + side * 0.006, 0.085, rx * 0.58, ry * 0.62, side * 0.22)
        ink.add(
            d, mix(colour, mix(shade(person.skin, 0.42), rgb("b4524a"), 0.25), 0.75 * smoothstep(0.03, -0.03, inner))
        )
        if person.earrings:
            drop = ellipse(x, y, cx + side * 0.01, 0.085 + ry * 1.08, 0.026, 0.03)
            gold = mix(rgb("f6c544"), rgb("fff3c4"), bump(((x - cx) / 0.02) ** 2 + ((y - 0.08 - ry) / 0.02) ** 2))
            ink.add(drop, gold)
    return ink.texture()


def draw_face(person: ToonSubject, texels: int, hair: Texture | None) -> Texture:
    """The bare face: skin with soft light and shade, blush, freckles, nose, beard and the shadow of the hair."""
    ink = Ink(texels)
    x, y = ink.x, ink.y
    skin, light = person.skin, person.light
    d = head_shape(person, x, y)
    deep, lit = shade(skin, 0.34), shade(skin, -0.34)
    # Form: a broad soft shadow on the far side, a thin one under the chin, light on forehead and near cheek.
    far = head_shape(person, x - 0.13 * light, y + 0.05)
    colour = mix(shade(skin, 0.02), deep, 0.62 * smoothstep(-0.10, 0.14, far))
    colour = mix(colour, lit, 0.55 * bump(((x - 0.10 * light) / 0.34) ** 2 + ((y + 0.20) / 0.24) ** 2))
    colour = mix(colour, lit, 0.40 * bump(((x - 0.27 * light) / 0.17) ** 2 + ((y - 0.20) / 0.15) ** 2))
    colour = mix(colour, lit, 0.30 * bump((x / 0.13) ** 2 + ((y - person.chin + 0.09) / 0.07) ** 2))
    ink.add(d, colour)
    rosy = mix(skin, rgb("e2524c"), 0.55).ravel()
    for side in (-1.0, 1.0):
        cheek = ((x - side * 0.275) / 0.135) ** 2 + ((y - 0.255) / 0.095) ** 2
        ink.tint(rosy, (0.25 + 0.75 * person.blush) * 0.62 * bump(cheek))
        socket = ((x - side * person.eye_gap) / 0.19) ** 2 + ((y - 0.03) / 0.15) ** 2
        ink.tint(shade(skin, 0.34), 0.26 * bump(socket))
    if person.freckles:
        rng = random_stream(person.seed, person.index, 14)
        brown = mix(shade(skin, 0.35), rgb("8a4a2a"), 0.45).ravel()
        for _ in range(int(30 * person.freckles)):
            fx, fy = uniform(rng, -0.36, 0.36), uniform(rng, 0.16, 0.30)
            fy -= float(0.05 * bump(np.array((fx / 0.12) ** 2)))
            r = uniform(rng, 0.008, 0.0135)
            ink.tint(brown, 0.65 * coverage(ellipse(x, y, fx, fy, r, r), ink.texel))
    draw_beard(person, ink)
    draw_nose(person, ink)
    if hair is not None:
        shadow, _ = hair.sample(x + 0.03 * light, y - 0.05)
        ink.tint(shade(skin, 0.46), 0.55 * smoothstep(0.035, -0.02, shadow) * smoothstep(0.62, 0.3, y))
    return ink.texture()


def draw_nose(person: ToonSubject, ink: Ink) -> None:
    """A soft nose: shade beside the bridge and under the tip, nostrils, a highlight."""
    x, y, light, skin = ink.x, ink.y, person.light, person.skin
    tip, w = person.nose_length, person.nose_width
    dark, lit = shade(skin, 0.42), shade(skin, -0.55)
    wing = {"button": 0.058, "straight": 0.062, "round": 0.074, "long": 0.060}[person.nose] * w
    height = {"button": 0.046, "straight": 0.048, "round": 0.058, "long": 0.056}[person.nose]
    if person.nose in ("straight", "long"):
        bridge = smoothstep(0.0, -0.075, (x * light) + 0.012) * smoothstep(-0.115, -0.05, x * light)
        ink.tint(dark, 0.36 * bridge * smoothstep(-0.06, 0.05, y) * smoothstep(tip + 0.03, tip - 0.05, y))
    ball = ellipse(x, y, 0.0, tip - 0.006, wing, height)
    below = ellipse(x, y, 0.004 * light, tip + 0.020, wing * 1.12, height * 0.92)
    ink.tint(dark, 0.75 * smoothstep(0.022, -0.018, below))
    body = mix(shade(skin, 0.03), shade(skin, 0.30), smoothstep(-0.02, 0.07, -x * light + 0.6 * (y - tip)))
    rosy = mix(body, mix(skin, rgb("e2524c"), 0.5).reshape(3, 1, 1), 0.25 + 0.3 * person.blush)
    ink.tint(rosy, 0.95 * smoothstep(0.012, -0.020, ball))
    for side in (-1.0, 1.0):
        nostril = ellipse(x, y, side * wing * 0.48, tip + height * 0.74, 0.017 * w, 0.0085, side * -0.25)
        ink.tint(shade(skin, 0.72), 0.70 * coverage(nostril, max(ink.texel, 0.012)))
    shine = ((x - 0.018 * light) / 0.032) ** 2 + ((y - tip + 0.022) / 0.024) ** 2
    ink.tint(lit, 0.75 * bump(shine))
    ridge = ((x - 0.010 * light) / 0.022) ** 2 + ((y - 0.5 * tip) / 0.11) ** 2
    ink.tint(lit, 0.30 * bump(ridge))


def draw_beard(person: ToonSubject, ink: Ink) -> None:
    """Stubble, full beard or goatee, drawn into the skin so that it moves with it. Moustaches move with the lip."""
    if person.beard in ("none", "moustache"):
        return
    x, y = ink.x, ink.y
    my, mw = person.mouth_height, person.mouth_width
    ax = np.abs(x)
    rng = random_stream(person.seed, person.index, 15)
    fine = ripples(x + 0.10 * np.sin(7 * y), rng, 60, 140, 4)
    dark, light = shade(person.beard_colour, 0.45), shade(person.beard_colour, -0.12)
    hair = mix(dark, light, np.clip(0.45 + 0.20 * fine + 0.35 * x * person.light - 0.6 * (y - 0.45), 0, 1))
    # The beard covers the jaw from the side-burns down; its upper edge sags from the ears towards the mouth.
    upper = 0.12 + 0.30 * smoothstep(person.face_width * 0.99, mw * 1.05, ax)
    jaw = np.maximum(head_shape(person, x, y) - 0.035 * smoothstep(0.25, 0.55, y), upper - y)
    if person.beard == "stubble":
        lip = ellipse(x, y, 0.0, my - 0.055, mw + 0.02, 0.045)
        shadow = mix(person.skin, shade(person.beard_colour, 0.25), 0.75)
        ink.tint(shadow, 0.40 * smoothstep(0.03, -0.06, np.minimum(smooth_union(jaw, lip, 0.06), jaw)))
        return
    if person.beard == "full":
        shape = smooth_union(jaw, ellipse(x, y, 0.0, my - 0.02, mw + 0.03, 0.05), 0.06)
    else:
        ring = np.maximum(np.abs(ellipse(x, y, 0.0, my + 0.045, mw + 0.028, 0.125)) - 0.020, my - 0.03 - y)
        shape = smooth_union(ring, ellipse(x, y, 0.0, person.chin - 0.075, 0.115, 0.09), 0.08)
    shape = shape + 0.005 * fine  # a ragged edge
    ink.tint(shade(person.skin, 0.4), 0.35 * smoothstep(0.03, 0.0, shape) * (y < 0.6))
    ink.add(shape, hair)
