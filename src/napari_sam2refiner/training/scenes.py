"""Synthetic microscopy scenes with exact instance labels, for what annotated sets lack.

Each scene is drawn by one function `(rng, side) -> (image, labels)`: image (side, side) or (side, side, 3) float32,
labels (side, side) int32. The optics (point spread function, uneven light, noise) are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

Image = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Scene = tuple[Image, Labels]


def texture(rng: np.random.Generator, side: int, grain: float) -> Image:
    """Smooth noise of zero mean and unit deviation; `grain` is its correlation length in pixels."""
    coarse = max(2, int(np.ceil(side / max(grain, 1.0))) + 3)
    noise = rng.standard_normal((coarse, coarse)).astype(np.float32)
    smooth = ndi.zoom(noise, side / (coarse - 2), order=1 if grain < 3 else 3)[:side, :side]
    standard: Image = (smooth - smooth.mean()) / (smooth.std() + 1e-6)
    return standard


def blob(rng: np.random.Generator, radius: float, stretch: float, roughness: float) -> npt.NDArray[np.bool_]:
    """A round, elongated or lobed shape in a box of its own."""
    reach = int(np.ceil(radius * stretch * (1.0 + 2.0 * roughness))) + 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    turn = rng.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    angle = np.arctan2(v * stretch, u / stretch)
    edge = np.ones_like(angle)
    for lobe in range(2, 7):
        edge += roughness / (lobe - 1) * rng.normal() * np.cos(lobe * angle + rng.uniform(0, 2 * np.pi))
    shape: npt.NDArray[np.bool_] = np.hypot(u / stretch, v * stretch) < radius * np.clip(
        edge, 0.3, 1.0 + 2.0 * roughness
    )
    return shape


def place(labels: Labels, shape: npt.NDArray[np.bool_], y: int, x: int, label: int, *, over: bool = False) -> None:
    """Draw a shape with its middle at (y, x); on background only, unless `over`."""
    height, width = shape.shape
    top, left = y - height // 2, x - width // 2
    rows, columns = slice(max(top, 0), max(top + height, 0)), slice(max(left, 0), max(left + width, 0))
    target = labels[rows, columns]
    part = shape[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    target[part if over else part & (target == 0)] = label


def scatter(
    rng: np.random.Generator, side: int, count: int, radius: tuple[float, float], stretch: float, roughness: float
) -> Labels:
    """Many blobs; where they meet, the first keeps its pixels."""
    labels = np.zeros((side, side), np.int32)
    for label in range(1, count + 1):
        shape = blob(rng, rng.uniform(*radius), rng.uniform(1.0, stretch), roughness)
        place(labels, shape, int(rng.integers(side)), int(rng.integers(side)), label)
    return labels


def per_object(rng: np.random.Generator, labels: Labels, low: float, high: float) -> Image:
    """A value for each object, drawn uniformly; zero on the background."""
    values = rng.uniform(low, high, int(labels.max()) + 1).astype(np.float32)
    values[0] = 0.0
    image: Image = values[labels]
    return image


def depth(labels: Labels) -> Image:
    """Distance to the object's own edge, in pixels."""
    edges = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) != 0
        edges |= np.pad(step, [(0, 1) if a == axis else (0, 0) for a in (0, 1)])
        edges |= np.pad(step, [(1, 0) if a == axis else (0, 0) for a in (0, 1)])
    distance: Image = (ndi.distance_transform_edt(~edges) * (labels > 0)).astype(np.float32)
    return distance


def nuclei(rng: np.random.Generator, side: int) -> Scene:
    """Bright nuclei on a dark ground, of very different brightness, touching."""
    radius = rng.uniform(0.015, 0.12) * side
    count = int(np.clip(rng.uniform(0.1, 0.6) * side**2 / (np.pi * radius**2), 1, 150))
    labels = scatter(rng, side, count, (0.6 * radius, 1.3 * radius), 1.4, 0.1)
    light = per_object(rng, labels, rng.uniform(0.1, 0.7), 1.0)
    image = (
        light * (1.0 + rng.uniform(0, 0.3) * texture(rng, side, radius / 3)) * np.minimum(depth(labels) / 3 + 0.4, 1)
    )
    return image.astype(np.float32), labels


