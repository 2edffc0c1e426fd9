"""The colour of each sample of a buffer of surface points: skin, eyes, teeth, hair, cloth in the light of a scene.

Linear light throughout. One compiled loop over samples. Directions and places are in the room as the camera sees it: x to the
right, y away, z up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .albedo import Look, Moment, fabric, skin_albedo
from .noise import value_noise
from .skin import BEARD, INSIDE, LIPS, OIL, SCALP
from .wear import M_BOTTOM, M_CLOTH, M_CLOTH2, M_EYE, M_HAT, M_LENS, M_MOUTH, M_SHOE, M_SKIN, M_TEETH, M_TONGUE, SOLE


class Lights(NamedTuple):
    """Directional lights (L) with their shadow maps, and the light from all around as spherical harmonics."""

    directions: np.ndarray  # (L, 3) towards the light
    colours: np.ndarray  # (L, 3)
    softness: np.ndarray  # (L,) metres
    maps: np.ndarray  # (L, N, N) nearness to the light
    frames: np.ndarray  # (L, 3, 3) rows: right, up, towards the light
    centre: np.ndarray  # (3,)
    span: float  # metres across a map
    harmonics: np.ndarray  # (9, 3) irradiance / pi
    grain: float  # of the maps, 1 that of faces: how far from a surface a map is read


@njit(cache=True, inline="always")
def ambient(h, x, y, z, channel):
    """Light from all around on a surface that faces (x, y, z), Ramamoorthi and Hanrahan 2001 with their constants inside h."""
    return (h[0, channel] + h[1, channel] * y + h[2, channel] * z + h[3, channel] * x + h[4, channel] * x * y
            + h[5, channel] * y * z + h[6, channel] * (3 * z * z - 1) + h[7, channel] * x * z + h[8, channel] * (x * x - y * y))  # fmt: skip


# Where a shadow map is looked up around a place, in units of the light's softness: a sunflower of 12 points.
LOOKUPS = np.array([[np.sqrt((k + 0.5) / 12) * f(2.39996 * k) for f in (np.sin, np.cos)] for k in range(12)])


@njit(cache=True)
def lit(lights, which, px, py, pz, bias, step):
    """Share of a light that reaches a place, in [0, 1]: a mean over 12 / step points of its shadow map."""
    f = lights.frames[which]
    dx, dy, dz = px - lights.centre[0], py - lights.centre[1], pz - lights.centre[2]
    size = lights.maps.shape[1]
    scale = size / lights.span
    u = (f[0, 0] * dx + f[0, 1] * dy + f[0, 2] * dz) * scale + 0.5 * size
    v = 0.5 * size - (f[1, 0] * dx + f[1, 1] * dy + f[1, 2] * dz) * scale
    near = 1.0 + f[2, 0] * dx + f[2, 1] * dy + f[2, 2] * dz + bias
    reach = max(lights.softness[which] * scale, 1.0)
    total = 0.0
    for k in range(0, 12, step):
        i, j = int(v + reach * LOOKUPS[k, 0]), int(u + reach * LOOKUPS[k, 1])
        if i < 0 or j < 0 or i >= size or j >= size or not 0 < lights.maps[which, i, j] > near:
            total += 1
    return total * step / 12


@njit(cache=True)
def shade(surface, place, occlusion, triangles, material, normals, points, canonical, masks, reach, segments, strand_points,
          strand_colour, strand_shade, strand_glossy, look, moment, lights, camera, fine, image):  # fmt: skip
    """Colours (S, S, 3) into `image` wherever the buffer shows something.

    Of the samples of a pixel in one row, one is shaded; its neighbours on the same kind of skin or cloth take its colour.

    Args:
        surface, place: as `rasteriser` draws; occlusion: (S, S) in [0, 1], share of the light from all around, from the buffer.
        triangles (T, 3), material (T,): the mesh; normals, points, canonical (V, 3), masks (V, M), reach (V,): its vertices.
        segments (M, 2) of strand_points (P, 3); strand_colour (P, 3), strand_shade (P,), strand_glossy (P,): of the strands.
        camera: (3,) place of the lens.
        fine: samples a pixel's side.
    """
    height, width = surface.shape
    count = len(triangles)
    m = np.zeros(masks.shape[1])
    albedo, bump = np.zeros(3), np.zeros(3)
    hat_colours = np.zeros((2, 3))
    hat_colours[0], hat_colours[1] = look.hat, 0.5 * look.hat + 0.2
    wrap = np.zeros(3)
    for row in range(height):
        for number in range(width):
            block = number - number % fine
            leader = block + row % fine
            column = block + (row + number) % fine  # the leader first
            t = surface[row, column]
            if t < 0:
                continue
            if column != leader and t < count:
                other = surface[row, leader]
                plain = material[t] in (M_SKIN, M_CLOTH, M_CLOTH2, M_HAT, M_BOTTOM, M_SHOE)
                if plain and 0 <= other < count and material[other] == material[t]:
                    image[row, column] = image[row, leader]
                    continue
            near = occlusion[row, column]
            if t >= count:  # a strand
                i, j = segments[t - count, 0], segments[t - count, 1]
                a = place[row, column, 0]
                px = strand_points[i, 0] + a * (strand_points[j, 0] - strand_points[i, 0])
                py = strand_points[i, 1] + a * (strand_points[j, 1] - strand_points[i, 1])
                pz = strand_points[i, 2] + a * (strand_points[j, 2] - strand_points[i, 2])
                tx, ty, tz = (strand_points[j, 0] - strand_points[i, 0], strand_points[j, 1] - strand_points[i, 1],
                              strand_points[j, 2] - strand_points[i, 2])  # fmt: skip
                scale = 1 / max(np.sqrt(tx * tx + ty * ty + tz * tz), 1e-9)
                tx, ty, tz = tx * scale, ty * scale, tz * scale
                vx, vy, vz = camera[0] - px, camera[1] - py, camera[2] - pz
                scale = 1 / np.sqrt(vx * vx + vy * vy + vz * vz)
                vx, vy, vz = vx * scale, vy * scale, vz * scale
                along = vx * tx + vy * ty + vz * tz
                nx, ny, nz = vx - along * tx, vy - along * ty, vz - along * tz  # faces the lens, square to the strand
                scale = 1 / max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-6)
                nx, ny, nz = nx * scale, ny * scale, nz * scale
                dark = (strand_shade[i] + a * (strand_shade[j] - strand_shade[i])) * near
                glossy = strand_glossy[i]
                for c in range(3):
                    colour = strand_colour[i, c]
                    total = (
                        (colour * 0.9 + 0.012 * glossy)
                        * dark
                        * (
                            0.5 * ambient(lights.harmonics, nx, ny, nz, c)
                            + 0.5 * ambient(lights.harmonics, 0.0, 0.0, 1.0, c)
                        )
                    )
                    image[row, column, c] = max(total, 0.0)
                for k in range(len(lights.directions)):
                    lx, ly, lz = lights.directions[k]
                    there = lit(lights, k, px, py, pz, 0.004 * lights.grain, 3)
                    if there <= 0:
                        continue
                    tl = lx * tx + ly * ty + lz * tz
                    sine = np.sqrt(max(1 - tl * tl, 0.0))
                    facing = max(0.0, min(1.0, 0.35 + 0.75 * (nx * lx + ny * ly + nz * lz)))
                    hx, hy, hz = lx + vx, ly + vy, lz + vz
                    scale = 1 / max(np.sqrt(hx * hx + hy * hy + hz * hz), 1e-6)
                    th = (hx * tx + hy * ty + hz * tz) * scale
                    first = max(1 - (th + 0.06) ** 2, 0.0) ** 45
                    second = max(1 - (th - 0.10) ** 2, 0.0) ** 10
                    for c in range(3):
                        colour = strand_colour[i, c]
                        diffuse = colour * sine * facing * 0.85
                        gloss = glossy * facing * (0.055 * first + 0.55 * colour * second)
                        image[row, column, c] += lights.colours[k, c] * there * (0.4 + 0.6 * dark) * (diffuse + gloss)
                continue
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            b1, b2 = place[row, column, 0], place[row, column, 1]
            b0 = 1 - b1 - b2
            px = b0 * points[i, 0] + b1 * points[j, 0] + b2 * points[k, 0]
            py = b0 * points[i, 1] + b1 * points[j, 1] + b2 * points[k, 1]
            pz = b0 * points[i, 2] + b1 * points[j, 2] + b2 * points[k, 2]
            nx = b0 * normals[i, 0] + b1 * normals[j, 0] + b2 * normals[k, 0]
            ny = b0 * normals[i, 1] + b1 * normals[j, 1] + b2 * normals[k, 1]
            nz = b0 * normals[i, 2] + b1 * normals[j, 2] + b2 * normals[k, 2]
            x = b0 * canonical[i, 0] + b1 * canonical[j, 0] + b2 * canonical[k, 0]
            y = b0 * canonical[i, 1] + b1 * canonical[j, 1] + b2 * canonical[k, 1]
            z = b0 * canonical[i, 2] + b1 * canonical[j, 2] + b2 * canonical[k, 2]
            open_ = (b0 * reach[i] + b1 * reach[j] + b2 * reach[k]) * near
            vx, vy, vz = camera[0] - px, camera[1] - py, camera[2] - pz
            scale = 1 / np.sqrt(vx * vx + vy * vy + vz * vz)
            vx, vy, vz = vx * scale, vy * scale, vz * scale
            kind = material[t]
            gloss, power, wet = 0.0, 20.0, 0.0
            bump[:] = 0
            wrap[:] = 0
            if kind == M_SKIN:
                for c in range(len(m)):
                    m[c] = b0 * masks[i, c] + b1 * masks[j, c] + b2 * masks[k, c]
                skin_albedo(look, moment, m, x, y, z, albedo, bump)
                hairy = max(m[SCALP], look.stubble * m[BEARD])
                gloss = (0.16 + 0.42 * look.shine * m[OIL] + (0.25 + 0.5 * look.lipstick) * m[LIPS]) * (
                    1 - 0.8 * hairy
                )
                power = 14.0 + 16 * m[OIL] + 22 * m[LIPS]
                wrap[0], wrap[1], wrap[2] = 0.30, 0.16, 0.10
                if m[INSIDE] > 0:
                    inner = 1 - 0.6 * m[INSIDE]
                    for c in range(3):
                        albedo[c] *= inner
            elif kind == M_EYE:
                side = 0 if x > 0 else 1
                f, centre = moment.eye_frames[side], moment.eyes[side]
                dx, dy, dz = px - centre[0], py - centre[1], pz - centre[2]
                scale = 1 / np.sqrt(dx * dx + dy * dy + dz * dz)
                nx, ny, nz = dx * scale, dy * scale, dz * scale
                qx = f[0, 0] * nx + f[0, 1] * ny + f[0, 2] * nz
                qy = f[1, 0] * nx + f[1, 1] * ny + f[1, 2] * nz
                qz = f[2, 0] * nx + f[2, 1] * ny + f[2, 2] * nz
                off = np.sqrt(qx * qx + qz * qz) if qy < 0 else 1.0
                edge = look.iris_radius / moment.eye_radius
                angle = np.arctan2(qz, qx)
                if off < edge * 1.06:
                    ray = value_noise(np.cos(angle) * 7, np.sin(angle) * 7, off * 8, look.seed + 30)
                    inner = off / edge
                    value = (0.75 + 0.35 * ray) * (1.25 - 0.5 * inner)
                    ring = 1 - 0.72 * min(max((inner - 0.78) / 0.2, 0.0), 1.0)
                    pupil = min(max((inner - look.pupil) / 0.10, 0.0), 1.0)
                    soft = min(max((1.06 - inner) / 0.12, 0.0), 1.0)
                    for c in range(3):
                        white = 0.41
                        albedo[c] = white + soft * (look.iris[c] * value * ring * pupil + 0.004 - white)
                else:
                    vein = value_noise(x * 500, y * 500, z * 500, look.seed + 31)
                    pink = min(max((off - 0.45) / 0.5, 0.0), 1.0)
                    albedo[0] = 0.45 + 0.03 * vein - 0.06 * pink
                    albedo[1] = 0.415 - 0.16 * pink - 0.03 * max(vein, 0.0)
                    albedo[2] = 0.40 - 0.15 * pink - 0.03 * max(vein, 0.0)
                lid = min(max(0.5 - 0.75 * nz, 0.0), 1.0)
                open_ = near * (0.28 + 0.52 * lid)
                wet = 1.0
            elif kind == M_TEETH:
                gap = abs(np.sin(x * 410))
                back = min(max((y + 0.0225) / 0.022, 0.0), 1.0)
                gum = 0.0
                if z > -0.0577 or z < -0.0795:
                    gum = 0.8
                for c in range(3):
                    albedo[c] = look.teeth[c] * (0.75 + 0.25 * min(gap * 3, 1.0)) * (1 - 0.65 * back)
                    albedo[c] += gum * ((0.45 if c == 0 else 0.17) * (1 - back) - albedo[c])
                gloss, power = 0.25, 40.0
                open_ = near**0.5 * (0.85 - 0.45 * back)
            elif kind in (M_TONGUE, M_MOUTH):
                back = min(max((y + 0.024) / 0.035, 0.0), 1.0)
                deep = (1 - back) ** 1.6 if kind == M_MOUTH else 1 - 0.85 * back
                albedo[0], albedo[1], albedo[2] = 0.34 * deep, 0.11 * deep, 0.11 * deep
                open_ = near * 0.55 * deep
                gloss, power = 0.25 * deep, 30.0
            elif kind == M_CLOTH:
                fabric(look, look.cloth, look.pattern, look.pattern_scale, x, y, z, albedo)
                wrap[:] = 0.08
                bump[0] = 0.22 * value_noise(x * 40, y * 40, z * 22, look.seed + 23)
                bump[2] = 0.22 * value_noise(x * 32, y * 32, z * 40, look.seed + 24)
            elif kind == M_CLOTH2:
                fabric(look, look.inner, 0, 1.0, x, y, z, albedo)
            elif kind == M_BOTTOM:
                fabric(look, look.bottom, look.bottom_pattern, look.pattern_scale, x, y, z, albedo)
                wrap[:] = 0.08
                bump[0] = 0.26 * value_noise(x * 30, y * 30, z * 14, look.seed + 27)
                bump[2] = 0.26 * value_noise(x * 22, y * 22, z * 34, look.seed + 28)
            elif kind == M_SHOE:
                for c in range(3):
                    albedo[c] = look.shoe[1 if z < SOLE else 0, c]
                gloss, power = 0.2, 24.0
            elif kind == M_HAT:
                fabric(look, hat_colours, 0, 1.0, x, y, z, albedo)
                if look.knit > 0:
                    ridge = np.sin(np.arctan2(x, y - 0.07) * 46)
                    for c in range(3):
                        albedo[c] *= 1 + 0.2 * look.knit * ridge
                wrap[:] = 0.08
                bump[0] = 0.15 * value_noise(x * 45, y * 45, z * 45, look.seed + 25)
                bump[2] = 0.15 * value_noise(x * 45, y * 45, z * 45, look.seed + 26)
            elif kind == M_LENS:
                albedo[:] = 0.006
                wet = 0.8
            nx, ny, nz = nx + bump[0], ny + bump[1], nz + bump[2]
            scale = 1 / max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-6)
            nx, ny, nz = nx * scale, ny * scale, nz * scale
            facing = nx * vx + ny * vy + nz * vz
            if facing < 0 and kind != M_SKIN:
                nx, ny, nz, facing = -nx, -ny, -nz, -facing
            edge = (1 - max(facing, 0.0)) ** 5
            rx, ry, rz = 2 * facing * nx - vx, 2 * facing * ny - vy, 2 * facing * nz - vz
            mirror = (0.035 + 0.5 * edge) * (wet * 0.9 + gloss * 0.5) * open_
            for c in range(3):
                # Light that enters a dent comes back redder from skin: dark places keep some red.
                share = open_ if kind != M_SKIN else open_ ** (1.0 - 0.25 * (c == 0) + 0.1 * (c == 2))
                total = albedo[c] * share * max(ambient(lights.harmonics, nx, ny, nz, c), 0.0)
                image[row, column, c] = total + mirror * max(ambient(lights.harmonics, rx, ry, rz, c), 0.0)
            for which in range(len(lights.directions)):
                lx, ly, lz = lights.directions[which]
                cosine = nx * lx + ny * ly + nz * lz
                if cosine < -0.35:
                    continue
                there = lit(lights, which, px, py, pz, (0.0035 + 0.004 * (1 - max(cosine, 0.0))) * lights.grain, 1)
                if there <= 0:
                    continue
                hx, hy, hz = lx + vx, ly + vy, lz + vz
                scale = 1 / max(np.sqrt(hx * hx + hy * hy + hz * hz), 1e-6)
                nh = max((nx * hx + ny * hy + nz * hz) * scale, 0.0)
                vh = max((vx * hx + vy * hy + vz * hz) * scale, 0.0)
                fresnel = 0.03 + 0.97 * (1 - vh) ** 5
                spark = 0.0
                if cosine > 0 and gloss > 0:
                    spark = gloss * fresnel * (power + 2) / 8 * nh**power * cosine * 2.2
                if wet > 0 and cosine > 0:
                    spark += wet * (0.9 * min(max((nh - 0.985) / 0.008, 0.0), 1.0))
                for c in range(3):
                    diffuse = max((cosine + wrap[c]) / (1 + wrap[c]), 0.0)
                    if wrap[c] > 0:
                        diffuse *= diffuse * 0.35 + 0.65
                    soft = there if kind != M_SKIN else there ** (1.0 - 0.35 * (c == 0))
                    image[row, column, c] += (
                        lights.colours[which, c] * soft * (albedo[c] * diffuse * (0.75 + 0.25 * open_) + spark)
                    )


__all__ = ["Lights", "Look", "Moment", "shade"]
