"""What a propagation has done, frame by frame on disk, so that one that was interrupted goes on from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from napari_sam2refiner.errors import InvalidConfigError, ReadError, SaveError
from napari_sam2refiner.planes.files import written_whole
from napari_sam2refiner.sessions.memory import Carried, Impression, Mask

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sam2refiner.sessions.stack import StackSession

TERMS = "terms.json"
_SUFFIX = ".safetensors"
_FRAMES = f"[0-9]*{_SUFFIX}"


class Journal:
    """A folder with a file for each frame that objects were carried to.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    terms : mapping of str to str or number
        What the results depend on: stack, prompts, model, settings. While no frame is kept, others replace them.
    limits : (float, float)
        Intensities that became black and white; whoever goes on takes the same, by `limits_in`.

    Raises
    ------
    InvalidConfigError
        If the folder was begun on other terms.
    SaveError
        If it cannot be made.

    Attributes
    ----------
    folder : Path
    """

    def __init__(self, folder: Path, terms: Mapping[str, str | int | float], limits: tuple[float, float]) -> None:
        self.folder = folder
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            msg = f"{folder} cannot be made: {error.strerror or error}; choose another place."
            raise SaveError(msg) from error
        if not any(folder.glob(_FRAMES)):
            with written_whole(folder / TERMS) as partial:
                partial.write_text(json.dumps({**terms, "limits": limits}, indent=1), encoding="utf-8")
            return
        begun = _begun(folder)
        changed = [name for name, value in terms.items() if begun.get(name) != value]
        if changed:
            name = changed[0]
            msg = (
                f"{folder} holds what was done with another {name} ({begun.get(name)} instead of {terms[name]}); "
                f"go on with that, or remove the folder to begin again."
            )
            raise InvalidConfigError(msg)

    @staticmethod
    def limits_in(folder: Path) -> tuple[float, float] | None:
        """Return the limits that a folder was begun with; None where it is not."""
        if not any(folder.glob(_FRAMES)):
            return None
        low, high = _begun(folder)["limits"]
        return float(low), float(high)

    def write(self, stack: StackSession, frame: int) -> None:
        """Keep what objects were carried to on a frame; raise `SaveError` if there is no room for it."""
        tensors: dict[str, Tensor] = {}
        about: dict[str, Any] = {}
        for number, (step, known) in stack.carried(frame).items():
            if known is None:
                about[str(number)] = [step]
                continue
            tensors[f"{number}.mask"] = known.mask.part.contiguous()
            if known.pointer is not None:
                tensors[f"{number}.pointer"] = known.pointer.cpu().contiguous()
            _, place, shape, outside = known.mask
            about[str(number)] = [step, known.score, known.object_logit, place, shape, outside]
        with written_whole(self.folder / f"{frame:06d}{_SUFFIX}") as partial:
            partial.write_bytes(save(tensors, {"objects": json.dumps(about)}))

    def restore(self, stack: StackSession) -> dict[int, set[int]]:
        """Bring back what is in it, and return the objects of each frame; raise `ReadError` if a file is damaged."""
        restored = {}
        for path in sorted(self.folder.glob(_FRAMES)):
            carried: dict[int, Carried] = {}
            try:
                with safe_open(path, "pt") as file:
                    about = json.loads(file.metadata()["objects"])
                    there = set(file.keys())
                    for number, (step, *known) in about.items():
                        if not known:
                            carried[int(number)] = Carried(step, None)
                            continue
                        score, object_logit, place, shape, outside = known
                        mask = Mask(file.get_tensor(f"{number}.mask"), tuple(place), tuple(shape), outside)
                        pointer = f"{number}.pointer"
                        pointed = file.get_tensor(pointer) if pointer in there else None
                        carried[int(number)] = Carried(step, Impression(mask, score, object_logit, pointed))
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                msg = f"{path} cannot be read ({error}); remove it, and its frame is done again."
                raise ReadError(msg) from error
            stack.restore(int(path.stem), carried)
            restored[int(path.stem)] = set(carried)
        return restored

    def remove(self) -> None:
        """Take it away, when what was done is elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _begun(folder: Path) -> dict[str, Any]:
    """Read the terms of a folder."""
    try:
        begun = json.loads((folder / TERMS).read_text(encoding="utf-8"))
        if "limits" not in begun:
            msg = "it has no limits"
            raise ValueError(msg)
    except (OSError, ValueError, TypeError) as error:
        msg = f"{folder / TERMS} cannot be read ({error}); remove {folder} to begin again."
        raise ReadError(msg) from error
    return dict(begun)