def phase_contrast(rng: np.random.Generator, side: int) -> Scene:
    """Grey cells with bright halos and grainy insides, little different from the ground."""
    radius = rng.uniform(0.05, 0.2) * side
    count = int(np.clip(rng.uniform(0.2, 1.0) * side**2 / (np.pi * radius**2), 1, 60))
    labels = scatter(rng, side, count, (0.5 * radius, 1.2 * radius), 2.2, rng.uniform(0.1, 0.5))
    inside = depth(labels)
    outside = ndi.distance_transform_edt(labels == 0)
    halo = np.exp(-inside / rng.uniform(1, 3)) * (labels > 0) + np.exp(-outside / rng.uniform(1.5, 5)) * (labels == 0)
    image = 0.5 + rng.uniform(0.2, 0.8) * halo + (labels > 0) * rng.uniform(-0.25, 0.15)
    image = image + (labels > 0) * rng.uniform(0.03, 0.2) * texture(rng, side, rng.uniform(1, 6))
    image = image + 0.3 * np.exp(-(((inside - 0.6 * radius) / (0.2 * radius)) ** 2)) * rng.uniform(-1, 1) * (labels > 0)
    return image.astype(np.float32), labels


def rods(rng: np.random.Generator, side: int) -> Scene:
    """Rods, straight or bent, alone or in rafts: bacteria, worms."""
    width = rng.uniform(0.008, 0.035) * side
    length = width * rng.uniform(3, 14)
    labels = np.zeros((side, side), np.int32)
    main = rng.uniform(0, np.pi)
    for label in range(1, int(rng.integers(3, 60)) + 1):
        turn = main + rng.normal() * 0.4 if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)
        draw_curve(rng, labels, label, rng.uniform(0, side, 2), turn, rng.uniform(0.6, 1.2) * length, width, 0.04)
    dark = rng.random() < 0.5
    profile = np.minimum(depth(labels) / (0.5 * width + 0.5), 1)
    image = per_object(rng, labels, 0.5, 1.0) * profile * (1.0 + 0.1 * texture(rng, side, 3))
    return (1.0 - 0.8 * image if dark else image).astype(np.float32), labels


def draw_curve(
    rng: np.random.Generator,
    labels: Labels,
    label: int,
    start: npt.NDArray[np.float64],
    turn: float,
    length: float,
    width: float,
    bend: float,
    taper: float = 0.0,
) -> list[npt.NDArray[np.float64]]:
    """Draw a wandering curve of given width, thinner towards its end by `taper`; return the points on it."""
    places, at, curvature = [], start.astype(float), 0.0
    step = max(0.7, width / 4)
    for i in range(int(length / step)):
        curvature = 0.9 * curvature + rng.normal() * bend
        turn += curvature * step / max(width, 1.0)
        at = at + step * np.array([np.sin(turn), np.cos(turn)])
        radius = max(0.5, 0.5 * width * (1.0 - taper * i * step / length))
        reach = int(np.ceil(radius)) + 1
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        whole = np.round(at).astype(int)
        disc = (y + whole[0] - at[0]) ** 2 + (x + whole[1] - at[1]) ** 2 <= radius**2
        place(labels, disc, int(whole[0]), int(whole[1]), label)
        places.append(at)
    return places


def neurons(rng: np.random.Generator, side: int) -> Scene:
    """Cell bodies with branching processes; thin parts count."""
    labels = np.zeros((side, side), np.int32)
    for label in range(1, int(rng.integers(1, 6)) + 1):
        soma = rng.uniform(0.02, 0.08) * side
        centre = rng.uniform(0.1 * side, 0.9 * side, 2)
        place(labels, blob(rng, soma, rng.uniform(1.0, 1.5), 0.15), int(centre[0]), int(centre[1]), label)
        for _ in range(int(rng.integers(1, 8))):
            width = rng.uniform(0.1, 0.5) * soma + 1.0
            trunk = draw_curve(
                rng, labels, label, centre, rng.uniform(0, 2 * np.pi), rng.uniform(3, 12) * soma, width, 0.06, 0.7
            )
            for _ in range(int(rng.integers(0, 3))):
                fork = trunk[int(rng.integers(len(trunk)))]
                turn, reach = rng.uniform(0, 2 * np.pi), rng.uniform(1, 5) * soma
                draw_curve(rng, labels, label, fork, turn, reach, 0.5 * width + 0.5, 0.06, 0.6)
    image = per_object(rng, labels, 0.4, 1.0) * (0.5 + 0.5 * np.minimum(depth(labels) / 4, 1))
    image = image + rng.uniform(0, 0.25) * np.abs(texture(rng, side, rng.uniform(2, 30)))
    return (1.0 - image if rng.random() < 0.5 else image).astype(np.float32), labels


