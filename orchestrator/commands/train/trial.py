"""One cell of a sweep: which trials it means, and training one of them in this process."""

from __future__ import annotations

import json

from orchestrator.errors import UsageError
from orchestrator.planning.data import missing_data
from orchestrator.planning.trials import TrialSpec
from orchestrator.process.machine import has_gpu
from orchestrator.process.streams import ignoring_closed_pipes
from orchestrator.recording.workspace import Workspace
from trainers.attempt.isolation import run_trial
from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import Runtime


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
        with ignoring_closed_pipes():  # else it would be the trial that failed
            print(line(message), flush=True)

    def line(message: EpochReport) -> str:
        if as_json:
            return json.dumps(message.model_dump(exclude={"arrays"}))
        shown = (
            "train/loss",
            "F/rankme",
            "embedding/std",
            "Wp/asymmetry_l1",
            "alignment/mean",
            "time/epoch_s",
        )
        names = [n for n in shown if n in message.metrics] or list(message.metrics)[: len(shown)]
        return f"epoch {message.stage}  " + "  ".join(f"{n} {message.metrics[n]:.3f}" for n in names)

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
