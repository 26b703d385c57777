"""DirectPred's W_p by eigendecomposition and by Newton-Schulz, and the spectral norm both ways.

    python benchmarks/matrix_roots.py [--device cuda]

Prints, for each dimension, milliseconds per call (median of 50), their ratio, and how far the results are
apart in the spectral norm.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from benchmarks_machine import machine

from trainers.measures.matrix import largest_eigenvalue, spectral_function
from trainers.methods.directpred import Config, directpred_matrix

EIGH, PRODUCTS = Config(), Config(root="newton_schulz")


def milliseconds(function: Callable[[], torch.Tensor], *, device: str, repeats: int = 50) -> float:
    """Median time of a call, the device idle before and after."""
    times = []
    for _ in range(repeats + 3):
        if device != "cpu":
            torch.cuda.synchronize()
        started = time.perf_counter()
        function()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[3:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=(64, 128, 256, 512))
    asked = parser.parse_args()
    device = asked.device
    torch.set_num_threads(1)
    print(machine())
    for d in asked.sizes:
        generator = torch.Generator().manual_seed(0)
        basis, _ = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
        spectrum = torch.cat((torch.tensor([191.0, 13.5, 8.3]), torch.logspace(0, -5, d - 3)))
        f = ((basis * spectrum) @ basis.T).float().to(device)
        exact = milliseconds(lambda f=f: directpred_matrix(f, EIGH), device=device)  # type: ignore[misc]
        products = milliseconds(lambda f=f: directpred_matrix(f, PRODUCTS), device=device)  # type: ignore[misc]
        apart = directpred_matrix(f, EIGH) - directpred_matrix(f, PRODUCTS)
        by_eigh = milliseconds(lambda f=f: spectral_function(f, torch.sqrt).amax(), device=device)  # type: ignore[misc]
        by_squaring = milliseconds(lambda f=f: largest_eigenvalue(f), device=device)  # type: ignore[misc]
        print(
            f"d = {d}: eigh {exact:.2f} ms, Newton-Schulz {products:.2f} ms, ratio {exact / products:.2f}; "
            f"apart {float(torch.linalg.matrix_norm(apart, 2)):.1e}; "
            f"norm by eigh {by_eigh:.2f} ms, by squaring {by_squaring:.2f} ms"
        )


if __name__ == "__main__":
    main()