def filaments(rng: np.random.Generator, side: int) -> Scene:
    """Thin threads that branch and cross, alone or many: vessels, hyphae, microtubules."""
    labels = np.zeros((side, side), np.int32)
    width = float(np.exp(rng.uniform(np.log(1.2), np.log(7.0))))
    bend = rng.uniform(0.01, 0.06)
    for label in range(1, int(rng.integers(1, 14)) + 1):
        own = max(1.0, width * rng.uniform(0.6, 1.3))
        trunk = draw_curve(
            rng,
            labels,
            label,
            rng.uniform(0, side, 2),
            rng.uniform(0, 2 * np.pi),
            rng.uniform(0.3, 1.3) * side,
            own,
            bend,
            0.4,
        )
        for _ in range(int(rng.integers(0, 7)) if rng.random() < 0.6 else 0):
            fork, reach = trunk[int(rng.integers(len(trunk)))], rng.uniform(0.1, 0.5) * side
            thinner = max(1.0, own * rng.uniform(0.4, 0.9))
            draw_curve(rng, labels, label, fork, rng.uniform(0, 2 * np.pi), reach, thinner, bend, 0.5)
    image = per_object(rng, labels, rng.uniform(0.3, 0.7), 1.0) * (0.6 + 0.4 * np.minimum(depth(labels) / 3, 1))
    image = image * (1.0 + rng.uniform(0, 0.2) * texture(rng, side, rng.uniform(3, 30)))
    image = image + rng.uniform(0, 0.3) * np.abs(texture(rng, side, rng.uniform(4, 60)))
    return (1.0 - image if rng.random() < 0.5 else image).astype(np.float32), labels


