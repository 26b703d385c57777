"""One cell of a sweep: which trials it means, and training one of them in this process."""

from __future__ import annotations

import json

from orchestrator.errors import UsageError
from orchestrator.language.hints import nearest
from orchestrator.planning.expand import Expansion, TrialSpec
from orchestrator.recording.workspace import Workspace, has_gpu, missing_data
from trainers.attempt.isolation import run_trial
from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import Runtime


def find_trial(expansion: Expansion, text: str) -> TrialSpec:
    """The trial of the one cell that `text` names, in an expansion of one seed."""
    return find_trials(expansion, text)[0]


def find_trials(expansion: Expansion, text: str) -> list[TrialSpec]:
    """The trials of the one cell that `text` names: label, levels as axis=level, or the start of an id.

    Raises:
        UsageError: it names no cell, or several.
    """
    wanted = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    wanted = {axis.strip(): level.strip() for axis, level in wanted.items()}

    def fits(trial: TrialSpec) -> bool:
        if wanted:
            return wanted.items() <= dict(trial.cell.choice).items()
        same = trial.cell.label.casefold() == text.casefold()
        return same or (len(text) >= 4 and (trial.id.startswith(text) or trial.cell.id.startswith(text)))

    found = [trial for trial in expansion.trials if fits(trial)]
    named = list(dict.fromkeys(trial.cell.label for trial in found))
    if len(named) == 1:
        return found
    labels = [cell.label for cell in expansion.cells]
    if named:
        raise UsageError(f"'{text}' fits {len(named)} cells: {'; '.join(named[:8])}")
    raise UsageError(f"no cell '{text}'; {nearest(text, labels)}")


def run_one(
    trial: TrialSpec, space: Workspace, *, device: str, threads: int, download: bool, as_json: bool
) -> Outcome:
    """Train one trial in this process, printing a line per epoch; nothing is stored."""
    problems = list(missing_data([trial], space.data_root))
    if problems and not download:
        raise UsageError("\n".join(problems))
    runtime = Runtime(
        device=("cuda" if has_gpu() else "cpu") if device == "auto" else _checked(device),
        threads=threads,
        data_root=space.data_root,
        download=download,
    )

    def report(message: EpochReport) -> None:
        if as_json:
            print(json.dumps(message.model_dump(exclude={"arrays"})), flush=True)
            return
        shown = (
            "train/loss",
            "F/rankme",
            "embedding/std",
            "Wp/asymmetry_l1",
            "alignment/mean",
            "time/epoch_s",
        )
        numbers = "  ".join(f"{n} {message.metrics[n]:.3f}" for n in shown if n in message.metrics)
        print(f"epoch {message.epoch}/{message.epochs}  {numbers}", flush=True)

    return run_trial(trial.config, runtime=runtime, folder=None, report=report)


def outcome_text(outcome: Outcome) -> str:
    """An outcome for a person: status, reason, and the final numbers in columns."""
    lines = [f"{outcome.status}" + (f": {outcome.reason}" if outcome.reason else "")]
    width = max((len(name) for name in outcome.metrics), default=0)
    lines += [f"  {name:{width}}  {value:.6g}" for name, value in sorted(outcome.metrics.items())]
    verdict = outcome.details.get("collapse")
    if verdict:
        lines.append(f"  collapse: {verdict['verdict']} ({verdict['evidence']})")
    return "\n".join(lines)


def _checked(device: str) -> str:
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UsageError(f"--device {device}: no such device; try auto, cpu or cuda") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {device}: torch finds no GPU here; try auto or cpu")
    return device
