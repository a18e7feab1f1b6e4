"""Settings of a training run: closed, validated, saved beside every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_sam2refiner.errors import InvalidConfigError, ReadError

C = TypeVar("C", bound="TrainingConfig")

FirstPrompt = Literal[
    "click", "random_click", "box", "noisy_box", "noisy_mask", "tool_mask", "box_and_click", "mask_and_click"
]


class TrainingConfig(BaseModel):
    """Settings of every course; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0)
    """Of weights, crops and the simulated user."""
    steps: int = Field(20_000, ge=1)
    """Optimizer steps at most."""
    minutes: float | None = Field(None, gt=0)
    """Wall-clock limit; the schedule follows whichever of steps and minutes is nearer its end."""
    crops: int = Field(5, ge=1)
    """Crops in a step of each process."""
    objects: int = Field(7, ge=1)
    """Objects taken from a crop at most."""
    weights: dict[str, float] = {
        "dsb2018": 0.42,
        "pfc_neurons": 0.13,
        "bbbc010_worms": 0.06,
        "usiigaci_t98g": 0.08,
        "em_fibsem_medulla_neurites": 0.09,
        "plantseg": 0.05,
        "qcanet_mouse_embryo_nuclei": 0.03,
        "usiigaci_t98g_silver": 0.03,
        "cancer_cell_migration_silver": 0.02,
        "chase_db1": 0.01,
        "scenes": 0.08,
        "thin_scenes": 0.08,
    }
    """Shares of the data sets; sets that are not there are left out, those that are not named get 0.05."""
    scenes: int = Field(400, ge=0)
    """Synthetic scenes to draw."""
    plain: float = Field(0.5, ge=0, le=1)
    """Share of crops that keep their brightness and sharpness: where people draw an outline depends on these."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of AdamW, after the warm-up and before the cool-down."""
    weight_decay: float = Field(0.02, ge=0)
    """Of matrices and kernels."""
    warmup: int = Field(150, ge=0)
    """Steps of linear warm-up."""
    cooldown: float = Field(0.6, ge=0, le=1)
    """Share of the run at its end in which the rate falls, as a cosine, to a hundredth."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay of the averaged weights, which are what is validated and shipped."""
    validate_every: int = Field(1000, ge=1)
    """Steps between validations."""
    checkpoint_minutes: float = Field(5.0, gt=0)
    """Minutes between checkpoints."""
    workers: int = Field(0, ge=0)
    """Processes that prepare crops; 0 prepares them in the training process."""

    @field_validator("first_prompts", "weights", check_fields=False)
    @classmethod
    def _shares(cls, shares: dict[str, float]) -> dict[str, float]:
        if min(shares.values(), default=0) < 0 or sum(shares.values()) <= 0:
            msg = "these must be shares of at least 0 with a positive sum"
            raise ValueError(msg)
        return shares


class CropTrainingConfig(TrainingConfig):
    """Settings of courses that ask a base about crops."""

    crop: int = Field(256, ge=128, multiple_of=128)
    """Side of the training crops in pixels; also trained at a half and a quarter of it, down to stride 32."""
    rounds: int = Field(2, ge=1)
    """Prompts of an object: the first and corrective clicks."""
    long_rounds: int = Field(5, ge=1)
    """Rounds of every eighth step, with fewer objects."""
    whole_planes: float = Field(0.65, ge=0, le=1)
    """Share of crops that show their field about as large as the network sees it when the whole plane is shown."""
    spread: float = Field(0.4, ge=0)
    """How much larger or smaller these may be: the standard deviation of the logarithm."""
    extent: tuple[float, float] = (8.0, 300.0)
    """In the other crops, extent of the object a crop is centred on, in pixels of the crop, drawn log-uniformly."""
    first_prompts: dict[FirstPrompt, float] = {
        "click": 0.45,
        "random_click": 0.2,
        "box": 0.15,
        "noisy_box": 0.11,
        "noisy_mask": 0.09,
    }
    """Shares of the kinds of first prompt."""
    score_weight: float = Field(0.5, ge=0)
    """Weight of the predicted IoU."""
    choice_weight: float = Field(1.0, ge=0)
    """Weight of the IoU that is lost by choosing a level and a cut by their scores."""

    @field_validator("extent")
    @classmethod
    def _growing(cls, extent: tuple[float, float]) -> tuple[float, float]:
        low, high = extent
        if not 0 < low < high:
            msg = f"it is {extent}; give two growing positive numbers"
            raise ValueError(msg)
        return extent

    @property
    def most_objects(self) -> int:
        """Objects that any step takes from a crop at most."""
        return self.objects


