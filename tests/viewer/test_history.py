from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2refiner.viewer.history import Act, History


def setting(values: dict[str, int], after: int) -> Act:
    before = values["x"]
    values["x"] = after
    return Act(f"set {after}", lambda: values.update(x=before), lambda: values.update(x=after))


def test_nothing_to_undo() -> None:
    history = History()
    assert history.undo() == ""
    assert history.redo() == ""
    assert history.next_undo == history.next_redo == ""


def test_undo_and_redo_in_order() -> None:
    values, history = {"x": 0}, History()
    for after in (1, 2):
        history.add(setting(values, after))
    assert history.undo() == "set 2"
    assert values == {"x": 1}
    assert (history.next_undo, history.next_redo) == ("set 1", "set 2")
    assert history.redo() == "set 2"
    assert values == {"x": 2}


def test_a_new_act_forgets_what_was_undone() -> None:
    values, history = {"x": 0}, History()
    history.add(setting(values, 1))
    history.undo()
    history.add(setting(values, 5))
    assert history.redo() == ""
    assert values == {"x": 5}


def test_only_so_many_are_kept() -> None:
    values, history = {"x": 0}, History(limit=2)
    for after in (1, 2, 3):
        history.add(setting(values, after))
    while history.undo():
        pass
    assert values == {"x": 1}


def test_the_oldest_are_forgotten_where_there_are_too_many_bytes_but_never_the_newest() -> None:
    values, history = {"x": 0}, History(most_bytes=100)
    for after, size in ((1, 60), (2, 30), (3, 20), (4, 500)):
        history.add(replace(setting(values, after), size=size))
        assert history.size == {1: 60, 2: 90, 3: 50, 4: 500}[after]
    assert history.undo() == "set 4"
    assert history.next_undo == ""


def test_an_act_that_cannot_be_undone_stays_done() -> None:
    def fail() -> None:
        raise RuntimeError

    history = History()
    history.add(Act("writing", fail, fail))
    with pytest.raises(RuntimeError):
        history.undo()
    assert (history.next_undo, history.next_redo) == ("writing", "")


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.one_of(st.integers(1, 99), st.sampled_from(["undo", "redo"]))))
def test_behaves_like_a_list_of_states_with_a_cursor(steps: list[int | str]) -> None:
    values, history = {"x": 0}, History()
    states, cursor = [0], 0
    for step in steps:
        if step == "undo":
            history.undo()
            cursor = max(0, cursor - 1)
        elif step == "redo":
            history.redo()
            cursor = min(len(states) - 1, cursor + 1)
        else:
            history.add(setting(values, int(step)))
            states = [*states[: cursor + 1], int(step)]
            cursor += 1
        assert values["x"] == states[cursor]
