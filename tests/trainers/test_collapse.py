"""Laws of the collapse verdict: known collapses are named, and nothing else is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trainers.measures.collapse import describe, diagnose
from trainers.methods import vicreg

N, D = 400, 32


def normal(rows: int = N, columns: int = D, seed: int = 0) -> Tensor:
    return torch.randn((rows, columns), generator=torch.Generator().manual_seed(seed))


CASES = {
    "none": normal(),
    "constant": torch.full((N, D), 0.3),
    "nearly constant": torch.ones(N, D) + 0.01 * normal(),
    "rank one": normal(N, 1) * normal(1, D, seed=1),
    "rank two": normal(N, 2) @ normal(2, D, seed=1),
    "zero": torch.zeros(N, D),
}
VERDICTS = {
    "none": ("none", "embedding effective rank"),
    "constant": ("total", "embedding std"),
    "nearly constant": ("total", "embedding std"),
    "rank one": ("total", "one direction holds 100% of the embedding variance"),
    "rank two": ("dimensional", "is below 0.1 of d = 32"),
    "zero": ("total", "embedding std 0 is below 0.1 of the healthy 0.18"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_verdict_comes_with_its_evidence(case: str) -> None:
    found = diagnose(CASES[case], normal())
    verdict, evidence = VERDICTS[case]
    assert found.verdict == verdict and evidence in found.evidence


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scaling_all_embeddings_changes_no_verdict(case: str, scale: float) -> None:
    assert diagnose(CASES[case] * scale, normal()).verdict == diagnose(CASES[case], normal()).verdict


@pytest.mark.parametrize("case", CASES)
def test_features_are_described_by_the_same_numbers_but_do_not_decide(case: str) -> None:
    found = diagnose(normal(), CASES[case])
    swapped = diagnose(CASES[case], normal())
    assert found.verdict == "none" and all(math.isfinite(value) for value in found.metrics.values())
    for name in ("std", "top1_share", "effective_rank", "rankme"):
        assert found.metrics[f"feature/{name}"] == swapped.metrics[f"embedding/{name}"]


def test_isotropic_embeddings_have_the_healthy_spread() -> None:
    # Coordinates on the sphere have variance 1/d exactly on average; 12 800 of them, 1 %.
    found = diagnose(normal(), normal()).metrics
    assert found["embedding/std"] == pytest.approx(1 / math.sqrt(D), rel=0.02)


def test_a_large_common_mean_is_not_a_collapse() -> None:
    # Uncentred, the mean would hold 94 % of the second moment; the spread is a quarter of the healthy one.
    found = diagnose(4 + normal(), normal())
    assert found.verdict == "none" and found.metrics["embedding/top1_share"] < 0.1


def test_few_images_make_no_collapse_of_healthy_embeddings() -> None:
    # N centred embeddings span N - 1 directions: 20 of them have a rank below a tenth of 320 in any case.
    for rows in (2, 3, 20):
        found = diagnose(normal(rows, 320), normal(rows))
        assert found.verdict == "none" and f"of {rows - 1} (" in found.evidence
    assert diagnose(normal(20, 1) @ normal(1, 320), normal(20)).verdict == "total"
    narrow = diagnose(normal(40, 3) @ normal(3, 320), normal(40))
    assert narrow.verdict == "dimensional"
    assert "is below 0.1 of 39 (40 images; d = 320)" in narrow.evidence


def test_the_share_of_one_direction_decides_at_nine_tenths() -> None:
    u = torch.linalg.qr(normal(N, D) - normal(N, D).mean(0))[0]  # orthonormal columns of mean zero
    for share, is_total in ((0.88, False), (0.92, True)):
        variances = torch.full((D,), (1 - share) / (D - 1))
        variances[0] = share
        found = diagnose(u * variances.sqrt(), normal())
        assert found.metrics["embedding/top1_share"] == pytest.approx(share, rel=1e-4)
        assert (found.verdict == "total") is is_total


def test_embeddings_that_are_not_finite_are_a_floating_point_error() -> None:
    broken = normal()
    broken[3, 3] = math.nan
    with pytest.raises(FloatingPointError, match="embedding is not finite"):
        diagnose(broken, normal())


# The numbers


def described(values: Tensor) -> dict[str, float]:
    return describe("values", values)[0]


def test_the_spectrum_is_that_of_the_centred_covariance() -> None:
    x = 3 + normal() * torch.linspace(0.1, 2, D)
    _, spectrum = describe("values", x)
    expected = torch.linalg.svdvals((x - x.mean(dim=0)).double()) ** 2 / N
    torch.testing.assert_close(torch.from_numpy(spectrum.copy()), expected)


def test_ranks_of_k_equal_directions_are_k() -> None:
    u = torch.linalg.qr(normal(N, D) - normal(N, D).mean(0))[0]
    found = described(torch.cat((u[:, :5], torch.zeros(N, D - 5)), dim=1))
    for name in ("effective_rank", "participation_ratio", "stable_rank", "rankme"):
        assert found[name] == pytest.approx(5, rel=1e-4)
    assert found["dims_below_1e-3"] == found["dims_below_1e-6"] == found["dead_dims"] == D - 5


def test_correlation_is_at_chance_for_independent_coordinates_and_one_for_copies() -> None:
    independent = described(normal(2000))
    # 496 pairs of standard error 0.6 of the mean each.
    assert independent["correlation"] == pytest.approx(independent["correlation_chance"], rel=0.1)
    signs = torch.tensor([1.0, -1.0]).repeat(D // 2)
    assert described(normal(N, 1) * signs)["correlation"] == pytest.approx(1)


def test_the_gaussian_entropy_is_largest_where_all_directions_are_alike() -> None:
    alike, narrow = described(normal()), described(normal() * torch.linspace(0.01, 1, D))
    assert narrow["entropy_gaussian"] < alike["entropy_gaussian"] < D / 2 * (1 + math.log(2 * math.pi))
    assert described(100 * normal())["entropy_gaussian"] == pytest.approx(alike["entropy_gaussian"])


def test_the_kde_entropy_is_zero_for_one_point_and_equals_a_literal_mean() -> None:
    assert described(torch.ones(50, 3))["entropy_kde"] == pytest.approx(0, abs=1e-9)
    x = normal(12, 3).double()
    z = x / x.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(12):
        others = [math.exp(-2 * float((z[i] - z[j]).square().sum())) for j in range(12) if j != i]
        total -= math.log(sum(others) / 11) / 12
    assert described(x)["entropy_kde"] == pytest.approx(total)


def test_vicregs_terms_are_those_of_its_loss() -> None:
    x = (normal() * torch.linspace(0.1, 2, D)).double()
    found = described(x)
    config = vicreg.Config(invariance=0, variance=1, covariance=0)
    assert 2 * found["variance_hinge"] == pytest.approx(float(vicreg.vicreg_loss(x, x, config=config)))
    config = vicreg.Config(invariance=0, variance=0, covariance=1)
    assert 2 * found["covariance"] == pytest.approx(float(vicreg.vicreg_loss(x, x, config=config)))