class BaseTrainingConfig(CropTrainingConfig):
    """Settings of `train base`."""

    opening: float = Field(0.25, ge=0, le=1)
    """Share of the run at its start in which objects get their first prompt only: faster steps while all is new."""
    guess_steps: float = Field(0.0, ge=0, le=0.9)
    """Share of steps that end before the decoder: guesses and prompt maps for the first prompts of many objects.

    What comes before the decoder limits it, and learns about twice as much in the same time.
    """
    guess_objects: int = Field(24, ge=1)
    """Objects taken from a crop at most in such steps."""
    guess_weight: float = Field(0.5, ge=0)
    """Weight of the instance embedding's own masks; that of the final masks is 1."""
    fused_weight: float = Field(0.3, ge=0)
    """Weight of the masks after the prompt maps, before the decoder."""
    outline_weight: float = Field(0.5, ge=0)
    """Weight of foreground and boundary."""

    @property
    def most_objects(self) -> int:
        """Objects that any step takes from a crop at most."""
        return max(self.objects, self.guess_objects) if self.guess_steps else self.objects


class ScoreTrainingConfig(CropTrainingConfig):
    """Settings of `train scores`; the crops are what sessions show the network, whole planes and closer looks."""

    crop: int = Field(512, ge=128, multiple_of=128)
    """Side of the crops in pixels: that of the network's square."""
    crops: int = Field(1, ge=1)
    """Crops in a step of each process."""
    objects: int = Field(12, ge=1)
    """Objects taken from a crop at most."""
    steps: int = Field(600, ge=1)
    """Optimizer steps at most."""
    warmup: int = Field(50, ge=0)
    """Steps of linear warm-up."""
    cooldown: float = Field(0.9, ge=0, le=1)
    """Share of the run at its end in which the rate falls, as a cosine, to a hundredth."""
    ema: float = Field(0.99, ge=0, lt=1)
    """Decay of the averaged weights: a short run remembers less."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of AdamW, after the warm-up and before the cool-down."""
    weight_decay: float = Field(0.05, ge=0)
    """Of matrices."""
    plain: float = Field(0.9, ge=0, le=1)
    """Share of crops that keep their brightness and sharpness."""
    whole_planes: float = Field(0.6, ge=0, le=1)
    """Share of crops that show a whole plane; the others are closer looks."""
    spread: float = Field(0.1, ge=0)
    """How much larger or smaller than a session shows them planes may be: standard deviation of the logarithm."""
    extent: tuple[float, float] = (40.0, 300.0)
    """Extent of the object that a closer look is for, in pixels of the crop, drawn log-uniformly."""
    score_weight: float = Field(1.0, ge=0)
    """Weight of the predicted IoU."""
    batch: int = Field(512, ge=1)
    """Answers that are learned from in a step."""
    remembered: int = Field(40_000, ge=1)
    """The latest answers, from which those of a step are drawn; 1 kB each."""