def membranes(rng: np.random.Generator, side: int) -> Scene:
    """A tissue of cells that fill the plane, told apart by their membranes alone."""
    count = int(rng.integers(4, 120))
    labels = tissue(rng, side, count)
    inside = depth(labels)
    wall = np.exp(-((inside / rng.uniform(0.8, 2.5)) ** 2))
    holes = rng.uniform(0.6, 1.0) + 0.4 * texture(rng, side, side / 6)
    image = wall * np.clip(holes, 0.1, 1.2) + rng.uniform(0, 0.15) * texture(rng, side, rng.uniform(1, 8))
    if rng.random() < 0.5:
        image = 0.8 - rng.uniform(0.4, 0.8) * image + per_object(rng, labels, -0.1, 0.1)
    if rng.random() < 0.4:  # some cells are ground
        labels = np.where(np.isin(labels, rng.permutation(count)[: count // 3] + 1), 0, labels).astype(np.int32)
    return image.astype(np.float32), labels


def tissue(rng: np.random.Generator, side: int, count: int) -> Labels:
    """A warped Voronoi partition into `count` cells."""
    seeds = rng.uniform(0, side, (count, 2)).astype(np.float32)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    scale = side / np.sqrt(count)
    warp = rng.uniform(0.05, 0.25) * scale
    stretch = rng.uniform(1.0, 2.5)
    y, x = y + warp * texture(rng, side, scale / 2), x + warp * texture(rng, side, scale / 2)
    nearest = np.zeros((side, side), np.int32)
    best = np.full((side, side), np.inf, np.float32)
    for label, (sy, sx) in enumerate(seeds, 1):
        distance = (y - sy) ** 2 * stretch + (x - sx) ** 2
        closer = distance < best
        nearest[closer], best[closer] = label, distance[closer]
    return nearest


def organelles(rng: np.random.Generator, side: int) -> Scene:
    """Dark, striped bodies within cells bounded by membranes, as mitochondria in electron micrographs."""
    cells = tissue(rng, side, int(rng.integers(4, 40)))
    wall = np.exp(-((depth(cells) / rng.uniform(0.8, 2.0)) ** 2))
    radius = rng.uniform(0.02, 0.09) * side
    labels = scatter(rng, side, int(rng.integers(3, 25)), (0.6 * radius, 1.3 * radius), 2.0, 0.15)
    stripes = texture(rng, side, rng.uniform(1.5, 4))
    rim = np.exp(-((depth(labels) / 1.5) ** 2)) * (labels > 0)
    body = (labels > 0) * (rng.uniform(0.15, 0.45) + 0.12 * stripes) + 0.25 * rim
    specks = 0.15 * texture(rng, side, 1.5) + 0.1 * texture(rng, side, 6)
    image = 0.75 - 0.5 * wall * (labels == 0) - body + specks
    return image.astype(np.float32), labels


def stained(rng: np.random.Generator, side: int) -> Scene:
    """Bright field in colour: round cells with dark nuclei among paler ones; whole cells are the objects."""
    ground = rng.uniform(0.75, 0.98, 3)
    radius = rng.uniform(0.05, 0.3) * side
    labels = scatter(rng, side, int(rng.integers(1, 25)), (0.7 * radius, 1.2 * radius), 1.3, 0.08)
    kernel = np.zeros_like(labels)
    for label in np.unique(labels)[1:]:
        y, x = (int(v.mean()) for v in np.nonzero(labels == label))
        place(kernel, blob(rng, rng.uniform(0.4, 0.75) * radius, rng.uniform(1, 1.5), 0.3), y, x, int(label))
    kernel *= kernel == labels
    paint = rng.uniform(0.35, 0.9, (int(labels.max()) + 1, 3)) if rng.random() < 0.5 else None
    cytoplasm = rng.uniform(0.5, 0.95, 3) * ground
    image = np.broadcast_to(ground, (side, side, 3)).copy()
    image[labels > 0] = cytoplasm if paint is None else paint[labels[labels > 0]]
    if rng.random() < 0.8:
        image[kernel > 0] = rng.uniform(0.1, 0.6, 3)
    shade = 1.0 + rng.uniform(0.02, 0.12) * texture(rng, side, rng.uniform(1, 10)) * (0.3 + (labels > 0))
    rim = 1.0 - rng.uniform(0, 0.3) * np.exp(-depth(labels) / 2) * (labels > 0)
    return (image * (shade * rim)[..., None]).astype(np.float32), labels


def patches(rng: np.random.Generator, side: int) -> Scene:
    """Shapes of any kind that differ from the ground in texture or tone only."""
    radius = rng.uniform(0.03, 0.3) * side
    labels = scatter(rng, side, int(rng.integers(1, 30)), (0.5 * radius, 1.3 * radius), 3.0, rng.uniform(0, 0.6))
    channels = 3 if rng.random() < 0.4 else 1
    image = np.empty((side, side, channels), np.float32)
    for c in range(channels):
        ground = rng.uniform(0, 1) + rng.uniform(0, 0.3) * texture(rng, side, rng.uniform(1, 20))
        tone = per_object(rng, labels, 0, 1) + rng.uniform(0, 0.3) * texture(rng, side, rng.uniform(1, 20))
        image[..., c] = np.where(labels > 0, tone, ground)
    rim = rng.uniform(-0.5, 0.5) * np.exp(-depth(labels) / 1.5) * (labels > 0)
    return (image + rim[..., None]).astype(np.float32).squeeze(), labels


SCENES: dict[str, Callable[[np.random.Generator, int], Scene]] = {
    "nuclei": nuclei,
    "phase_contrast": phase_contrast,
    "rods": rods,
    "neurons": neurons,
    "filaments": filaments,
    "membranes": membranes,
    "organelles": organelles,
    "stained": stained,
    "patches": patches,
}


def observe(rng: np.random.Generator, image: Image) -> Image:
    """Look at a scene through a microscope: point spread function, uneven light, background, noise."""
    side = image.shape[0]
    stack = np.atleast_3d(image).astype(np.float32)
    width = float(np.exp(rng.uniform(np.log(0.4), np.log(2.0))))
    light = 1.0 + rng.uniform(0, 0.25) * texture(rng, side, side / 2) + 0.05 * texture(rng, side, side / 8)
    haze = rng.uniform(0, 0.2) * ndi.gaussian_filter(stack.mean(-1), side / 20)
    for c in range(stack.shape[-1]):
        stack[..., c] = ndi.gaussian_filter(stack[..., c], width) * light + haze
    low, high = stack.min(), stack.max()
    stack = (stack - low) / max(high - low, 1e-6)
    photons = float(np.exp(rng.uniform(np.log(20), np.log(2000))))
    stack = rng.poisson(np.clip(stack, 0, None) * photons + rng.uniform(0, 0.1) * photons) / photons
    seen: Image = (stack + rng.normal(0, rng.uniform(0, 0.03), stack.shape)).astype(np.float32).squeeze()
    return seen


THIN = ("neurons", "filaments")


def scene(seed: int, side: int = 320, kinds: Sequence[str] = tuple(SCENES)) -> Scene:
    """Return scene number `seed`: image (side, side[, 3]) float32 and labels (side, side) int32, never empty."""
    rng = np.random.default_rng(seed)
    draw = SCENES[kinds[seed % len(kinds)]]
    image, labels = draw(rng, side)
    while not labels.any():
        image, labels = draw(rng, side)
    return observe(rng, image), labels
