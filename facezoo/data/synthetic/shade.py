"""The colour of every pixel, compiled: skin, hair, eyes, teeth and cloth under two lights and a sky."""

from __future__ import annotations

import numba
import numpy as np

SKIN, BODY, EYE, MOUTH, TEETH, HAIR, LASH = range(7)
ONE, TWO, THREE = np.float32(1), np.float32(2), np.float32(3)
"""An integer beside a float32 would make the arithmetic double, at half the speed."""


@numba.njit(cache=True, error_model="numpy", inline="always")
def _hash(i, j):
    """A fixed pseudo-random number in 0..1 of two integers."""
    h = np.uint32(i * 374761393 + j * 668265263)
    h = np.uint32((h ^ (h >> np.uint32(13))) * np.uint32(1274126177))
    return np.float32(h ^ (h >> np.uint32(16))) / np.float32(4294967296.0)


@numba.njit(cache=True, error_model="numpy", inline="always")
def _smooth(low, high, x):
    t = min(max((x - low) / (high - low), np.float32(0)), np.float32(1))
    return t * t * (THREE - TWO * t)


@numba.njit(cache=True, error_model="numpy")
def shade(
    nearest, weights, screen, faces, material, uv, points, normal, rest, occlusion, lit, texture, colors, eyes, gaze,
    lights, light_colors, sky, ground, cloth,
):  # fmt: skip
    """Linear RGB and coverage (H, W, 4) float32 of a z-buffered head.

    Args:
        nearest, weights, screen, faces, material, uv: as `zbuffer` gave and took them.
        points: (V, 3) camera coordinates, the viewer at the origin's +z side.
        normal: (V, 3) unit normals in camera coordinates.
        rest: (V, 3) the base shape, which tells where on the head a pixel lies.
        occlusion: (V,) share of the sky seen.
        lit: (V,) share of the first light that arrives, 0 in its cast shadow.
        texture: (H, W, 4) linear RGB of the skin and how much of it is hair.
        colors: (5, 3) linear RGB of iris, sclera, mouth, teeth, hair.
        eyes: (2, 4) centre and radius of the eyeballs in the base shape.
        gaze: (3,) unit direction of the eyes.
        lights: (2, 3) unit directions to the lights.
        light_colors: (2, 3) linear RGB.
        sky, ground: (3,) linear RGB of the ambient light from above and below.
        cloth: (8,) linear RGB of the cloth twice (stripes), width of the stripes, depth of the neckline.
    """
    height, width = nearest.shape
    out = np.zeros((height, width, 4), np.float32)
    rows, columns = texture.shape[0], texture.shape[1]
    albedo, n, p, r, view, half = (
        np.zeros(3, np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32),
        np.zeros(3, np.float32), np.zeros(3, np.float32),
    )  # fmt: skip
    for y in range(height):
        for x in range(width):
            t = nearest[y, x]
            if t < 0:
                continue
            a, b, c = faces[t]
            # Screen weights become weights on the triangle by 1 / depth.
            s1, s2 = weights[y, x, 0] * screen[b, 2], weights[y, x, 1] * screen[c, 2]
            s0 = (ONE - weights[y, x, 0] - weights[y, x, 1]) * screen[a, 2]
            total = s0 + s1 + s2
            s0, s1, s2 = s0 / total, s1 / total, s2 / total
            for k in range(3):
                n[k] = s0 * normal[a, k] + s1 * normal[b, k] + s2 * normal[c, k]
                p[k] = s0 * points[a, k] + s1 * points[b, k] + s2 * points[c, k]
                r[k] = s0 * rest[a, k] + s1 * rest[b, k] + s2 * rest[c, k]
            open_sky = s0 * occlusion[a] + s1 * occlusion[b] + s2 * occlusion[c]
            arrives = s0 * lit[a] + s1 * lit[b] + s2 * lit[c]
            kind = material[t]
            gloss, shine, hairy, scatter, cover = np.float32(0.18), np.float32(18), np.float32(0), ONE, ONE
            if kind == SKIN:
                u = (s0 * uv[t, 0, 0] + s1 * uv[t, 1, 0] + s2 * uv[t, 2, 0]) * columns - np.float32(0.5)
                v = (s0 * uv[t, 0, 1] + s1 * uv[t, 1, 1] + s2 * uv[t, 2, 1]) * rows - np.float32(0.5)
                i, j = min(max(int(v), 0), rows - 2), min(max(int(u), 0), columns - 2)
                fv, fu = v - i, u - j
                for k in range(3):
                    albedo[k] = (texture[i, j, k] * (ONE - fu) + texture[i, j + 1, k] * fu) * (ONE - fv) + (
                        texture[i + 1, j, k] * (ONE - fu) + texture[i + 1, j + 1, k] * fu
                    ) * fv
                hairy = (texture[i, j, 3] * (ONE - fu) + texture[i, j + 1, 3] * fu) * (ONE - fv) + (
                    texture[i + 1, j, 3] * (ONE - fu) + texture[i + 1, j + 1, 3] * fu
                ) * fv
                gloss, scatter = gloss * (ONE - hairy) + np.float32(0.08) * hairy, ONE - hairy
            elif kind == BODY:
                reach = (r[0] / np.float32(0.95)) ** 2 + (min(r[1] - np.float32(5.95), np.float32(0)) / cloth[7]) ** 2
                if reach < ONE:
                    for k in range(3):
                        albedo[k] = texture[0, 0, k]
                else:
                    stripe = 0 if (r[1] / cloth[6]) % 2 < 1 else 3
                    for k in range(3):
                        albedo[k] = cloth[stripe + k]
                    gloss, scatter = np.float32(0.02), np.float32(0)
                    open_sky *= _smooth(np.float32(1.0), np.float32(1.12), reach) * np.float32(0.4) + np.float32(0.6)
            elif kind == EYE:
                e = 0 if r[0] < 0 else 1
                turn, radius = np.float32(0), np.float32(1e-9)
                for k in range(3):
                    turn += (r[k] - eyes[e, k]) * gaze[k]
                    radius += (r[k] - eyes[e, k]) ** 2
                angle = np.arccos(min(max(turn / np.sqrt(radius), np.float32(-1)), np.float32(1)))
                across = np.arctan2(r[1] - eyes[e, 1], r[0] - eyes[e, 0])
                rays = np.float32(0.8) + np.float32(0.4) * _hash(int(across * 14 + 100), 3)
                iris = ONE - _smooth(np.float32(0.40), np.float32(0.46), angle)
                rim = np.float32(0.35) + np.float32(0.65) * (ONE - _smooth(np.float32(0.30), np.float32(0.43), angle))
                pupil = _smooth(np.float32(0.14), np.float32(0.19), angle)
                lid = min(np.float32(1), np.float32(0.25) + open_sky)
                for k in range(3):
                    albedo[k] = (colors[0, k] * rays * rim * pupil * iris + colors[1, k] * (ONE - iris)) * lid
                gloss, shine, scatter = np.float32(0.9), np.float32(180), np.float32(0.3)
            elif kind == MOUTH:
                for k in range(3):  # behind the lids it is pink, behind the lips it is dark
                    albedo[k] = colors[1, k] * np.float32(0.75) if r[1] > 7 else colors[2, k]
                if r[1] > 7:
                    open_sky = max(open_sky, np.float32(0.5))
            elif kind == TEETH:
                for k in range(3):
                    albedo[k] = colors[3, k]
                gloss, shine, open_sky = np.float32(0.3), np.float32(60), max(open_sky, np.float32(0.3))
            elif kind == HAIR:
                turn = np.arctan2(r[0], r[2] - np.float32(0.1))
                strand = _hash(int((turn + np.float32(0.03) * np.sin(r[1] * 5)) * 70 + 400), 11)
                for k in range(3):
                    albedo[k] = colors[4, k] * (np.float32(0.55) + np.float32(0.75) * strand)
                hairy, gloss, scatter = np.float32(1), np.float32(0.1), np.float32(0)
            else:
                for k in range(3):
                    albedo[k] = colors[4, k] * np.float32(0.3)
                gloss, scatter = np.float32(0), np.float32(0)
                cover = np.float32(0.55)  # between the lashes the lid is seen
            distance = np.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2)
            size = np.sqrt(n[0] ** 2 + n[1] ** 2 + n[2] ** 2) + np.float32(1e-9)
            facing = np.float32(0)
            for k in range(3):
                n[k] /= size
                view[k] = -p[k] / distance
                facing += n[k] * view[k]
            if facing < 0 and kind >= HAIR:  # a sheet seen from behind
                for k in range(3):
                    n[k] = -n[k]
            up = np.float32(0.5) + np.float32(0.5) * n[1]
            for k in range(3):
                out[y, x, k] = albedo[k] * open_sky * (ground[k] * (ONE - up) + sky[k] * up)
            for light in range(2):
                cosine, sharp = np.float32(0), np.float32(0)
                for k in range(3):
                    cosine += n[k] * lights[light, k]
                    half[k] = view[k] + lights[light, k]
                length_of_half = np.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2) + np.float32(1e-9)
                for k in range(3):
                    sharp += n[k] * half[k] / length_of_half
                shadow = arrives if light == 0 else np.float32(0.4) + np.float32(0.6) * open_sky
                highlight = np.float32(0)
                if cosine > 0 and sharp > np.float32(0.6):  # below, the power is nothing
                    highlight = gloss * sharp**shine
                for k in range(3):
                    # Light that enters skin leaves it further on, red most: it reaches round the terminator.
                    wrap = scatter * (np.float32(0.30) if k == 0 else np.float32(0.12))
                    diffuse = max((cosine + wrap) / (ONE + wrap), np.float32(0))
                    out[y, x, k] += light_colors[light, k] * shadow * (albedo[k] * diffuse + highlight)
            out[y, x, 3] = cover
    return out
