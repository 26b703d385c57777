"""Functions of a positive semi-definite matrix: by eigendecomposition, and without one."""

from __future__ import annotations

from collections.abc import Callable

from trainers.config.lazy import torch


def spectral_function(matrix: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """U diag(function(s)) Uᵀ of a symmetric `matrix` = U diag(s) Uᵀ [d, d], with s clamped at zero.

    Decomposed on the CPU in float64: eigh of a rank-deficient float32 matrix fails on some GPUs, and d is
    small. A matrix that is not finite gives NaN, so that the loss says that the trial diverged.

    Args:
        matrix: symmetric up to rounding.
        function: of the eigenvalues [d], ascending.
    """
    symmetric = ((matrix + matrix.T) / 2).double().cpu()
    if not bool(torch.isfinite(symmetric).all()):
        return torch.full_like(matrix, torch.nan)
    values, vectors = torch.linalg.eigh(symmetric)
    result: torch.Tensor = (vectors * function(values.clamp(min=0))) @ vectors.T
    return result.to(matrix)


def largest_eigenvalue(matrix: torch.Tensor, *, squarings: int = 12) -> torch.Tensor:
    """Largest eigenvalue of a positive semi-definite `matrix` [d, d], scalar, without leaving the device.

    The matrix is squared until only its top eigenspace is left; the trace of what it does there is then a
    mean of eigenvalues with weights s^(2^squarings), low by less than 1e-3 of itself at d = 128.
    """
    power = matrix
    for _ in range(squarings):
        # Scaled to its largest entry: squares of a matrix of norm 1 stay representable.
        power = power / power.abs().amax().clamp(min=torch.finfo(power.dtype).tiny)
        power = power @ power
    total = power.diagonal().sum()
    return torch.where(total == 0, torch.zeros_like(total), (matrix * power.T).sum() / total)


def sqrt_newton_schulz(matrix: torch.Tensor, *, iterations: int = 20) -> torch.Tensor:
    """Square root of a positive semi-definite `matrix` [d, d] of norm at most 1, without leaving the device.

        Y ← Y (3I - Z Y)/2,   Z ← (3I - Z Y) Z/2;   from Y = matrix, Z = I,   Y → matrix^½

    A small eigenvalue s grows by 3/2 a step until it reaches its root: twenty serve down to s = 1e-6. In
    float32 the result is within 5e-4 of the exact root, in the spectral norm.

    Source: Higham 2008, Functions of Matrices, eq. 6.35.
    """
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    # A floor under the spectrum: what is zero otherwise stays zero in Y and grows without bound in Z.
    y, z = matrix + 1e-7 * identity, identity
    for _ in range(iterations):
        half = (3 * identity - z @ y) / 2
        y, z = y @ half, half @ z
    return (y + y.T) / 2
