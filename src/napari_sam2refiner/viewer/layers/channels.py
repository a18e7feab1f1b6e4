"""The layers that are looked at together with an image as its channels, and what happens to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from psygnal import Signal

from napari_sam2refiner.planes.channels import MOST_CHANNELS
from napari_sam2refiner.viewer.channels import ChannelItem, ChannelOffer
from napari_sam2refiner.viewer.layers.source import ArraySource, ComposedSource
from napari_sam2refiner.viewer.layers.view import TRANSFORMS, finest, levels_of, lie_on_each_other

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sam2refiner.planes.channels import Limits

Call = Callable[[Callable[[], None]], None]


class ImageChannels:
    """Other image layers that are chosen to be looked at together with an image, and the contrast of all.

    Only layers of the same shape in the same place can be: those that stop being so are left out, and come back when
    they are so again. Reads layers, changes none.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    defer : callable
        Calls its argument once the event at hand is dealt with.
    settle : callable
        Calls its argument once the user lets go of what is being dragged.

    Signals
    -------
    changed(news) : `source` is another
    offered : `offer` is another

    Attributes
    ----------
    source : ArraySource or ComposedSource
        Where the planes of the image come from, with all channels; another object after each change.
    """

    changed = Signal(str)
    offered = Signal()

    def __init__(self, viewer: ViewerModel, image: Image, defer: Call, settle: Call) -> None:
        self._viewer, self._image = viewer, image
        self._defer, self._settle = defer, settle
        self._wanted: tuple[Layer, ...] = ()  # in the order in which they were chosen
        self._as_shown = False
        self._watched: list[Layer] = []
        self._is_due = self._is_closed = False
        self._is_stale = False  # a channel has other pixels
        for events, slot in self._connections():
            events.connect(slot)
        self._watch()
        self.renew()
        self._offer = self._offer_now()

    @property
    def offer(self) -> ChannelOffer:
        """What can be chosen, and what is."""
        return self._offer

    def choose(self, key: str, *, wanted: bool) -> None:
        """Look at another layer together with the image, or no more; one that does not fit is left alone."""
        chosen = [layer for layer in self._chosen() if _key(layer) != key]
        if wanted:
            chosen += [layer for layer in self._fitting() if _key(layer) == key]
        if len(chosen) < MOST_CHANNELS:
            self._wanted = tuple(chosen)
        self._check()

    def set_as_shown(self, as_shown: bool) -> None:
        """Choose whether each layer's contrast limits become black and white, or percentiles."""
        self._as_shown = as_shown
        self._check()

    def renew(self) -> None:
        """Make the source anew: pixels are others."""
        self._is_stale = False
        chosen = self._chosen()
        self._recipe = self._recipe_of(chosen)
        sources = [ArraySource(finest(one), levels_of(one), self._limits(one)) for one in (self._image, *chosen)]
        self.source: ArraySource | ComposedSource = ComposedSource(tuple(sources)) if chosen else sources[0]

    def close(self) -> None:
        """Take no more notice of any layer."""
        self._is_closed, self._wanted = True, ()
        for events, slot in self._connections():
            events.disconnect(slot)
        for layer in self._watched:
            self._unwatch(layer)
        self._watched = []

    # -- what there is ---------------------------------------------------------------------------------------------

    def _fitting(self) -> list[Layer]:
        """Return the layers that can be channels of the image."""
        return [] if self._image.rgb else [layer for layer in self._others() if self._fits(layer)]

    def _chosen(self) -> list[Layer]:
        """Return those that are looked at together with it."""
        fitting = self._fitting() if self._wanted else []
        return [layer for layer in self._wanted if layer in fitting]

    def _others(self) -> Iterator[Image]:
        return (layer for layer in self._viewer.layers if isinstance(layer, Image) and layer != self._image)

    def _fits(self, layer: Image) -> bool:
        is_alike = not layer.rgb and tuple(finest(layer).shape) == tuple(finest(self._image).shape)
        return is_alike and lie_on_each_other(self._image, layer)

    def _limits(self, layer: Image) -> Limits | None:
        """Return what of a layer becomes black and white."""
        if not self._as_shown:
            return None
        if layer.rgb:  # which napari shows as they are
            dtype = np.dtype(finest(layer).dtype)
            return 0.0, float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
        low, high = layer.contrast_limits
        return float(low), float(high)

    def _recipe_of(self, chosen: list[Layer]) -> tuple[Any, ...]:
        return tuple((_key(layer), self._limits(layer)) for layer in (self._image, *chosen))

    def _offer_now(self) -> ChannelOffer:
        chosen = self._chosen()
        items = tuple(ChannelItem(_key(layer), str(layer.name), layer in chosen) for layer in self._fitting())
        return ChannelOffer(items, self._as_shown, takes_others=not self._image.rgb)

    # -- what happens ----------------------------------------------------------------------------------------------

    def _connections(self) -> list[tuple[Any, Callable[..., None]]]:
        layers, image = self._viewer.layers.events, self._image.events
        moved = [getattr(image, name) for name in TRANSFORMS if hasattr(image, name)]
        return [
            *((event, self._on_touched) for event in (layers.inserted, layers.removed, layers.reordered, *moved)),
            (image.contrast_limits, self._on_contrast),
        ]

    def _connections_to(self, layer: Layer) -> list[tuple[Any, Callable[..., None]]]:
        events = layer.events
        moved = [getattr(events, name) for name in TRANSFORMS if hasattr(events, name)]
        return [
            *((event, self._on_touched) for event in (events.name, *moved)),
            (events.data, self._on_data),
            (events.contrast_limits, self._on_contrast),
        ]

    def _watch(self) -> None:
        """Take notice of the layers that are there, and of no other."""
        others = list(self._others())
        for layer in [layer for layer in self._watched if layer not in others]:
            self._unwatch(layer)
        for layer in [layer for layer in others if layer not in self._watched]:
            for events, slot in self._connections_to(layer):
                events.connect(slot)
        self._watched = list(others)

    def _unwatch(self, layer: Layer) -> None:
        for events, slot in self._connections_to(layer):
            events.disconnect(slot)

    def _on_touched(self) -> None:
        """Layers came, went or moved; usually several things happen at once."""
        if not self._is_due:
            self._is_due = True
            self._defer(self._check)

    def _on_data(self, event: Any) -> None:
        self._is_stale = self._is_stale or event.source in self._wanted
        self._on_touched()

    def _on_contrast(self, event: Any) -> None:
        if self._as_shown and event.source in (self._image, *self._wanted):
            self._settle(self._check)

    def _check(self) -> None:
        """Make the source anew where it is another now, and the offer."""
        self._is_due = False
        if self._is_closed or self._image not in self._viewer.layers:
            return
        self._watch()
        self._wanted = tuple(layer for layer in self._wanted if layer in self._watched)
        is_another = self._is_stale or self._recipe != self._recipe_of(self._chosen())
        if is_another:
            self.renew()
        offer, self._offer = self._offer, self._offer_now()
        if is_another:
            names = ", ".join(str(layer.name) for layer in (self._image, *self._chosen()))
            self.changed.emit(f"Looked at {names}; contrast {'as shown' if self._as_shown else 'automatic'}.")
        elif offer != self._offer:
            self.offered.emit()


def _key(layer: Layer) -> str:
    return str(layer.unique_id)
