"""Which other images are looked at together with one, and what becomes black and white; no Qt or napari here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from napari_sam2refiner.planes.channels import MOST_CHANNELS

if TYPE_CHECKING:
    from psygnal import SignalInstance

    from napari_sam2refiner.viewer.work import Work


@dataclass(frozen=True, slots=True)
class ChannelItem:
    """Another image of the same shape in the same place.

    Attributes
    ----------
    key : str
        Which one it is, also when it is renamed.
    name : str
    chosen : bool
        Whether it is looked at together with the image.
    """

    key: str
    name: str
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class ChannelOffer:
    """What can be looked at together with an image, and what is.

    Attributes
    ----------
    items : tuple of ChannelItem
    as_shown : bool
        Whether each channel's contrast limits become black and white; its percentiles otherwise.
    takes_others : bool
        Whether the image has one channel, and so room for others.
    """

    items: tuple[ChannelItem, ...] = ()
    as_shown: bool = False
    takes_others: bool = True

    @property
    def is_full(self) -> bool:
        """Whether there are as many channels as there may be."""
        return sum(item.chosen for item in self.items) >= MOST_CHANNELS - 1

    @property
    def is_default(self) -> bool:
        """Whether the image is looked at alone, by its percentiles."""
        return not self.as_shown and not any(item.chosen for item in self.items)

    @property
    def note(self) -> str:
        """Why nothing can be added; empty where something can."""
        if not self.takes_others:
            return "A colour image counts as three channels, so no other can be added."
        if not self.items:
            return "No other image layer has the shape and the place of this one."
        if self.is_full and len(self.items) > MOST_CHANNELS - 1:
            return "Three channels are the most; untick one to choose another."
        return ""


class Channels(Protocol):
    """What is looked at together with an image."""

    changed: SignalInstance
    """Other channels or another contrast, so that the image's source is another; with one sentence about it."""
    offered: SignalInstance

    @property
    def offer(self) -> ChannelOffer:
        """What can be chosen, and what is."""

    def choose(self, key: str, *, wanted: bool) -> None:
        """Look at another image together with this one, or no more."""

    def set_as_shown(self, as_shown: bool) -> None:
        """Choose whether contrast limits or percentiles become black and white."""


class ChannelActs:
    """What users choose of the channels of the image at hand.

    Parameters
    ----------
    at_hand : callable
        Returns the work at hand, None where there is none.
    """

    def __init__(self, at_hand: Callable[[], Work | None]) -> None:
        self._at_hand = at_hand

    def choose(self, key: str, wanted: bool) -> None:
        """Look at another image together with the one at hand, or no more."""
        work = self._at_hand()
        if work is not None:
            work.canvas.channels.choose(key, wanted=wanted)

    def set_as_shown(self, as_shown: bool) -> None:
        """Choose whether contrast limits or percentiles become black and white."""
        work = self._at_hand()
        if work is not None:
            work.canvas.channels.set_as_shown(as_shown)
