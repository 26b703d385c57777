"""Runs of an experiment in MLflow: columns params.NAME, tags.NAME, metrics.NAME and run. Only reads."""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.recording.bundle.others.sources.base import Curve, Run, Runs, columns_of, digest
from orchestrator.recording.workspace import workspace

SOURCE = "the address of a tracking server or of a database, with --experiment"


def read(source: str, *, experiment: str | None = None) -> Runs:
    """The finished runs of an experiment.

    Raises:
        UsageError: there is no such file or experiment.
        StoreError: it does not answer, or another version of MLflow made it.
    """
    at = workspace(None, source, None).store_at
    if at.file is not None and not at.file.exists():
        raise UsageError(f"{source}: no such file; name a database that is there")
    address = at.for_mlflow(writes=False)
    # MLflow takes a second and a half to import.
    from orchestrator.recording.mlflow.experiments import ForeignRuns

    found = ForeignRuns(address, at.name)
    if experiment is None:
        known = ", ".join(found.experiments()[:20]) or "none"
        raise UsageError(f"{at.name}: say which with --experiment NAME: {known}")
    told = found.runs(experiment)
    rows = []
    for one in told:
        values: dict[str, str | float] = {"run": one.name}
        values |= {f"params.{name}": text for name, text in one.params.items()}
        values |= {f"tags.{name}": text for name, text in one.tags.items() if not name.startswith("mlflow.")}
        values |= {f"metrics.{name}": number for name, number in one.metrics.items()}

        def curve(column: str, run: str = one.id) -> Curve:
            return found.curve(run, column.removeprefix("metrics.")) if column.startswith("metrics.") else ()

        rows.append(Run(f"run {one.id}", values, curve))
    whole = digest(
        repr(sorted((k, str(v)) for k, v in (*row.values.items(), ("", row.place)))).encode() for row in rows
    )
    return Runs(f"{at.name}, {experiment}", whole, columns_of(rows), tuple(rows))
