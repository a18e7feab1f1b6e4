"""Turns what the user does into requests, previews, labels and undoable acts; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isnan
from typing import TYPE_CHECKING, Any

from napari_sam2refiner.errors import reason_of
from napari_sam2refiner.labels.tidy import Tidying, tidy
from napari_sam2refiner.planes.region import Part, Picture
from napari_sam2refiner.viewer.autosave import Autosave, Found, Restored, read
from napari_sam2refiner.viewer.changes import name_change, refuse
from napari_sam2refiner.viewer.channels import ChannelActs, ChannelOffer
from napari_sam2refiner.viewer.drafts import Answered, Answers, Draft
from napari_sam2refiner.viewer.everything import Everything, EverythingState
from napari_sam2refiner.viewer.guesses import Guesses
from napari_sam2refiner.viewer.history import Act
from napari_sam2refiner.viewer.keeping import Keeping
from napari_sam2refiner.viewer.listing import Listing
from napari_sam2refiner.viewer.loader import ModelLoader, Submit
from napari_sam2refiner.viewer.marks import Marks
from napari_sam2refiner.viewer.object_acts import ObjectActs
from napari_sam2refiner.viewer.objects import Named, Origin
from napari_sam2refiner.viewer.prompting import Prompting
from napari_sam2refiner.viewer.segmenter import Job, Outcome, Request, Segmenter
from napari_sam2refiner.viewer.session_file import SessionFiles
from napari_sam2refiner.viewer.several import draw_objects
from napari_sam2refiner.viewer.state import DockState, ModelChoice, Overlap, explain_not_keeping, resolve
from napari_sam2refiner.viewer.work import Work

if TYPE_CHECKING:
    from psygnal import SignalInstance

    from napari_sam2refiner.viewer.autosave import Identity
    from napari_sam2refiner.viewer.canvas import Canvas
    from napari_sam2refiner.viewer.session_file import Look


AT_ONCE = 0.03  # seconds that the window waits for a first idea of an object, which takes a third of that


class Controller:
    """Keeps the state, the layers and the worker in step.

    Each request carries a generation; an answer to any but the newest is dropped. So a job whose image was removed,
    whose plane was left or whose prompts have changed ends without a trace::

        IDLE --click--> ANSWERING --answer--> IDLE (preview)
                        ANSWERING --click, slider, image gone--> generation + 1: the old answer is dropped

    Parameters
    ----------
    state : DockState
    segmenter : Segmenter
        Touched by the worker alone, through jobs.
    submit : callable
        Takes a job and what to call with its outcome, on the thread that runs this controller.
    make_canvas : callable
        Image -> its canvas.
    report : callable
        Takes one sentence about what went wrong.
    autosave : Autosave, optional
        Where the work is kept for after a crash; closed with the controller.

    Attributes
    ----------
    objects : ObjectActs
        What users do to objects of the result.
    prompting : Prompting
        Other ways to prompts than clicks and boxes.
    everything : Everything
        Finds objects without prompts.
    channels : ChannelActs
        What is looked at together with the image.
    is_closed : bool
        Whether it has let go of everything.
    """

    def __init__(
        self,
        state: DockState,
        segmenter: Segmenter,
        submit: Submit,
        make_canvas: Callable[[Any], Canvas],
        report: Callable[[str], None],
        autosave: Autosave | None = None,
    ) -> None:
        self.state = state
        self._segmenter = segmenter
        self._submit = submit
        self._make_canvas = make_canvas
        self._report = report
        self._autosave = autosave
        self._works: dict[Any, Work] = {}  # by image
        self._work: Work | None = None
        self._image: Any = None
        self._answers, self._guesses = Answers(), Guesses()
        self._asked: Draft | None = None
        self._first: tuple[Draft, Answered] | None = None  # until the last answer to that draft is there
        self._keeping: Draft | None = None  # what is kept as soon as that is there
        self._generation = 0
        self._tidy: tuple[Part, Any, Part | Picture] | None = None  # the latest
        self._models = ModelLoader(
            state,
            segmenter,
            submit,
            on_started=self._on_load_started,
            on_replaced=self._answers.clear,
            on_finished=self._on_load_finished,
            on_unloaded=self._say,
        )
        self._listing = Listing(state, submit, self._at_hand)
        self.prompting = Prompting(
            state,
            self._at_hand,
            show=self._show,
            say=self._say,
            fail=self._fail,
            drop_answers=self._drop_answers,
            ask=self._ask,
        )
        self.objects = ObjectActs(state, self._at_hand, self._list_and_say, self._fail_because, self._drop_answers)
        self.everything = Everything(
            EverythingState(),
            state,
            segmenter,
            submit,
            self._at_hand,
            partial(self._list_and_say, ""),
            self._fail,
            self._models.wake,
        )
        self.channels = ChannelActs(self._at_hand)
        self.is_closed = False

    # -- what the user chooses -------------------------------------------------------------------------------------

    def set_models(self, models: tuple[ModelChoice, ...]) -> None:
        """Take the list of models; what is chosen stays chosen."""
        self.state.models = models

    def choose_file(self, path: str) -> None:
        """Load a model from the user's own file, again where it is loaded."""
        self._models.choose_file(path)

    def choose_model(self, name: str | None) -> None:
        """Load a model, off this thread. The newest choice wins."""
        self._models.choose_model(name)

    def unload_model(self) -> None:
        """Give the memory back that the model takes up, until the next prompt."""
        self._models.unload()

    def reload_model(self) -> None:
        """Load the model again that was taken out of memory."""
        self._models.wake()

    def set_borrowing(self, borrowing: bool) -> None:
        """Choose whether `micro` refines the masks of a model without a refiner; what is shown is asked for again."""
        before, self.state.borrowing = self.state.refines, borrowing
        if self.state.refines != before:
            self._answers.clear()
            self._drop_answers()
            self._look()
            self._say("")

    @property
    def in_hand(self) -> tuple[Any, Work] | None:
        """The image at hand, and the work on it."""
        return None if self._work is None else (self._image, self._work)

    def choose_image(self, image: Any) -> None:
        """Work on another image; what is in hand on this one waits. None: on no image."""
        if self.is_closed or image is self._image:
            return
        if self._work is not None and not self._work.canvas.exists:
            self._on_image_removed(self._work)  # the list of images hears of it before the layers do
        elif self._work is not None:
            self._leave()
            self.state.news = ""
            self.everything.forget_news()
        self._image = image
        if image is not None:
            self._enter(image)
        self._show()

    def set_overlap(self, overlap: Overlap) -> None:
        """Choose whose a pixel is that already belongs to an object, or to several at hand."""
        self.state.overlap = overlap
        self._show()

    def set_tidying(self, tidying: Tidying) -> None:
        """Choose how masks are tidied before they are kept; what is shown changes at once."""
        self.state.tidying = tidying
        self._show()

    def set_negative(self, negative: bool) -> None:
        """Choose what the next click or scribble says."""
        self.state.negative = negative
        self._show()

    # -- what the user does ----------------------------------------------------------------------------------------

    def toggle_negative(self) -> None:
        """Let the next click or scribble say the opposite; from boxes, go back to clicks that say what they said."""
        is_drawing = self._work is not None and (self._work.canvas.is_boxing or self._work.canvas.is_cutting)
        self.choose_polarity(self.state.negative if is_drawing else not self.state.negative)

    def choose_polarity(self, negative: bool) -> None:
        """Choose what the next scribble says, where scribbles are drawn; else go back to clicks that say so."""
        self.set_negative(negative)
        if self._work is None or not self._work.canvas.is_scribbling:
            self.start_clicking()

    def start_clicking(self) -> None:
        """Make the next click on the image a point."""
        if self._work is not None:
            self._work.canvas.start_clicking()
            self._show()

    def start_boxing(self) -> None:
        """Make the next drag on the image a box."""
        if self._work is not None:
            self._work.canvas.start_boxing()
            self._show()

    def next_candidate(self) -> None:
        """Show the next mask that the first prompt may mean."""
        self.choose_candidate((self.state.candidate + 1) % max(1, self.state.candidates))

    def choose_candidate(self, choice: int) -> None:
        """Show one of the masks that the first prompt may mean."""
        answered = self._answered()
        if self._work is None or answered is None or not resolve(self.state).can_cycle or choice == answered.choice:
            return
        plane = self._work.canvas.plane
        before = self._work.draft(plane)
        after = before.then(before.marks, choice)
        self._answers.put(after, answered.choose(choice))
        self._work.change_drafts(f"guess {choice + 1}", {plane: before}, {plane: after})
        self._show()

    def commit(self) -> None:
        """Write the preview into the result layer, as the object that was reopened or a new one, and begin the next.

        What was answered by a first look is kept as soon as the last one is there.
        """
        answered = self._answered()
        if self._first is not None and self._first[1] is answered and self.state.pixels:
            self._keeping = self._first[0]
            self._say("")
            return
        if self._work is None or answered is None or not resolve(self.state).can_keep:
            self._say(explain_not_keeping(self.state))
            return
        if answered.found:
            self._commit_several(answered)
            return
        canvas, plane = self._work.canvas, self._work.canvas.plane
        before = self._work.draft(plane)
        object_id = before.object_id or canvas.next_id()
        try:
            instead_of = None if before.reopened is None else before.reopened.part
            mask = self._shown(answered)
            assert isinstance(mask, Part), "it is one object"
            written = canvas.write_mask(plane, mask, object_id, self.state.overlap, instead_of)
        except Exception as error:  # whatever a layer raises, the draft must survive
            self._fail_because("The object cannot be written", error)
            return
        if written.pixels == 0:
            written.undo()
            self._say("Nothing was kept: each pixel of this mask is another object's (see Tidy masks and overlap).")
            return
        score = float(answered.prediction.score)
        origin = Origin(before.marks, None if isnan(score) else score)
        is_new = before.reopened is None  # what had this id before, and a name, is not there any more
        names = {object_id: Named()} if is_new else {}
        self._work.change_result(f"object {object_id}", written, {object_id: origin}, Draft(), names)
        self._begin_next(f"Object {object_id} kept: {written.pixels:,} pixels.")

    def _commit_several(self, answered: Answered) -> None:
        """Write each object at hand into the result layer as a new one."""
        assert self._work is not None
        try:
            picture = self._shown(answered)
            assert isinstance(picture, Picture), "these are several objects"
            news = self._work.keep_several(answered.found, picture, self.state.overlap)
        except Exception as error:  # whatever a layer raises, the draft must survive
            self._fail_because("The objects cannot be written", error)
            return
        if self._work.draft(self._work.canvas.plane).marks:
            self._say(news)
        else:
            self._begin_next(news)

    def _begin_next(self, news: str) -> None:
        """Go on to the next object; where each box is one, to boxes."""
        assert self._work is not None
        self.state.negative = False
        canvas = self._work.canvas
        if canvas.is_scribbling or (canvas.is_boxing and not self.state.apart):
            canvas.start_clicking()
        self._list_and_say(news)

    def clear(self) -> None:
        """Take away the prompts of the object at hand, on this plane."""
        if self._work is None:
            return
        plane = self._work.canvas.plane
        before = self._work.draft(plane)
        if before.marks or before.reopened:
            self._drop_answers()
            after = {plane: Draft()}
            self._work.change_drafts("clearing", {plane: before}, after)
            self._work.restore(after)
            self._say(f"Object {before.object_id} stays as it was." if before.reopened else "")

    def bring_back(self) -> None:
        """Go on with the earlier work on this image, undoably."""
        work = self._work
        if work is None or work.keeping.found is None:
            return
        found, work.keeping.found = work.keeping.found, None
        self._say("Bringing back earlier work ...")
        self._submit(Job("restore", lambda _: read(found.folder)), partial(self._on_read, work, found))

    def discard_found(self) -> None:
        """Throw the earlier work on this image away."""
        if self._work is not None and self._work.keeping.found is not None:
            self._work.keeping.discard(self._show)
            self._say("Earlier work was thrown away.")

    def make_session_files(
        self, look_of: Callable[[], Look], find_image: Callable[[Identity, Look], Any], choose: Callable[[Any], None]
    ) -> SessionFiles:
        """Return what saves and opens sessions."""
        return SessionFiles(
            self._submit, self._at_hand, look_of, find_image, choose, self.take_up, self._say, self._fail
        )

    def undo(self) -> None:
        """Undo the newest act on this image."""
        if self._work is not None:
            self._drop_answers()
            what = self._work.history.undo()
            self.everything.forget_news()
            self._ask()
            self._say(f"Undone: {what}." if what else "There is nothing to undo.")

    def redo(self) -> None:
        """Do again what was undone last on this image."""
        if self._work is not None:
            self._drop_answers()
            what = self._work.history.redo()
            self._ask()
            self._say(f"Done again: {what}." if what else "There is nothing to redo.")

    def close(self) -> None:
        """Let go of every image; may be called again."""
        if self.is_closed:
            return
        for work in list(self._works.values()):
            self._forget(work)
        self._drop_answers()
        self._models.close()
        self._listing.close()
        self.everything.close()
        self.is_closed = True
        if self._autosave is not None:
            self._autosave.close()

    # -- what happens ----------------------------------------------------------------------------------------------

    def _on_marks_changed(self) -> None:
        """A prompt was added, moved or deleted."""
        if self._take_marks():
            self._ask()
            self._say("")

    def _on_plane_changed(self) -> None:
        """A slider moved, or axes were rolled: the object of that plane is at hand now."""
        self._take_marks()  # what was pasted came without a word
        self._drop_answers()
        self._listing.ask()
        self._look()
        self._say("")

    def _on_image_changed(self, work: Work, reshaped: bool) -> None:
        """The pixels are others now: what was seen is void, and where the shape is another, so are the prompts."""
        is_at_hand = work is self._work
        if reshaped:
            self._forget(work)
        else:
            self._forget_answers()
        if is_at_hand and reshaped:
            self._enter(self._image)
            self._say("The image has another shape now, so its prompts were cleared and a running job was stopped.")
        elif is_at_hand:
            self._drop_answers()
            self._look()
            self._say("The image has changed.")

    def _on_channels_changed(self, work: Work, news: str) -> None:
        """An image is looked at otherwise: it is encoded anew, and what is at hand is asked again."""
        self._forget_answers()
        self._drop_answers()
        self._look()
        if work is self._work:
            self._say(news)

    def _on_image_removed(self, work: Work) -> None:
        """An image is gone: whatever was being worked out for it is dropped."""
        is_at_hand, was_busy = work is self._work, self.state.answering
        self._forget(work)
        if is_at_hand:
            name, self._image = self.state.image, None
            self._say(f"{name} was removed{', so its work was stopped' if was_busy else ''}.")

    def _on_layer_lost(self, role: str, layer: Any) -> None:
        """The user deleted one of the layers; undo brings back what was in it."""
        assert self._work is not None
        canvas = self._work.canvas
        if role == "result":
            self._work.history.add(
                Act("deleting the result", partial(canvas.bring_back, layer), partial(canvas.take_away, layer))
            )
            self._listing.ask()
        comes_back = self._take_marks() or role == "result"
        if role == "prompts":
            canvas.start_clicking()
        self._say(f"The {role} layer was deleted{'; undo brings its contents back' if comes_back else ''}.")

    def _on_load_started(self) -> None:
        """Until the new model is there, the one before and what it has answered stay."""
        self._drop_answers()
        self._say("")

    def _on_load_finished(self, error: str) -> None:
        if error:
            self._fail(error)
        else:
            self.state.news = f"{self.state.model} is ready."
        self._look()
        self._show()

    def _on_prepared(self, generation: int, outcome: Outcome) -> None:
        if not self._is_current(generation):
            return
        self.state.encoding = False
        if outcome.error:
            self._fail(outcome.error)

    def _on_progress(self, generation: int, draft: Draft, request: Request, share: float) -> None:
        """Some of several objects are answered; or there is something to show before the answer."""
        if self._is_current(generation):
            self.state.answered = share if draft.marks.others else 0.0
            if self._take_first(draft, request.newest()):
                self._show()

    def _on_answered(self, generation: int, draft: Draft, outcome: Outcome) -> None:
        if not self._is_current(generation):
            return
        is_to_be_kept = self._keeping is draft and not outcome.error
        self._let_go_of_asked()
        if outcome.error:
            self._fail(outcome.error)
        else:
            self._answers.put(draft, outcome.value.choose(draft.choice))
            self.state.news = ""
        self._show()
        if is_to_be_kept:
            self.commit()

    def _on_labels_changed(self, work: Work, block: Any) -> None:
        """Something was written or painted into the result."""
        work.frames.doubt(block)
        if work is self._work:
            self._listing.ask()
        work.keeping.touch(block)

    def _on_names_changed(self) -> None:
        """Objects are called otherwise, by an act or in the result layer itself."""
        self._listing.ask()
        self._show()

    def _on_read(self, work: Work, found: Found, outcome: Outcome) -> None:
        """Earlier work was read; it stays where it is, and what comes of it is kept anew."""
        if work is not self._work:  # the user has gone to another image
            work.keeping.found = found
            return
        if outcome.error:
            self._fail(outcome.error)
            return
        self.take_up(work, outcome.value, "Earlier work is back.")

    def take_up(self, work: Work, restored: Restored, news: str) -> None:
        """Go on, undoably, with what was done earlier on the image at hand; its ids come after those that are there."""
        restored = restored.numbered_after(work.canvas.next_id() - 1)
        try:
            written = work.canvas.fill(restored.blocks)
        except Exception as error:  # whatever a layer raises
            self._fail_because("Earlier work cannot be brought back", error)
            return
        labels = work.canvas.labels
        assert labels is not None, "they were written"
        left, lost = restored.found_in(labels)
        work.bring_back(left, written)
        self._listing.ask()
        self._look()
        but = f", but for {lost} object{'s' if lost > 1 else ''} whose pixels others have" if lost else ""
        self._say(f"{news.rstrip('.')}{but}.")

    def _on_prompts(self, work: Work, restored: Restored) -> None:
        """The prompts of a result that stayed in the viewer were read."""
        is_at_hand = work.take_up(restored)
        if work is self._work:
            self._listing.ask()
            if is_at_hand:
                self._look()
                self._show()

    # -- requests --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Answer the draft at hand, or get ready for its next prompt."""
        if self._work is None:
            return
        if self._work.draft(self._work.canvas.plane).is_question and self._answered() is None:
            self._ask()
        else:
            self._prepare()

    def _ask(self) -> None:
        """Ask for a mask of the draft at hand, unless there is one or nothing says where the object is."""
        if self._work is not None and self._work.draft(self._work.canvas.plane).is_question:
            self._models.wake()
        if not self._can_ask():
            return
        assert self._work is not None
        canvas = self._work.canvas
        draft = self._work.draft(canvas.plane)
        is_asked = self.state.answering and self._asked is draft
        if is_asked or not draft.is_question or self._answers.get(draft) is not None:
            return
        generation = self._new_generation()
        self._asked = draft
        self.state.answering = True
        known = self._answers.known(draft) if draft.marks.others else None
        previous = None if known else self._answers.previous(draft)
        request = Request(
            canvas.source, canvas.plane, draft.marks, previous, self.state.refines, known=known, view=canvas.extent
        )
        is_wanted = partial(self._is_current, generation)
        self.state.answered = 0.0
        on_progress = partial(self._on_progress, generation, draft, request)
        job = Job("answer", partial(self._segmenter.answer, request), on_progress, is_wanted)
        self._submit(job, partial(self._on_answered, generation, draft))
        if self.state.answering and previous is None and not draft.marks.others:
            # What is there at once is drawn together with the prompt, and not in a picture of its own.
            self._take_first(draft, request.newest(AT_ONCE))

    def _take_first(self, draft: Draft, answered: Answered | None) -> bool:
        """Take what there is to show before the answer to a draft; return whether there is anything new."""
        if answered is not None:
            self._first = (draft, answered.choose(draft.choice))
        return answered is not None

    def _prepare(self) -> None:
        """Have the plane that is shown looked at before the first click."""
        if not self._can_ask():
            return
        assert self._work is not None
        generation = self._new_generation()
        self.state.encoding = True
        request = Request(self._work.canvas.source, self._work.canvas.plane)
        is_wanted = partial(self._is_current, generation)
        job = Job("prepare", partial(self._segmenter.prepare, request), is_wanted=is_wanted)
        self._submit(job, partial(self._on_prepared, generation))

    def _can_ask(self) -> bool:
        """Return whether there is a model, and a plane for it; while a model loads, what is to be asked waits."""
        is_ready = self._models.loaded is not None and not self.state.loading
        return is_ready and self._work is not None and not self._work.canvas.obstacle

    def _is_current(self, generation: int) -> bool:
        """Return whether what was asked then is still wanted; the worker asks this too."""
        return generation == self._generation and not self.is_closed

    def _new_generation(self) -> int:
        self._generation += 1
        return self._generation

    def _drop_answers(self) -> None:
        """Let whatever is being worked out be for nothing."""
        self._new_generation()
        self._let_go_of_asked()

    def _let_go_of_asked(self) -> None:
        """Nothing is on its way any more."""
        self.state.answering = self.state.encoding = False
        self._first = self._keeping = None

    # -- drafts, layers, state -------------------------------------------------------------------------------------

    def _at_hand(self) -> Work | None:
        """Return the work on the image at hand."""
        return self._work

    def _answered(self) -> Answered | None:
        """Return the answer to the draft at hand; the first one where the last is on its way."""
        if self._work is None:
            return None
        draft = self._work.draft(self._work.canvas.plane)
        if self._first is not None and self._first[0] is draft:
            return self._first[1]
        return self._answers.get(draft)

    def _shown(self, answered: Answered) -> Part | Picture:
        """Return the mask of an answer, or a picture of several, as shown and kept: tidied, where a model was asked."""
        mask, tidying = answered.prediction.part, self.state.tidying
        if answered.seconds is None:
            return mask
        how = (tidying, self.state.overlap) if answered.found else tidying
        if self._tidy is None or self._tidy[0] is not mask or self._tidy[1] != how:
            found = answered.found
            tidied = draw_objects(found, mask.shape, tidying, self.state.overlap) if found else tidy(mask, tidying)
            self._tidy = (mask, how, tidied)
        return self._tidy[2]

    def _take_marks(self) -> bool:
        """Take what is marked now, on all planes, as one act; return whether anything is other than before."""
        assert self._work is not None
        work, marks = self._work, self._work.canvas.marks
        drafts = {plane: work.draft(plane) for plane in (*work.drafts, *marks)}
        after = {
            plane: draft.then(marks.get(plane, Marks()))
            for plane, draft in drafts.items()
            if marks.get(plane, Marks()) != draft.marks
        }
        before = {plane: drafts[plane] for plane in after}
        error = refuse(work.canvas, before, after)
        if error:
            work.restore(before)
            self._fail(error)
        elif after:
            self._drop_answers()
            self._work.change_drafts(name_change(before, after), before, after)
        return bool(after) and not error

    def _tell_next(self, work: Work, draft: Draft) -> None:
        """Tell the layers what the next mark is."""
        object_id, apart = draft.object_id or work.canvas.next_id(), self.state.apart and not draft.reopened
        work.canvas.set_next(positive=not self.state.negative, object_id=object_id, apart=apart)

    def _show(self) -> None:
        """Bring state and preview into line with the draft at hand."""
        state, work = self.state, self._work
        if work is None:
            state.image, state.obstacle, state.undo, state.redo, state.reopened = None, "", "", "", 0
            state.earlier, state.cutting, state.channels = None, False, ChannelOffer()
            self._show_marks(Marks())
            self._show_answer(None)
            return
        canvas = work.canvas
        draft, answered = work.draft(canvas.plane), self._answered()
        state.image, state.obstacle = canvas.name, canvas.obstacle
        state.undo, state.redo = work.history.next_undo, work.history.next_redo
        state.reopened, state.cutting = draft.object_id or 0, canvas.is_cutting
        state.next_id, state.channels = draft.object_id or canvas.next_id(), canvas.channels.offer
        state.earlier = None if work.keeping.found is None else work.keeping.found.when
        work.keeping.note(work.drafts, work.origins.known, canvas.names)
        self._show_marks(draft.marks)
        self._show_answer(answered)
        self._tell_next(work, draft)
        # While a corrected mask is worked out the one before stays on screen: a flicker would say that it is lost.
        if answered is not None or not (state.answering and draft.is_question):
            canvas.show_preview(canvas.plane, None if answered is None else self._shown(answered))

    def _show_marks(self, marks: Marks) -> None:
        state, together = self.state, marks.joined()
        signs = [positive for _, _, positive in together.points] + [one.positive for one in together.scribbles]
        state.areas, state.boxes = sum(one.positive for one in together.areas), len(together.boxes)
        state.positives, state.negatives = sum(signs), len(signs) - sum(signs) + len(together.areas) - state.areas
        state.at_hand = len(marks.objects) if marks else 0

    def _show_answer(self, answered: Answered | None) -> None:
        state = self.state
        if answered is None:
            state.candidates, state.candidate, state.pixels, state.guesses = 0, 0, 0, ()
            state.score = state.seconds = None
            return
        prediction = answered.prediction
        state.candidates, state.candidate = max(1, len(prediction.candidates)), answered.choice
        score = float(prediction.score)
        state.score, state.seconds = None if isnan(score) else score, answered.seconds
        state.pixels = self._shown(answered).area
        state.guesses = self._guesses.of(prediction)

    def _say(self, news: str) -> None:
        self.state.news = news
        self._show()

    def _list_and_say(self, news: str) -> None:
        """List objects anew, now that it is known how they came about, and say what was done."""
        self._listing.ask()
        self._say(news)

    def _fail(self, error: str) -> None:
        self.state.news = error
        self._report(error)

    def _fail_because(self, failure: str, error: Exception) -> None:
        """Say what has failed, and what was raised, in one sentence."""
        self._fail(f"{failure}: {reason_of(error)}.")

    # -- images ----------------------------------------------------------------------------------------------------

    def _enter(self, image: Any) -> None:
        """Take up the work on an image, new or as it was left."""
        if image not in self._works:
            canvas = self._make_canvas(image)
            self._works[image] = Work(canvas, Keeping(canvas, self._autosave, self._submit))
            for signal, slot in self._connections(self._works[image]):
                signal.connect(slot)
        self._work = self._works[image]
        canvas = self._work.canvas
        try:
            canvas.attach()
        except MemoryError:
            self._forget(self._work)
            self._image = None
            self._fail(f"There is not enough memory for labels of all of {canvas.name}; crop it, or open a part of it.")
            return
        self._listing.ask()
        self._look()
        self._work.keeping.begin(partial(self._on_prompts, self._work), self._show)

    def _leave(self) -> None:
        """Let the work on the image at hand wait."""
        if self._work is not None:
            self._drop_answers()
            self._work.canvas.detach()
            self._work = None
            self._listing.ask()

    def _forget(self, work: Work) -> None:
        """Let go of an image and of what was seen of it; its result layer stays."""
        if work is self._work:
            self._leave()
        for signal, _ in self._connections(work):
            signal.disconnect()
        work.keeping.close()
        work.canvas.close()
        self._works = {image: other for image, other in self._works.items() if other is not work}
        self._forget_answers()

    def _forget_answers(self) -> None:
        """Let go of all that was seen and answered: the pixels are others, or gone."""
        self._answers.clear()
        self._tidy = None
        self._submit(Job("forget", self._segmenter.forget), lambda _: None)

    def _connections(self, work: Work) -> list[tuple[SignalInstance, Callable[..., None]]]:
        canvas = work.canvas
        return [
            (canvas.marks_changed, self._on_marks_changed),
            (canvas.plane_changed, self._on_plane_changed),
            (canvas.image_changed, partial(self._on_image_changed, work)),
            (canvas.image_renamed, self._show),
            (canvas.channels.changed, partial(self._on_channels_changed, work)),
            (canvas.channels.offered, self._show),
            (canvas.image_removed, partial(self._on_image_removed, work)),
            (canvas.layer_lost, self._on_layer_lost),
            (canvas.labels_changed, partial(self._on_labels_changed, work)),
            (canvas.names_changed, self._on_names_changed),
            (canvas.line_drawn, self.objects.split),
        ]
