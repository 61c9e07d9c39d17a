"""The command line: one file a command, and this one that joins them.

Results go to standard output; progress and messages go to standard error. Exit codes: 0 done,
2 bad input, 1 anything else, 130 interrupted.
"""

from __future__ import annotations

import errno
import gc
import itertools
import logging
import os
import select
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from hwnas.cli.help_page import HELP_NAMES
from hwnas.errors import HwnasError

_INTERRUPTED = "interrupted; everything that was finished is kept, the same command goes on."
_LONGEST_NAME = 60
# New objects until the youngest are looked through for garbage, and how many times until the older
# ones are, where Python has 700, 10 and 10: that would look through all that was imported again
# and again.
_SELDOM = 20_000, 20, 50

app = typer.Typer(
    name="hwnas",
    help="Hardware-aware, training-free neural architecture search.",
    invoke_without_command=True,
    context_settings=HELP_NAMES,
    rich_markup_mode=None,  # six columns side by side leave options no room at 80
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from hwnas import __version__
        from hwnas.cli.output import print_text

        print_text(f"hwnas {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        from hwnas.cli.progress import progress

        progress.hide()
        typer.echo(context.get_help())


def _register(first: str = "") -> None:
    from hwnas.cli.commands import register

    register(app, first)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        argv: the arguments after the program's name; those of the process by default.
    """
    from hwnas.cli.leaving import Leaving, end_children
    from hwnas.cli.progress import progress

    if argv is None:  # the process is the command's own
        gc.set_threshold(*_SELDOM)
    leaving = Leaving() if argv is None else None
    with warnings.catch_warnings():
        warnings.showwarning = _tell
        given = sys.argv[1:] if argv is None else argv
        words = " ".join(["hwnas", *itertools.takewhile(str.isalpha, given[:2])])
        with progress.running(words), _said_once():
            if {"-h", "--help", "--version"} & set(given):
                progress.hide()  # what follows is written by typer, above which no line may stand
            _register(next(iter(given), ""))
            code = _run(app, given)
            if leaving is not None:
                end_children()
                leaving.code = code
    sys.exit(code)


@contextmanager
def _said_once() -> Iterator[None]:
    """Let what is said of each network, such as which of several outputs is taken, be said once."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        known = record.getMessage() in said
        said.add(record.getMessage())
        return not known

    log = logging.getLogger("hwnas.networks.answer")
    log.addFilter(is_new)
    try:
        yield
    finally:
        log.removeFilter(is_new)


def _tell(message: Warning | str, *_: object, **__: object) -> None:
    """Say what is warned of as one line, without the place in the code."""
    from hwnas.cli.output import note

    note(f"Note: {message}")


def _run(command: typer.Typer, argv: list[str]) -> int:
    try:
        result: Any = command(args=argv, prog_name="hwnas", standalone_mode=False)
    except HwnasError as error:
        return _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(_INTERRUPTED, 130)
    except SystemExit as end:  # typer's own options, such as --show-completion, or a user's code
        if isinstance(broken := end.__context__, BrokenPipeError) and not _nobody_reads():
            return _broken(broken)
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        return _fail(str(end.code), 1)
    except BrokenPipeError as broken:  # without a number, by which typer knows them
        return 1 if _nobody_reads() else _broken(broken)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # without a name where a file is written
            return _fail(f"a file cannot be written ({error.strerror}): make room.", 2)
        if error.filename is None:
            raise
        return _fail(_unusable(error), 2)
    except Exception as error:
        # Typer's usage errors carry an exit code and a text, whatever class they are.
        code = getattr(error, "exit_code", None)
        if code is None or not hasattr(error, "format_message"):
            raise
        return _fail(error.format_message(), code)
    code = result if isinstance(result, int) else 0
    # Typer turns an interruption into this code without a word.
    return _fail(_INTERRUPTED, code) if code == 130 else code


def _broken(error: BrokenPipeError) -> int:
    told = str(error) or "broken pipe"
    return _fail(f"a process that belongs to this command ended too early ({told}).", 1)


def _nobody_reads() -> bool:
    """Tell whether whoever read the results, such as `head`, has ended."""
    results = select.poll()
    try:
        results.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # it is no file
        return False
    return any(event & select.POLLERR for _, event in results.poll(0))


def _unusable(error: OSError) -> str:
    """Say which file is the matter; the name may be the matter itself, e.g. its length."""
    name = os.fsdecode(error.filename) if not isinstance(error.filename, int) else ""
    short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return f"`path` must be usable, but {short!r} is not ({error.strerror})."


def _fail(text: str, code: int) -> int:
    from hwnas.cli.messages import one_line
    from hwnas.cli.progress import progress
    from hwnas.files.passwords import without_passwords

    progress.hide()
    sys.stderr.write(f"hwnas: {one_line(without_passwords(text))}\n")
    return code
