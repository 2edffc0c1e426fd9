"""Triangles and strands into a buffer of surface points: which one each sample shows, and where on it.

A strand is a chain of segments with a width (hair, brows, lashes, frames of glasses). Triangles come first in the numbering of
surfaces, then segments. A compiled loop over samples, on one thread, in a fixed order: the same buffer every time.
"""

from __future__ import annotations

import numpy as np
from numba import njit


def new_buffers(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearness (S, S) 1 / depth, 0 for nothing; surface (S, S), -1 for nothing; place (S, S, 2) on the surface."""
    return (
        np.zeros((size, size), np.float32),
        np.full((size, size), -1, np.int32),
        np.zeros((size, size, 2), np.float32),
    )


@njit(cache=True)
def draw_triangles(points, cut, triangles, first, nearness, surface, place, bias):
    """Draw triangles over what is there already.

    Args:
        points: (V, 3) float32 x, y in samples and 1 / depth; 1 / depth <= 0 is behind the camera.
        cut: (V,) what is below 0 of it, interpolated, is cut away.
        triangles: (T, 3) int.
        first: number of the first one among surfaces.
        nearness, surface, place: of `new_buffers`; place gets the perspective-correct shares of corners 1 and 2.
        bias: added to nearness, relative.
    """
    height, width = nearness.shape
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, w0 = points[i, 0], points[i, 1], points[i, 2]
        x1, y1, w1 = points[j, 0], points[j, 1], points[j, 2]
        x2, y2, w2 = points[k, 0], points[k, 1], points[k, 2]
        if w0 <= 0 or w1 <= 0 or w2 <= 0:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0:
            continue
        if cut[i] < 0 and cut[j] < 0 and cut[k] < 0:
            continue
        left = max(int(np.ceil(min(x0, x1, x2) - 0.5)), 0)
        right = min(int(np.floor(max(x0, x1, x2) - 0.5)), width - 1)
        top = max(int(np.ceil(min(y0, y1, y2) - 0.5)), 0)
        bottom = min(int(np.floor(max(y0, y1, y2) - 0.5)), height - 1)
        if left > right or top > bottom:
            continue
        inverse = 1.0 / area
        cuts = cut[i] < 0 or cut[j] < 0 or cut[k] < 0
        for row in range(top, bottom + 1):
            py = row + 0.5
            for column in range(left, right + 1):
                px = column + 0.5
                b1 = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inverse
                b2 = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inverse
                b0 = 1.0 - b1 - b2
                if b0 < 0 or b1 < 0 or b2 < 0:
                    continue
                near = b0 * w0 + b1 * w1 + b2 * w2
                if near * (1.0 + bias) <= nearness[row, column]:
                    continue
                b1 *= w1 / near
                b2 *= w2 / near
                if cuts and (1.0 - b1 - b2) * cut[i] + b1 * cut[j] + b2 * cut[k] < 0:
                    continue
                nearness[row, column] = near * (1.0 + bias)
                surface[row, column] = first + t
                place[row, column, 0] = b1
                place[row, column, 1] = b2


@njit(cache=True)
def draw_strands(points, widths, segments, first, nearness, surface, place, least, step=1):
    """Draw segments between points as thick lines, over what is there already.

    Args:
        points: (P, 3) float32 x, y in samples and 1 / depth.
        widths: (P,) half widths in samples.
        segments: (M, 2) int, pairs of points.
        first: number of the first one among surfaces.
        nearness, surface, place: of `new_buffers`; place gets the share of the second point, and the offset across in [-1, 1].
        least: half width in samples that thinner ones are drawn with.
        step: draw every `step`-th segment only.
    """
    height, width = nearness.shape
    for s in range(0, len(segments), step):
        i, j = segments[s, 0], segments[s, 1]
        x0, y0, w0 = points[i, 0], points[i, 1], points[i, 2]
        x1, y1, w1 = points[j, 0], points[j, 1], points[j, 2]
        if w0 <= 0 or w1 <= 0:
            continue
        half0, half1 = max(widths[i], least), max(widths[j], least)
        half = max(half0, half1)
        left = max(int(np.ceil(min(x0, x1) - half - 0.5)), 0)
        right = min(int(np.floor(max(x0, x1) + half - 0.5)), width - 1)
        top = max(int(np.ceil(min(y0, y1) - half - 0.5)), 0)
        bottom = min(int(np.floor(max(y0, y1) + half - 0.5)), height - 1)
        if left > right or top > bottom:
            continue
        dx, dy = x1 - x0, y1 - y0
        squared = dx * dx + dy * dy
        length = np.sqrt(squared)
        inverse = 1.0 / squared if squared > 1e-12 else 0.0
        growth = half1 - half0
        for row in range(top, bottom + 1):
            py = row + 0.5 - y0
            for column in range(left, right + 1):
                px = column + 0.5 - x0
                t = (px * dx + py * dy) * inverse
                t = min(max(t, 0.0), 1.0)
                near = w0 + t * (w1 - w0)
                if near <= nearness[row, column]:
                    continue
                ex, ey = px - t * dx, py - t * dy
                here = half0 + t * growth
                if ex * ex + ey * ey > here * here:
                    continue
                nearness[row, column] = near
                surface[row, column] = first + s
                place[row, column, 0] = t * w1 / near
                place[row, column, 1] = (px * dy - py * dx) / (length * here) if length > 1e-6 else 0.0