class RefinerTrainingConfig(TrainingConfig):
    """Settings of `train refiner`."""

    thin_scenes: int = Field(200, ge=0)
    """Synthetic scenes of neurons and filaments to draw beside the others."""
    crops: int = Field(2, ge=1)
    """Planes in a step of each process: whole fields, or windows of them."""
    objects: int = Field(8, ge=1)
    """Objects taken from a plane at most."""
    learning_rate: float = Field(5e-4, gt=0)
    """Of AdamW, after the warm-up and before the cool-down."""
    whole_planes: float = Field(0.4, ge=0, le=1)
    """Share of planes that are whole fields; the others are windows, down to where an object fills the view."""
    first_prompts: dict[FirstPrompt, float] = {
        "click": 0.45,
        "random_click": 0.1,
        "box": 0.1,
        "noisy_box": 0.05,
        "noisy_mask": 0.15,
        "tool_mask": 0.05,
        "box_and_click": 0.05,
        "mask_and_click": 0.05,
    }
    """Shares of the kinds of first prompt; one kind for all objects of a step."""
    single: float = Field(0.4, ge=0, le=1)
    """Share of steps that end with the first prompt; the others go on to any number of prompts."""
    rounds: int = Field(10, ge=1)
    """Prompts of an object at most: the first and corrective clicks."""
    without_detail: float = Field(0.4, ge=0, le=1)
    """Share of steps in which no quadrant is looked up; in half of the others some are left out."""
    points: int = Field(2048, ge=16)
    """Points of each object at which fine masks are compared."""
    fine_weight: float = Field(1.0, ge=0)
    """Weight of the masks at S; that at S/4 is 1, that at S/2 half of this one."""
    harm_weight: float = Field(2.0, ge=0)
    """Weight of what IoU is lost against the base."""
    score_weight: float = Field(0.5, ge=0)
    """Weight of the predicted IoU."""
    look_weight: float = Field(0.5, ge=0)
    """Weight of where any object, and any outline, is seen in the pixels."""
    validation_views: int = Field(12, ge=1)
    """Views of each held-out set in a validation; each costs about as much as a step."""
    opening: float = Field(0.15, ge=0, le=1)
    """Share of the run at its start in which only that is learned: an eighth of a step's cost, and without prompts."""


class MemoryTrainingConfig(TrainingConfig):
    """Settings of `train memory`."""

    crops: int = Field(16, ge=1)
    """Objects in a step of each process, each seen on three frames."""
    stills: float = Field(0.45, ge=0, le=1)
    """Share of objects of still images, whose frames are made by moving and bending them; others are of sequences."""
    plain: float = Field(0.4, ge=0, le=1)
    """Share of objects whose frames keep their brightness."""
    absent: float = Field(0.06, ge=0, le=1)
    """Share of objects that are made to be gone."""
    ending: float = Field(0.25, ge=0, le=1)
    """Share of the draws from frames where some object ends that take such a one."""
    damaged: float = Field(0.6, ge=0, le=1)
    """Share of objects whose mask on the frame before is not the true one."""
    rolled: float = Field(0.6, ge=0, le=1)
    """Share of steps in which objects are followed over two frames, the second time from what was found."""
    farthest: int = Field(3, ge=1)
    """Frames from one to the next, at most."""
    there_weight: float = Field(0.3, ge=0)
    """Weight of whether an object is there at all."""


def load_config(path: Path | None, kind: type[C], **overrides: object) -> C:
    """Read settings of a kind from a JSON file, if there is one, and replace those given by name (None keeps).

    Raises
    ------
    ReadError
        If the file cannot be read.
    InvalidConfigError
        If any setting is unknown or out of range; all problems are named.
    """
    settings = {} if path is None else _read_settings(path)
    settings.update({k: v for k, v in overrides.items() if v is not None})
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        msg = f"the settings are not valid ({problems}); mend them."
        raise InvalidConfigError(msg) from error


def _read_settings(path: Path) -> dict[str, object]:
    """Read a JSON object."""
    try:
        settings: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read ({error}); give a JSON file of settings."
        raise ReadError(msg) from error
    if not isinstance(settings, dict):
        msg = f"{path} holds a {type(settings).__name__}; give a JSON object of settings."
        raise InvalidConfigError(msg)
    return settings
