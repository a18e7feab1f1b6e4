"""What all commands share: consoles, errors as one sentence, options of several numbers, a bar for downloads."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from typer.core import TyperCommand, TyperGroup

from napari_sam2refiner.errors import SAM2RefinerError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

out = Console()
err = Console(stderr=True)

ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME", help="A name of `weights list`, or a weight file.")
]
RefinerOption = Annotated[
    str | None,
    typer.Option("--refiner", metavar="NAME", help="A trained refiner for that model: a name, a file, or none."),
]
MemoryOption = Annotated[
    str | None,
    typer.Option("--memory", metavar="NAME", help="A window memory that carries objects: a file, or window_memory."),
]
LocalDetailOption = Annotated[
    Literal["off", "prompted", "on"], typer.Option(help="Where the refiner looks at the image in more detail.")
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps.")]


class Commands(TyperGroup):
    """Commands whose expected errors are one sentence, and warnings one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except SAM2RefinerError as error:
                err.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
                raise typer.Exit(2) from None


class NumbersCommand(TyperCommand):
    """A command with options that take several numbers, again and again: `--point 3 4 --point 5 6`.

    typer has no lists of tuples, so the numbers of one option are joined to "3,4" before it sees them.
    """

    counts = {"--point": 2, "--negative": 2, "--box": 4, "--scale": 4, "--shape": 4}  # noqa: RUF012 - a constant

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the numbers, then parse as usual."""
        joined: list[str] = []
        rest = list(args)
        while rest:
            argument = rest.pop(0)
            joined.append(argument)
            if argument == "--":
                return super().parse_args(ctx, joined + rest)
            count = 0
            while count < min(self.counts.get(argument, 0), len(rest)) and is_number(rest[count]):
                count += 1
            if count:
                joined.append(",".join(rest[:count]))
                del rest[:count]
        return super().parse_args(ctx, joined)


class DownloadBar:
    """A progress bar that appears with the first bytes; called with (bytes there are, bytes there will be)."""

    def __init__(self, name: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), console=err, transient=True)
        self._task = self._progress.add_task(name)
        self._shown = False

    def __enter__(self) -> Self:
        """Wait for bytes."""
        return self

    def __call__(self, done: int, total: int) -> None:
        """Show how far the download is."""
        if not self._shown:
            self._progress.start()
            self._shown = True
        self._progress.update(self._task, completed=done, total=total)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._shown:
            self._progress.stop()


def work_bar(*more: ProgressColumn, transient: bool = True) -> Progress:
    """Return a bar for work on so many things: what, how many are done, and for how long it has gone on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, *more, console=err, transient=transient)


def is_number(text: str) -> bool:
    """Whether text is a number as Python writes it."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    err.print(f"[bold yellow]Warning:[/] {escape(str(message))}", highlight=False, soft_wrap=True)
