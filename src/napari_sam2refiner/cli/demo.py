"""`demo`: several objects of a real picture, segmented by clicks, a correction and a box."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2refiner.cli.console import DeviceOption, ModelOption, out
from napari_sam2refiner.cli.segment import label_image, open_session, print_files, print_objects, save
from napari_sam2refiner.errors import SaveError

if TYPE_CHECKING:
    from napari_sam2refiner.sessions.base import Prediction

NUCLEI = ((251, 297), (267, 173), (425, 218))  # a click on each
GLAND = (300, 250, 505, 385)  # a box around it
OTHER_GLAND = (180, 420), (125, 475)  # a click, and one on what that took too much


def demo(
    folder: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where labels.tif and overlay.png go; made if needed."),
    ] = Path("demo"),
    model: ModelOption = "micro",
    device: DeviceOption = "auto",
) -> None:
    """Segment objects of a real picture: a click on each nucleus, a box around a gland, a click and a correction."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder} cannot be made: {error.strerror}; choose another folder."
        raise SaveError(msg) from error
    start = time.perf_counter()
    from skimage import data

    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.sessions.prompts_file import PromptedObject

    pixels = data.immunohistochemistry()
    session = open_session(pixels, model, None, device)
    loaded = time.perf_counter()
    session.encode()
    encoded = time.perf_counter()
    prompts = [Prompts([point]) for point in NUCLEI] + [Prompts(boxes=[GLAND]), Prompts(OTHER_GLAND[:1])]
    predictions: list[Prediction] = session.predict_many(prompts)
    answered = time.perf_counter()
    prompts[-1] = Prompts(OTHER_GLAND, labels=[1, 0])
    predictions[-1] = session.predict(prompts[-1], previous=predictions[-1])
    corrected = time.perf_counter()
    objects = [PromptedObject(number, prompt) for number, prompt in enumerate(prompts, 1)]
    labels = label_image(pixels.shape[:2], objects, predictions, "overwrite")
    paths = folder / "labels.tif", folder / "overlay.png"
    save(labels, paths[0], pixels, objects, paths[1])
    out.print(
        f"Colon tissue with stained nuclei, {pixels.shape[0]} x {pixels.shape[1]} pixels, segmented by {model}: "
        f"{len(NUCLEI)} nuclei by a click each, a gland by a box, another by a click and a correction.",
        highlight=False,
    )
    print_objects(objects, predictions)
    out.print(
        f"loaded in {loaded - start:.1f} s, image encoded in {encoded - loaded:.2f} s, {len(prompts)} objects answered "
        f"together in {answered - encoded:.2f} s, one corrected in {corrected - answered:.2f} s.",
        highlight=False,
    )
    print_files(*paths)
