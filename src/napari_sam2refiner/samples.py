"""Samples for napari's File > Open Sample, none of them a download: two microscopy pictures, one made-up time-lapse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage import data

LayerData = tuple[npt.NDArray[Any], dict[str, Any], Literal["image"]]

FRAMES, SIDE = 20, 256
NUCLEI = 12
RADIUS = 11.0  # of a nucleus before it divides, in pixels
BACKGROUND, PHOTONS = 8.0, 110.0  # expected counts outside, and added in the middle of a nucleus


def cell() -> list[LayerData]:
    """Return one cell in a quantitative phase image, (660, 550) uint8; from scikit-image, CC0."""
    image = data.cell()
    return [(image, {"name": "cell", "colormap": "gray"}, "image")]


def tissue() -> list[LayerData]:
    """Return colonic glands with stained nuclei, (512, 512, 3) uint8; from scikit-image, no known restrictions."""
    image = data.immunohistochemistry()
    return [(image, {"name": "tissue", "rgb": True}, "image")]


def dividing_nuclei() -> list[LayerData]:
    """Return a synthetic time-lapse of nuclei that move and divide, (20, 256, 256) uint8."""
    look = {"name": "dividing nuclei", "colormap": "gray", "axis_labels": ("time", "y", "x")}
    return [(nuclei_movie(), look, "image")]


def nuclei_movie(seed: int = 7) -> npt.NDArray[np.uint8]:
    """Return fluorescent nuclei that drift, turn and divide, blurred and with shot noise.

    Parameters
    ----------
    seed : int
        The same seed gives the same movie.

    Returns
    -------
    (20, 256, 256) uint8 array
    """
    rng = np.random.default_rng(seed)
    nuclei = _scattered(rng)
    movie = np.empty((FRAMES, SIDE, SIDE), np.uint8)
    for frame in range(FRAMES):
        light = np.zeros((SIDE, SIDE), np.float32)
        for nucleus in nuclei:
            nucleus.draw(light)
        expected = BACKGROUND + PHOTONS * ndimage.gaussian_filter(light, 1.2)
        movie[frame] = np.clip(rng.poisson(expected) + rng.normal(0, 2, expected.shape), 0, 255)
        nuclei = [after for nucleus in nuclei for after in nucleus.next(rng)]
        _push_apart(nuclei)
    return movie


@dataclass
class _Nucleus:
    """A textured ellipse. `age` counts frames since its last division; it divides when `lifetime` is over."""

    place: npt.NDArray[np.float64]  # (y, x)
    velocity: npt.NDArray[np.float64]
    angle: float
    radius: float
    texture: npt.NDArray[np.float32]
    lifetime: int
    age: int = 0

    def draw(self, light: npt.NDArray[np.float32]) -> None:
        """Add the nucleus to a picture; before a division it is long, narrow and bright."""
        mitosis = max(0.0, 1 - (self.lifetime - self.age) / 3)
        long, short = self.radius * (1.25 + 0.4 * mitosis), self.radius * (0.9 - 0.35 * mitosis)
        top, left = (max(0, math.floor(centre - 2 * self.radius)) for centre in self.place)
        bottom, right = (min(SIDE, math.ceil(centre + 2 * self.radius)) for centre in self.place)
        if bottom <= top or right <= left:
            return
        y, x = np.ogrid[top:bottom, left:right]
        y, x = y - self.place[0], x - self.place[1]
        along = y * math.sin(self.angle) + x * math.cos(self.angle)
        across = y * math.cos(self.angle) - x * math.sin(self.angle)
        edge = 1 / (1 + np.exp(6 * (np.hypot(along / long, across / short) - 1)))
        middle = len(self.texture) // 2
        grain = self.texture[
            np.rint(across + middle).astype(int) % len(self.texture),
            np.rint(along + middle).astype(int) % len(self.texture),
        ]
        light[top:bottom, left:right] += edge * grain * (1 + 0.5 * mitosis)

    def next(self, rng: np.random.Generator) -> list[_Nucleus]:
        """Return the nucleus one frame later, or its two daughters."""
        if self.age >= self.lifetime:
            return [self._daughter(side, rng) for side in (-1, 1)]
        velocity = 0.8 * self.velocity + rng.normal(0, 0.6, 2)
        radius = self.radius + 0.06 * (RADIUS - self.radius)
        angle = self.angle + rng.normal(0, 0.08)
        return [_Nucleus(self.place + velocity, velocity, angle, radius, self.texture, self.lifetime, self.age + 1)]

    def _daughter(self, side: int, rng: np.random.Generator) -> _Nucleus:
        away = side * np.array([math.sin(self.angle), math.cos(self.angle)])
        place = self.place + 0.8 * self.radius * away
        across = self.angle + math.pi / 2 + rng.normal(0, 0.2)
        return _Nucleus(place, 2 * away, across, 0.75 * self.radius, _texture(rng), int(rng.integers(14, 30)))


def _scattered(rng: np.random.Generator) -> list[_Nucleus]:
    """Return nuclei at random places that keep their distance, at different points of their lives."""
    places: list[npt.NDArray[np.float64]] = []
    while len(places) < NUCLEI:
        place = rng.uniform(2 * RADIUS, SIDE - 2 * RADIUS, 2)
        if all(math.dist(place, other) > 3.2 * RADIUS for other in places):
            places.append(place)
    return [
        _Nucleus(
            place,
            rng.normal(0, 1, 2),
            rng.uniform(0, math.pi),
            RADIUS * rng.uniform(0.8, 1.1),
            _texture(rng),
            lifetime=int(rng.integers(4, 34)),
        )
        for place in places
    ]


def _push_apart(nuclei: list[_Nucleus]) -> None:
    """Move nuclei that would overlap away from each other."""
    for index, one in enumerate(nuclei):
        for other in nuclei[:index]:
            apart = one.place - other.place
            distance = float(np.hypot(*apart)) or 1.0
            lack = 1.05 * (one.radius + other.radius) - distance
            if lack > 0:
                one.place = one.place + apart / distance * lack / 2
                other.place = other.place - apart / distance * lack / 2


def _texture(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return chromatin: brightness around 1 with smooth variation, (48, 48)."""
    noise = ndimage.gaussian_filter(rng.normal(size=(48, 48)), 2.5, mode="wrap")
    texture: npt.NDArray[np.float32] = (rng.uniform(0.7, 1.1) * (1 + 0.18 * noise / noise.std())).astype(np.float32)
    return texture
