"""The slope of log eig W_p over log eig F that a random predictor has, beside that of the trained one.

    python benchmarks/chance_slope.py [BUNDLE...] [--draws 10] [--metric Wp/slope]

The slope matches two sorted lists of eigenvalues rank by rank, so that a W_p that knows nothing of F has one.
For each cell whose predictor SGD trained, at the first and the last epoch after which spectra were recorded:
the slope of the trained W_p over its F, and over the same F mean ± standard deviation of predictors drawn as
the cell's own was (and made symmetric where it was), and of linear ones, whose spectrum has another shape.
`--metric` takes another one of the eigenspace, such as alignment/mean or alignment/commutator.
Without a bundle: those of Table 1 and Figure 5 in docs/reproduction, whatever their profile.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
import torch
from benchmarks_machine import machine

from orchestrator import Sweep
from orchestrator.errors import OrchError
from trainers.measures.spectra import eigenspace, eigenspace_metrics
from trainers.networks.heads import (
    LinearPredictor,
    PredictorConfig,
    build_predictor,
    predictor_matrix,
    project,
)

BUNDLES = Path(__file__).parents[1] / "docs/reproduction"
SHIPPED = [BUNDLES / f"{name}.orch.zip" for name in ("table1-short", "table1-cpu", "figure5-short")]
EIGHT = torch.arange(1.0, 9.0)  # eigenvalues of which every number can be made
TRAINED = ("byol", "simsiam")
"""Methods whose predictor SGD trains."""


def measured(f: np.ndarray, w_p: torch.Tensor) -> dict[str, float]:
    """Of W_p and an F with these eigenvalues; of a W_p just drawn their directions do not matter."""
    correlation = torch.from_numpy(np.ascontiguousarray(f)).diag()
    return eigenspace_metrics(correlation, w_p, eigenspace(correlation, w_p))


def chance(metric: str, f: np.ndarray, config: PredictorConfig, draws: int) -> str:
    """Mean ± standard deviation over predictors that were just drawn."""
    found = []
    for number in range(draws):
        torch.manual_seed(number)
        predictor = build_predictor(config, len(f))
        project(predictor, config)
        w_p = predictor_matrix(predictor)
        assert w_p is not None
        found.append(measured(f, w_p)[metric])
    return f"{statistics.mean(found):.2f} ± {statistics.stdev(found):.2f}"


def main() -> None:
    """Read bundles and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--metric", default="Wp/slope", choices=measured(EIGHT.numpy(), EIGHT.diag()))
    asked = parser.parse_args()
    if asked.draws < 2:
        parser.error(f"--draws {asked.draws}: expected 2 or more, for a spread")
    try:
        sweeps = {bundle: Sweep.load(bundle) for bundle in asked.bundles or SHIPPED}
    except OrchError as error:
        parser.error(str(error))
    torch.set_num_threads(1)
    print(machine())
    shown = 0
    head = ("sweep", "cell", "seed", "epoch", f"{asked.metric}, trained", "random", "random, linear")
    print(f"| {' | '.join(head)} |\n|---|---|---:|---:|---:|---:|---:|")
    for bundle, sweep in sweeps.items():
        curves = sweep.curves().query("metric == @asked.metric").set_index(["cell", "seed", "epoch"])["value"]
        for cell in {trial.cell.label: trial.cell for trial in sweep.trials}.values():
            method = getattr(cell.config(0), "method", None)  # the matrix dynamics have none
            if method is None or method.name not in TRAINED:
                continue
            for seed, spectra in sweep.spectra(cell.label).items():
                for at in (int(np.argmax(spectra["epochs"] > 0)), len(spectra["epochs"]) - 1):
                    f, epoch = spectra["F"][at], spectra["epochs"][at]
                    kinds = (method.predictor, LinearPredictor())
                    drawn = [chance(asked.metric, f, one, asked.draws) for one in kinds]
                    shown += 1
                    own = f"{curves[cell.label, seed, epoch]:.2f}"
                    row = (bundle.name.partition(".")[0], cell.label, seed, epoch, own, *drawn)
                    print(f"| {' | '.join(map(str, row))} |", flush=True)
    if not shown:
        parser.error(
            f"no results of cells whose predictor SGD trains ({', '.join(TRAINED)}) in these bundles"
        )


if __name__ == "__main__":
    main()
