"""A report as a file of the user's choice."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import __version__
from orchestrator.answer import publish
from orchestrator.answer.comparison.beside import with_others
from orchestrator.answer.report.chapter import chapter, drawn_trials
from orchestrator.answer.report.claims import NOT_RUN
from orchestrator.answer.report.index import MADE, Section, answered, index, section
from orchestrator.answer.report.page import page
from orchestrator.answer.report.values import Chapter
from orchestrator.commands.request import Request
from orchestrator.commands.screen.grid import evaluations_text
from orchestrator.errors import SpecError, UsageError, printable
from orchestrator.language.cells.seeds import as_typed
from orchestrator.language.hints import nearest
from orchestrator.language.yaml_text import in_a_line
from orchestrator.process.words import counted
from orchestrator.recording.bundle.layout import parts
from orchestrator.recording.bundle.selecting import sweep_words
from orchestrator.recording.bundle.sources import whole_sources
from orchestrator.recording.logs import tail
from orchestrator.records import TrialRecord, status_of

LOG_LINES, LOGS = 20, 200
TOLD = ("collapsed", "diverged", "failed", "stopped")
"""Statuses of trials whose logs say more than a table does."""


def write_report(requests: Sequence[Request], path: Path | None, *, beside: str | None = None) -> Path:
    """Write the report of these sweeps, with results of others if `beside` is "imported"; where it is.

    Raises:
        UsageError: the file cannot be written.
        StoreError: a store does not answer.
    """
    file = path or Path(f"{_name(requests)}.html")
    with _page(file, mark="orch report</title>") as write:
        chapters = [
            _chapter(one, f"{one.folder_name}-{number}", beside) for number, one in enumerate(requests, 1)
        ]
        write(page(chapters, version=__version__))
    return file


def write_index(
    requests: Sequence[Request], path: Path | None, *, notes: Path | None, say: Callable[[str], None]
) -> Path:
    """Write an index of these sweeps' claims as Markdown; where it is.

    Where bundles are among them, results are those of bundles alone: a sweep file then says which claims
    there are, and has the results of every bundle with trials of its own. What a bundle of the same sweep
    has besides is told in a line, to `say` and in the index.

    Raises:
        UsageError: a file cannot be read or written, or the notes speak of another sweep.
        StoreError: a store does not answer.
    """
    file = path or Path(f"{_name(requests)}.md")
    with _page(file, mark=MADE) as write:
        every = list[Section]()
        for nothing, results, left_out in _with_results(requests):
            every += _sections(nothing, results, left_out)
            for line in left_out:
                say(f"orch: {line}")
        sections = [one for number, one in enumerate(every) if one not in every[:number]]
        write(index(sections, _notes(notes, {one.name for one in sections}) if notes else {}))
    return file


def _sections(nothing: Request | None, results: Sequence[Request], left_out: Sequence[str]) -> list[Section]:
    """What an index says of a sweep that has these results; and what of it has none, if that is asked."""
    found = [_section(one) for one in results]
    if nothing is None:
        return found
    empty = _section(nothing)
    return answered(found, empty._replace(problems=[*empty.problems, *left_out]))


def _section(request: Request) -> Section:
    problems: list[str] = []
    made = publish.tables(request.expansion, request.records(), problems) if request.spec.tables else []
    return section(request.expansion, made, problems=problems, command=_command(request))


def _with_results(
    requests: Sequence[Request],
) -> Iterator[tuple[Request | None, list[Request], list[str]]]:
    """Each sweep without results, where bundles have them; with those that there are; and `_left_out`."""
    bundles = [one for one in requests if parts(one.file) is not None]
    files = [one for one in requests if parts(one.file) is None]
    if not bundles:
        yield None, files, []
        return
    for file in files:
        near = [
            one for one in bundles
            if one.spec.name == file.spec.name or (one.profile and one.profile in file.spec.profiles)
        ]  # fmt: skip
        own = [asked for one in near if (asked := _laid_over(file, one)) and asked.records()]
        same = [one for one in files if one.spec.name == file.spec.name]
        named = [one for one in bundles if one.spec.name == file.spec.name] if file is same[0] else []
        yield _without_results(file), own, list(dict.fromkeys(_left_out(named, same)))
    names = {one.spec.name for one in files}
    yield None, [one for one in bundles if one.spec.name not in names], []


def _left_out(bundles: Sequence[Request], files: Sequence[Request]) -> Iterator[str]:
    """A line on each bundle of a sweep that has what none of the sweep's files asks for, with what to do."""
    asking = " and ".join(dict.fromkeys(str(file.file) for file in files))
    for bundle in bundles:
        over = [asked for file in files if (asked := _laid_over(file, bundle))]
        held = set(bundle.records())
        trials = held.difference(*(asked.records() for asked in over))
        alike = any(asked.spec.tables == bundle.spec.tables for asked in over)
        ran = set[tuple[str, str]]() if alike and not trials else _answered(bundle)
        claims = ran.difference(*map(_answered, over)) if ran else ran
        told = [f"{len(trials)} of its {counted(len(held), 'trial')}"] if trials else []
        told += [f"{len(claims)} of its {counted(len(ran), 'claim')}"] if claims else []
        if told:
            yield (
                f"{bundle.file}: {' and '.join(told)} not shown, because not asked for by {asking}; leave "
                f"{asking} out to see all, or train the sweep as it is now and export it again"
            )


