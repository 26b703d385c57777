"""Laws of the eigenspace diagnostics: closed forms, baselines and edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.measures.spectra import CorrelationEMA, SpectraConfig, eigenspace, eigenspace_metrics
from trainers.networks.heads import LinearPredictor, MlpPredictor, build_predictor, predictor_matrix, project

D = 16


def rotation(d: int = D, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn((d, d), generator=generator, dtype=torch.float64))[0]


def with_spectrum(u: Tensor, values: Tensor) -> Tensor:
    return u @ torch.diag(values.double()) @ u.T


def measured(f: Tensor, w: Tensor | None) -> dict[str, float]:
    return eigenspace_metrics(f, w, eigenspace(f, w))


FALLING = torch.arange(D, 0, -1)  # D, …, 1: distinct, so that every eigenvector is determined


# F


def test_f_is_the_moving_average_that_starts_with_the_first_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn((4, 2, 10, 5), generator=generator)
    correlation = CorrelationEMA(5, rho=0.3, device="cpu")
    expected = None
    for z1, z2 in batches:
        correlation.update(z1, z2)
        outer = sum(torch.outer(row, row) for z in (z1, z2) for row in z.double()) / 20
        expected = outer if expected is None else 0.3 * expected + 0.7 * outer
    # float32 sums of twenty products.
    torch.testing.assert_close(correlation.value.double(), expected, rtol=0, atol=1e-5)


def test_f_is_not_centred() -> None:
    correlation = CorrelationEMA(3, rho=0.0, device="cpu")
    correlation.update(torch.ones(4, 3), torch.ones(4, 3))
    assert torch.equal(correlation.value, torch.ones(3, 3))


# Eigenspaces


def test_a_predictor_that_commutes_with_f_is_aligned() -> None:
    u, p = rotation(), torch.linspace(0.9, 0.1, D)
    found = eigenspace(with_spectrum(u, FALLING), with_spectrum(u, p))
    # float64 eigenvectors; gaps of 1 in F.
    np.testing.assert_allclose(found["alignment"], 1, atol=1e-12)
    np.testing.assert_allclose(found["Wp"], p, atol=1e-7)  # linspace is float32
    np.testing.assert_allclose(found["F"], FALLING, atol=1e-12)


def test_alignment_follows_the_order_of_fs_eigenvalues() -> None:
    u, signs = rotation(), torch.ones(D)
    signs[:3] = -1  # on the three largest directions of F
    found = eigenspace(with_spectrum(u, FALLING), with_spectrum(u, signs * 0.5))
    np.testing.assert_allclose(found["alignment"], signs, atol=1e-12)


def test_alignment_is_the_cosine_of_u_and_its_image() -> None:
    w = torch.randn((D, D), generator=torch.Generator().manual_seed(0)).double()
    found = eigenspace(torch.diag(FALLING.double()), w)["alignment"]
    for j in range(D):  # F is diagonal: u_j is the j-th axis, up to its sign
        column = w[:, j]
        assert found[j] == pytest.approx(float(column[j] / (column**2).sum().sqrt()), abs=1e-12)


def test_spectra_fall() -> None:
    generator = torch.Generator().manual_seed(0)
    w, z = torch.randn((2, D, D), generator=generator)
    found = eigenspace(z.T @ z, w)
    for name in ("F", "Wp"):
        assert (np.diff(found[name]) <= 0).all() and found[name][0] > found[name][-1]


def test_a_commuting_predictor_has_no_commutator_and_another_has() -> None:
    u, v, p = rotation(), rotation(seed=1), torch.linspace(0.9, 0.1, D)
    f = with_spectrum(u, FALLING)
    assert measured(f, with_spectrum(u, p))["alignment/commutator"] < 1e-14  # float64 products
    assert measured(f, with_spectrum(v, p))["alignment/commutator"] > 0.01


# Numbers


def test_a_symmetric_matrix_has_no_asymmetry() -> None:
    w = rotation() + rotation().T
    found = measured(torch.eye(D), w)
    assert found["Wp/asymmetry_l1"] == found["Wp/asymmetry_fro"] == 0


def test_a_random_matrix_has_asymmetry_root_two() -> None:
    w = torch.randn((256, 256), generator=torch.Generator().manual_seed(0))
    found = measured(torch.eye(256), w)
    # The difference of two equal normals has √2 of their spread; the diagonal takes 1/d = 0.4 % off the
    # sums, and 3·10⁴ pairs leave a deviation of 0.4 %.
    for name in ("Wp/asymmetry_l1", "Wp/asymmetry_fro"):
        assert found[name] == pytest.approx(math.sqrt(2), rel=0.02)


def test_an_antisymmetric_matrix_has_asymmetry_two() -> None:
    found = measured(torch.eye(2), torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    assert found["Wp/asymmetry_l1"] == found["Wp/asymmetry_fro"] == 2


def test_a_random_symmetric_two_layer_predictor_looks_aligned_by_chance() -> None:
    # tr W / (√d ‖W‖) of W = wᵀw with 512 random rows tends to 1/√(1 + 128/512) = 0.894 in any direction.
    symmetric = MlpPredictor(hidden=512, symmetric=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        predictor = build_predictor(symmetric, 128)
    project(predictor, symmetric)
    u = rotation(128, seed=1)
    found = measured(with_spectrum(u, torch.arange(128, 0, -1)), predictor_matrix(predictor))
    # 128 directions of deviation 0.03 that are nearly independent.
    assert found["alignment/chance"] == pytest.approx(1 / math.sqrt(1.25), abs=0.005)
    assert found["alignment/mean"] == pytest.approx(found["alignment/chance"], abs=0.01)


def test_a_random_regular_predictor_is_not_aligned_by_chance() -> None:
    w = torch.randn((256, 256), generator=torch.Generator().manual_seed(0))
    assert abs(measured(torch.eye(256), w)["alignment/chance"]) < 0.02  # deviation 1/d


@pytest.mark.parametrize("rank", [1, 4, D])
def test_flat_spectra_have_the_rank_they_have(rank: int) -> None:
    values = torch.zeros(D)
    values[:rank] = 3.0
    found = measured(with_spectrum(rotation(), values), None)
    assert found["F/effective_rank"] == pytest.approx(rank, rel=1e-9)
    # √ of eigenvalues that are zero but for 1e-15 of rounding counts: a few 1e-8 each.
    assert found["F/rankme"] == pytest.approx(rank, rel=1e-5)
    assert found["F/top1_share"] == pytest.approx(1 / rank) and found["F/trace"] == pytest.approx(3 * rank)


def test_rankme_is_the_entropy_of_singular_values() -> None:
    # Singular values 3 and 1 of embeddings, eigenvalues 9 and 1 of F.
    p = np.array([0.75, 0.25])
    expected = math.exp(-(p * np.log(p)).sum())
    assert measured(torch.diag(torch.tensor([9.0, 1.0])), None)["F/rankme"] == pytest.approx(expected)


def test_alive_counts_eigenvalues_above_a_twentieth_of_the_largest() -> None:
    w = torch.diag(torch.tensor([1.0, 0.06, 0.04, 0.0, -1.0]))
    found = measured(torch.eye(5), w)
    assert (found["Wp/alive"], found["Wp/max"], found["Wp/min"]) == (2, 1, -1)


# Edges


@pytest.mark.parametrize("predictor", [None, torch.zeros(D, D), torch.eye(D)])
def test_nothing_is_nan_without_any_correlation(predictor: Tensor | None) -> None:
    f = torch.zeros(D, D)
    arrays = eigenspace(f, predictor)
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert all(math.isfinite(value) for value in eigenspace_metrics(f, predictor, arrays).values())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_matrix_that_is_not_finite_is_a_floating_point_error(bad: float) -> None:
    with pytest.raises(FloatingPointError, match="F is not finite"):
        eigenspace(torch.eye(D) * bad, None)
    with pytest.raises(FloatingPointError, match="W_p is not finite"):
        eigenspace(torch.eye(D), torch.full((D, D), bad))


def test_without_a_predictor_only_f_is_described() -> None:
    f = torch.eye(D)
    assert set(eigenspace(f, None)) == {"F"}
    assert all(name.startswith("F/") for name in measured(f, None))


def test_w_p_of_two_layers_is_their_product() -> None:
    predictor = build_predictor(MlpPredictor(hidden=7), 4)
    first, second = predictor[0].weight, predictor[3].weight
    torch.testing.assert_close(predictor_matrix(predictor), second @ first, rtol=0, atol=1e-6)


def test_w_p_of_one_layer_is_its_weight() -> None:
    predictor = build_predictor(LinearPredictor(), 4)
    found = predictor_matrix(predictor)
    assert found is not None and torch.equal(found, predictor[0].weight)


def test_spectra_are_recorded_at_the_start_the_ends_and_every_few_epochs() -> None:
    recorded = SpectraConfig(every=5).recorded
    assert [epoch for epoch in range(13) if recorded(epoch, 12)] == [0, 1, 5, 10, 12]


def test_on_the_parabola_the_slope_of_the_spectra_is_one_half() -> None:
    u = rotation(8, seed=0)
    s = torch.logspace(0, -2, 8)
    found = measured(with_spectrum(u, s), with_spectrum(u, 3 * s.sqrt()))
    assert found["Wp/slope"] == pytest.approx(0.5, abs=1e-4)
    assert found["Wp/slope_r"] == pytest.approx(1)
