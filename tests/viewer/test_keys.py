from __future__ import annotations

import re
from pathlib import Path

import pytest

from napari_sam2refiner.viewer.keys import DEFAULTS, KEYS, Bindings, rebind, spell


def test_each_key_and_each_name_is_there_once() -> None:
    assert len({key.name for key in KEYS}) == len(KEYS)
    assert len(set(DEFAULTS.values())) == len(KEYS)


def test_keys_are_spelled_as_they_are_compared() -> None:
    assert [key.key for key in KEYS] == [spell(key.key) for key in KEYS]
    assert all(key.does and key.group and key.action for key in KEYS)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("k", "K"),
        (" shift + K ", "Shift-K"),
        ("Shift-ctrl-k", "Ctrl-Shift-K"),
        ("Command-Option-x", "Ctrl-Alt-X"),
        ("f12", "F12"),
        ("pageup", None),
        ("PageUp", "PageUp"),
        ("home", "Home"),
        ("8", "8"),
        ("Shift-8", None),
        ("F13", None),
        ("Hyper-K", None),
        ("KK", None),
        ("é", None),
        ("?", None),
        ("", None),
    ],
)
def test_one_spelling_for_each_key(text: str, spelled: str | None) -> None:
    assert spell(text) == spelled


def test_what_is_named_gets_another_key() -> None:
    keys, problems = rebind("keep = F2; undo=ctrl+shift+j\n", {})
    assert problems == ()
    assert keys.by_name == {**DEFAULTS, "keep": "F2", "undo": "Ctrl-Shift-J"}
    assert (keys.after("keep"), keys.tip("undo")) == (" (F2)", "Undo [Ctrl-Shift-J]")


def test_two_may_change_keys() -> None:
    keys, problems = rebind("keep = U, undo = K", {})
    assert problems == ()
    assert (keys.by_name["keep"], keys.by_name["undo"]) == ("U", "K")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("kepe = F2", "'kepe' is nothing that has a key; there are "),
        ("keep", "'' is no key such as F2 or Ctrl-Shift-J; keep stays on K."),
        ("keep = hello", "'hello' is no key such as F2 or Ctrl-Shift-J; keep stays on K."),
        ("keep = e", "E is napari's (erase); keep stays on K."),
        ("keep = u", "U cannot mean both undo and keep; keep stays on K."),
        ("keep = F2, undo = F2", "F2 cannot mean both keep and undo; undo stays on U."),
    ],
)
def test_what_cannot_be_is_one_sentence_and_the_key_stays(text: str, sentence: str) -> None:
    keys, problems = rebind(text, {"E": "erase"})
    assert len(problems) == 1
    assert problems[0].startswith(sentence)
    assert keys.by_name == {**DEFAULTS, **({"keep": "F2"} if "undo =" in text else {})}


def test_going_back_may_push_out_another() -> None:
    keys, problems = rebind("undo = K, keep = G", {})  # guess has G, so keep stays, and undo cannot have K
    assert keys.by_name == DEFAULTS
    assert len(problems) == 2


def test_what_has_no_key_names_none() -> None:
    keys = Bindings().without(["keep"])
    assert keys.after("keep") == ""
    assert "[" not in keys.tip("keep")


def test_the_docs_name_every_key() -> None:
    folder = Path(__file__).parents[2] / "docs"
    docs = "".join((folder / name).read_text(encoding="utf-8") for name in ("dock.md", "stacks.md"))
    named = set(re.findall(r"(?:(?:Shift|Ctrl|Alt)-)*\b(?:F\d+|[A-Z])\b", docs))
    assert set(DEFAULTS.values()) <= named
