"""An index of claims as a file of the user's choice."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from orchestrator.answer import publish
from orchestrator.answer.report.claims import NOT_RUN
from orchestrator.answer.report.index import MADE, Section, answered, index, section
from orchestrator.answer.tables.notes import doubts
from orchestrator.commands.look.write_report import made_by, name_of, page_file
from orchestrator.commands.request import Request
from orchestrator.errors import SpecError, UsageError
from orchestrator.language.cells.seeds import as_typed
from orchestrator.language.hints import nearest
from orchestrator.language.yaml_text import in_a_line
from orchestrator.process.words import counted, listed
from orchestrator.recording.bundle.layout import parts
from orchestrator.recording.bundle.merging import differ
from orchestrator.records import TrialRecord


def write_index(
    requests: Sequence[Request], path: Path | None, *, notes: Path | None, say: Callable[[str], None]
) -> Path:
    """Write an index of these sweeps' claims as Markdown; where it is.

    Where bundles are among them, results are those of bundles alone: a sweep file then says which claims
    there are, and has the results of every bundle with trials of its own. What a bundle of the same sweep
    has besides, or was judged otherwise, is told in a line, to `say` and in the index.

    Raises:
        UsageError: a file cannot be read or written, bundles have different results of a trial, or the notes
            speak of another sweep.
        StoreError: a store does not answer.
    """
    file = path or Path(f"{name_of(requests)}.md")
    with page_file(file, mark=MADE) as write:
        _check_alike(requests)
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
    told = [*problems, *_in(request, doubts(request.expansion, request.records()))]
    return section(request.expansion, made, problems=told, command=made_by(request))


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
        over = [asked for file in files if (asked := _laid_over(file, bundle)) and asked.records()]
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
        for asked in over:
            if names := listed(_judged_otherwise(bundle, asked)):
                yield (
                    f"{bundle.file}: judged by {asked.file}, whose published numbers or tolerances are not "
                    f"those that it was exported with: {names}"
                )


def _judged_otherwise(bundle: Request, file: Request) -> list[str]:
    """Its tables, with metrics, that the file judges by other published numbers or tolerances."""

    def told(request: Request) -> Iterator[tuple[tuple[object, ...], str, tuple[object, ...]]]:
        for part in (part for table in request.spec.tables for part in table.parts):
            if (one := part.published) is not None:
                place = (part.metric, part.row_axes, part.column_axes, *sorted(part.where.items()))
                judged = (one.profile, one.tolerance, one.values, one.spread)
                yield place, f"{part.name} ({part.metric})", judged

    ours = defaultdict[tuple[object, ...], list[tuple[object, ...]]](list)
    for place, _, judged in told(file):
        ours[place].append(judged)
    return [name for place, name, judged in told(bundle) if place in ours and judged not in ours[place]]


def _check_alike(requests: Sequence[Request]) -> None:
    """Check that bundles have no different results of a trial; UsageError: leave one out."""
    known = dict[str, tuple[Request, TrialRecord]]()
    for request in (one for one in requests if parts(one.file) is not None):
        for identity, record in ((i, one) for i, one in request.records().items() if one.is_done):
            other, there = known.setdefault(identity, (request, record))
            if differ(record, there):
                raise UsageError(
                    f"trial {identity} has another result in {request.file} than in {other.file}; "
                    "leave one of them out"
                )


def _in(request: Request, lines: Iterable[str]) -> list[str]:
    """Lines on trials of a sweep, where it has settings with the one that they are about."""
    setting = request.expansion.setting
    return [f"profile {setting}: {line}" if setting else line for line in lines]


def _answered(request: Request) -> set[tuple[str, str]]:
    """The claims of which its results say something."""
    return {(one.what, one.source) for one in _section(request).claims if one.answer != NOT_RUN}


def _laid_over(file: Request, bundle: Request) -> Request | None:
    """A sweep file as a bundle's sweep was selected, over its results; None: it has no such trials."""
    aim, seeds = bundle.expansion.aim, bundle.expansion.typed_seeds
    if file.changes and file.changes != bundle.changes:
        return None
    own = None if seeds in (None, file.spec.seed_list) else as_typed(seeds or ())
    with contextlib.suppress(UsageError, SpecError):  # it lacks the profile, or what --set has changed there
        return Request(
            file.file,
            profile=bundle.profile or "auto",
            seeds=own,
            precision=aim.half_width if aim else None,
            max_seeds=aim.most_seeds if aim else None,
            changes=_typed(bundle.changes),
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
    return Request(
        file.file,
        profile=profile or "auto",
        changes=_typed(file.changes),
        tracking_uri="memory:",
        trust=file.trust,
    )


def _typed(changes: Mapping[str, Any]) -> list[str]:
    return [f"{path}={in_a_line(value)}" for path, value in changes.items()]


def _notes(file: Path, names: Collection[str]) -> dict[str, str]:
    """What was written by hand: above all under "", and of each sweep below `## sweep`."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}"
        ) from None
    if text.lstrip().startswith(MADE):
        raise UsageError(f"{file}: was made by orch report; --notes takes what was written by hand")
    lines = text.split("\n")
    heads = [
        (one.map[0], one.map[1], words.content)
        for one, words in itertools.pairwise(MarkdownIt().parse(text))
        if one.type == "heading_open" and one.markup == "##" and one.level == 0 and one.map and words.content
    ]
    starts = [first for first, _, _ in heads] + [len(lines)]
    found = {"": "\n".join(lines[: starts[0]])}
    for (_, first, name), end in zip(heads, starts[1:], strict=True):
        found[name] = "\n\n".join(filter(None, (found.get(name), "\n".join(lines[first:end]).strip("\n"))))
    if unknown := [name for name in found if name and name not in names]:
        raise UsageError(
            f"{file}: '## {unknown[0]}' is none of these sweeps; {nearest(unknown[0], sorted(names))}"
        )
    return found