def _answered(request: Request) -> set[tuple[str, str]]:
    """The claims of which its results say something."""
    return {(one.what, one.source) for one in _section(request).claims if one.answer != NOT_RUN}


def _laid_over(file: Request, bundle: Request) -> Request | None:
    """A sweep file as a bundle's sweep was selected, over its results; None: it has no such trials."""
    aim, seeds = bundle.expansion.aim, bundle.expansion.typed_seeds
    own = None if seeds in (None, file.spec.seed_list) else as_typed(seeds or ())
    with contextlib.suppress(UsageError, SpecError):  # it lacks the profile, or what --set has changed there
        return Request(
            file.file,
            profile=bundle.profile or "auto",
            seeds=own,
            precision=aim.half_width if aim else None,
            max_seeds=aim.most_seeds if aim else None,
            changes=[f"{path}={in_a_line(value)}" for path, value in bundle.changes.items()],
            tracking_uri=str((parts(bundle.file) or (bundle.file,))[0]),
            trust=file.trust,
        )
    return None


def _without_results(file: Request) -> Request:
    """A sweep file of which nothing was run, under the profile for which its numbers were published."""
    every = [part.published for table in file.spec.tables for part in table.parts]
    named = [one.profile for one in every if one is not None and one.profile]
    named += [name for name in ("paper",) if name in file.spec.profiles]
    profile = file.profile if file.why == "as asked" else next(iter(named), None)
    return Request(file.file, profile=profile or "auto", tracking_uri="memory:", trust=file.trust)


def _command(request: Request) -> str:
    """What makes a sweep's results."""
    seeds = request.expansion.typed_seeds
    how: dict[str, Any] = {"profile": request.profile, "changes": request.changes}
    how |= {"seeds": None if seeds == request.spec.seed_list else seeds, "aim": request.expansion.aim}
    bundle = parts(request.file)  # which says how to go on
    return shlex.join(["orch", "import", str(bundle[0])] if bundle else sweep_words(request.file, **how))


def _notes(file: Path, names: Collection[str]) -> dict[str, str]:
    """What was written by hand: above all under "", and of each sweep below `## sweep`."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}"
        ) from None
    above, *rest = re.split(r"^## +(\S.*)$", text, flags=re.MULTILINE)
    found = {"": above}
    for name, words in zip(map(str.strip, rest[::2]), rest[1::2], strict=True):
        found[name] = found.get(name, "") + words
    if unknown := [name for name in found if name and name not in names]:
        raise UsageError(
            f"{file}: '## {unknown[0]}' is none of these sweeps; {nearest(unknown[0], sorted(names))}"
        )
    return found


def _name(requests: Sequence[Request]) -> str:
    return requests[0].folder_name if len(requests) == 1 else "report"


@contextlib.contextmanager
def _page(file: Path, *, mark: str) -> Iterator[Callable[[str], None]]:
    """What writes a page, whole or not at all, and over no other file than one with that mark.

    That it can be written is known first: to look at results takes long.
    """
    with _named(file):
        if file.exists() and not _has(file, mark):
            raise UsageError(f"{file}: is there already and is no report; choose another with --out")
        part = file.with_name(f".{file.name[:200]}.{os.getpid()}.part")
        part.touch()

    def write(text: str) -> None:
        with _named(file):
            part.write_text(text, encoding="utf-8", errors="backslashreplace")  # of a file's name
            part.replace(file)

    try:
        yield write
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; choose another with --out") from None


def _has(file: Path, mark: str) -> bool:
    """Whether it is a file with that mark; a device would be read without an end."""
    if not file.is_file():
        return False
    with file.open("rb") as there:
        return mark.encode() in there.read(2000)


def _chapter(request: Request, anchor: str, beside: str | None) -> Chapter:
    others = request.others(beside)
    expansion, records = request.expansion, request.records()
    states = {one.id: status_of(records.get(one.id)) for one in request.trials}
    ended = {one.id: one.label for one in request.trials if states[one.id] in TOLD}
    first = sorted(ended, key=lambda i: states[i] != "failed")  # whose log matters most
    logs = {
        i: printable("\n".join(tail([(ended[i], path)], lines=LOG_LINES)), keep="\n\t")
        for i in first[:LOGS]
        if (path := request.space.log_of(i)) is not None
    }
    command = _command(request)
    contents, name, _ = whole_sources(request.spec, request.file, trust=request.trust)
    problems: list[str] = []
    tables = publish.tables(expansion, records, problems) if expansion.spec.tables else []
    problems += _not_evaluated(request, records, command)
    return chapter(
        expansion,
        records,
        request.store().curves(drawn_trials(expansion)),
        tables=[with_others(one, others) for one in tables] if others else tables,
        problems=problems,
        anchor=anchor,
        command=command,
        source=contents[name].decode(),
        logs=logs,
        others=others,
    )


def _not_evaluated(request: Request, records: Mapping[str, TrialRecord], command: str) -> Iterator[str]:
    """How evaluations stand, where some are not there yet, and what makes those."""
    if request.spec.evaluations:
        found, plan = request.evaluation_plan(records)
        if plan.todo or any(found.waiting.values()):
            yield from evaluations_text(found, plan)
            yield f"`{command}` makes what is missing of them"
