"""All keys of the docks in one table: what they are called, what they do, and what users make of them.

Bindings, tooltips, hints and the sheet of keys come from here; no Qt, napari or torch.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MODIFIERS = ("Ctrl", "Shift", "Alt", "Meta")  # in the order in which they are written
SYNONYMS = {"control": "Ctrl", "cmd": "Ctrl", "command": "Ctrl", "option": "Alt", "super": "Meta", "win": "Meta"}
SYMBOLS = {"Shift-": "⇧"}  # on buttons, where room is scarce
PLAIN_KEY = re.compile(r"[A-Z0-9]|F([1-9]|1[0-2])|Home|End|Insert|PageUp|PageDown")
CHANGE = re.compile(r"\s*([^=]*?)\s*=\s*(.*?)\s*")


@dataclass(frozen=True, slots=True)
class Key:
    """A key and what it does.

    Attributes
    ----------
    name : str
        What it is called in Preferences and in the code; one word.
    key : str
        As long as nobody has chosen another: "K", "Shift-K".
    does : str
        For tooltips and the sheet.
    group : str
        The heading that it stands under in the sheet.
    action : str
        What a dock calls: an attribute of its controller, or of the dock itself.
    """

    name: str
    key: str
    does: str
    group: str
    action: str


CLICKS, OBJECTS, STACKS, HELP = "Click and correct", "Objects of the result", "Follow objects", "Help"

SEGMENT_KEYS = (
    Key("switch", "N", "Next click: adds or removes; while boxes are drawn, back to clicks", CLICKS, "toggle_negative"),
    Key("box", "Q", "Drag a box around the object", CLICKS, "start_boxing"),
    Key(
        "scribble",
        "H",
        "Draw a line over what belongs to the object, or does not",
        CLICKS,
        "prompting.start_scribbling",
    ),
    Key("label", "Shift-H", "Take the label under the mouse as a rough outline", CLICKS, "prompting.take_label"),
    Key("guess", "G", "One click can mean a part or the whole: show the next guess", CLICKS, "next_candidate"),
    Key("keep", "K", "Write the outline into the objects layer and begin the next object", CLICKS, "commit"),
    Key("undo", "U", "Undo", CLICKS, "undo"),
    Key("redo", "Shift-U", "Do again", CLICKS, "redo"),
    Key("clear", "W", "Take away the prompts of this object; leave a reopened one as it was", CLICKS, "clear"),
    Key("reopen", "Shift-K", "Correct the object under the mouse, or the chosen one", OBJECTS, "objects.reopen"),
    Key("delete", "Shift-W", "Delete the object under the mouse, or the chosen one, here", OBJECTS, "objects.delete"),
    Key("merge", "Shift-M", "Make the chosen object and the one under the mouse one", OBJECTS, "objects.merge"),
    Key("split", "Shift-X", "Draw a line across an object: it is cut along it", OBJECTS, "objects.start_splitting"),
    Key("classify", "Shift-C", "Give the object under the mouse the class set last", OBJECTS, "objects.classify"),
    Key("next_object", "Shift-N", "To the next object of the table", OBJECTS, "choose_next_object"),
    Key("last_object", "Shift-B", "To the object before it", OBJECTS, "choose_last_object"),
    Key("help", "F1", "Show this sheet", HELP, "show_keys"),
)
FOLLOW_KEYS = (
    Key("next_weak", "J", "To the next frame that is worth a look", STACKS, "show_next_weak"),
    Key("last_weak", "Shift-J", "To the frame before this one that is worth a look", STACKS, "show_last_weak"),
)
KEYS = (*SEGMENT_KEYS, *FOLLOW_KEYS)

GESTURES = (
    ("Click", "On an object: its outline appears; then on what is missing", CLICKS),
    ("Alt-click", "The opposite of the next click, once", CLICKS),
    ("Double click", "On a row of the table: correct that object", OBJECTS),
)
"""What the mouse does; not to be changed, but in the sheet: what, what it does, and under which heading."""

BY_NAME = {key.name: key for key in KEYS}
DEFAULTS: Mapping[str, str] = {key.name: key.key for key in KEYS}


@dataclass(frozen=True, slots=True)
class Bindings:
    """Which key does what; a name that is not among them has no key."""

    by_name: Mapping[str, str] = field(default_factory=lambda: DEFAULTS)

    def after(self, name: str, words: str = "") -> str:
        """Return the key of something in brackets, to be put after its name, with words before the end bracket."""
        key = self.by_name.get(name)
        return "" if key is None else f" ({shorten(key)}{words})"

    def tip(self, name: str, text: str = "") -> str:
        """Return a tooltip: a text, by default what the key does, and the key."""
        words, key = text or BY_NAME[name].does, self.by_name.get(name)
        return words if key is None else f"{words} [{key}]"

    def without(self, names: Iterable[str]) -> Bindings:
        """Return these without some."""
        gone = set(names)
        return Bindings({name: key for name, key in self.by_name.items() if name not in gone})


def shorten(key: str) -> str:
    """Return a key as it stands on a button."""
    for long, short in SYMBOLS.items():
        key = key.replace(long, short)
    return key


def spell(text: str) -> str | None:
    """Return the one spelling of a key that napari knows too, "Ctrl-Shift-K"; None where it is none to be taken.

    Shift changes digits and signs into others before napari sees them; it goes with letters and function keys.
    """
    *modifiers, key = re.split(r"\s*[-+]\s*", text.strip())
    known = {name.lower(): name for name in MODIFIERS} | SYNONYMS
    named = {known.get(modifier.lower()) for modifier in modifiers}
    key = next((name for name in (key.upper(), key, key.capitalize()) if PLAIN_KEY.fullmatch(name)), "")
    if not key or None in named or ("Shift" in named and key.isdigit()):
        return None
    return "-".join((*(modifier for modifier in MODIFIERS if modifier in named), key))


def rebind(text: str, taken: Mapping[str, str]) -> tuple[Bindings, tuple[str, ...]]:
    """Return the keys as somebody wants them, and one sentence for each wish that cannot be met.

    Parameters
    ----------
    text : str
        Such as "keep = F2, undo = Ctrl-Shift-J"; what is not named keeps its key.
    taken : mapping
        Keys that are somebody else's, as `spell` writes them -> what they do there.
    """
    wishes, problems = _read(text, taken)
    keys = {**DEFAULTS, **wishes}
    while clashing := _clashing(keys, wishes):
        name, other = clashing
        stays = DEFAULTS[name]
        problems.append(f"{keys[name]} cannot mean both {other} and {name}; {name} stays on {stays}.")
        keys[name] = stays
        del wishes[name]
    return Bindings(keys), tuple(problems)


def _read(text: str, taken: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the keys that are wished for, and what is wrong with the others."""
    wishes: dict[str, str] = {}
    problems = []
    for part in filter(str.strip, re.split(r"[,;\n]", text)):
        change = CHANGE.fullmatch(part)
        name, wanted = change.groups() if change else (part.strip(), "")
        key = spell(wanted)
        if name not in DEFAULTS:
            problems.append(f"{name!r} is nothing that has a key; there are {', '.join(DEFAULTS)}.")
        elif key is None:
            problems.append(f"{wanted!r} is no key such as F2 or Ctrl-Shift-J; {name} stays on {DEFAULTS[name]}.")
        elif key in taken:
            problems.append(f"{key} is napari's ({taken[key]}); {name} stays on {DEFAULTS[name]}.")
        else:
            wishes[name] = key
    return wishes, problems


def _clashing(keys: Mapping[str, str], wishes: Mapping[str, str]) -> tuple[str, str] | None:
    """Return a name whose new key another has too, and that other; None where each has its own."""
    owners = defaultdict(list)
    for name, key in keys.items():
        owners[key].append(name)
    for names in owners.values():
        renamed = [name for name in names if name in wishes]
        if len(names) > 1:
            return renamed[-1], next(name for name in names if name != renamed[-1])
    return None
