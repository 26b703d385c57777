"""The slope of log eig W_p over log eig F that a random predictor has, beside that of the trained one.

    python benchmarks/chance_slope.py [BUNDLE...] [--draws 10]

The slope matches two sorted lists of eigenvalues rank by rank, so that a W_p that knows nothing of F has one.
For each cell whose predictor SGD trained, at the first and the last epoch after which spectra were recorded:
the slope of the trained W_p over its F, and over the same F mean ± standard deviation of predictors drawn as
the cell's own was (and made symmetric where it was), and of linear ones, whose spectrum has another shape.
Without a bundle: those of Table 1 and Figure 5 in docs/reproduction.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
import torch
from benchmarks_machine import machine

from orchestrator import Sweep
from trainers.measures.spectra import eigenspace, eigenspace_metrics
from trainers.networks.heads import (
    LinearPredictor,
    PredictorConfig,
    build_predictor,
    predictor_matrix,
    project,
)

BUNDLES = Path(__file__).parents[1] / "docs/reproduction"
SHIPPED = [BUNDLES / f"{name}-short.orch.zip" for name in ("table1", "figure5")]
TRAINED = ("byol", "simsiam")
"""Methods whose predictor SGD trains."""


def slope(f: np.ndarray, w_p: torch.Tensor) -> float:
    """Of W_p over an F with these eigenvalues; in which directions they lie does not matter."""
    correlation = torch.from_numpy(np.ascontiguousarray(f)).diag()
    return eigenspace_metrics(correlation, w_p, eigenspace(correlation, w_p))["Wp/slope"]


def trained(f: np.ndarray, w_p: np.ndarray) -> str:
    """Of the recorded eigenvalues of W_p, real parts, over those of F."""
    return f"{slope(f, torch.from_numpy(np.ascontiguousarray(w_p)).diag()):.2f}"


def chance(f: np.ndarray, config: PredictorConfig, draws: int) -> str:
    """Mean ± standard deviation of the slopes of predictors that were just drawn."""
    found = []
    for number in range(draws):
        torch.manual_seed(number)
        predictor = build_predictor(config, len(f))
        project(predictor, config)
        w_p = predictor_matrix(predictor)
        assert w_p is not None
        found.append(slope(f, w_p))
    spread = f" ± {statistics.stdev(found):.2f}" if draws > 1 else ""
    return f"{statistics.mean(found):.2f}{spread}"


def main() -> None:
    """Read bundles and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE")
    parser.add_argument("--draws", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    print("| sweep | cell | epoch | trained | random | random, linear |\n|---|---|---:|---:|---:|---:|")
    for bundle in asked.bundles or SHIPPED:
        sweep = Sweep.load(bundle)
        for cell in {trial.cell.label: trial.cell for trial in sweep.trials}.values():
            method = getattr(cell.config(0), "method", None)  # the matrix dynamics have none
            if method is None or method.name not in TRAINED:
                continue
            for spectra in sweep.spectra(cell.label).values():
                for at in (int(np.argmax(spectra["epochs"] > 0)), len(spectra["epochs"]) - 1):
                    f, w_p = spectra["F"][at], spectra["Wp"][at]
                    slopes = [chance(f, one, asked.draws) for one in (method.predictor, LinearPredictor())]
                    row = (sweep.spec.name, cell.label, spectra["epochs"][at], trained(f, w_p), *slopes)
                    print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
