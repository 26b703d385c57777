"""Predictors computed from F: what each formula promises, and that the running F is the papers'."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.trainers.builders import LABELS, method, pair, train
from trainers.measures.matrix import largest_eigenvalue, spectral_function, sqrt_newton_schulz
from trainers.methods import directcopy, directpred
from trainers.methods._direct import DirectPredictor
from trainers.networks.rates import build_optimizer
from trainers.optimizers import sgd


def correlation(spectrum: Tensor, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """A positive semi-definite matrix with that spectrum in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    d = len(spectrum)
    u, _ = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
    return ((u * spectrum.double()) @ u.T).to(dtype)


SPECTRUM = torch.tensor([191.0, 13.5, 8.3, 1.0, 3e-3, 1e-5, 0.0])


def eigenvalues(w: Tensor) -> Tensor:
    return torch.linalg.eigvalsh((w + w.T) / 2).flip(0)


@pytest.mark.parametrize(
    ("settings", "formula"),
    [
        ({}, lambda s: (s / 191).sqrt() + 0.1),
        ({"eps": 0.0}, lambda s: (s / 191).sqrt().clamp(min=1e-4)),
        ({"eps_form": "paper"}, lambda s: s.sqrt() + 0.1 * 191),
        ({"eps_inside": True}, lambda s: (s / 191 + 0.1).sqrt()),
        ({"eps_inside": True, "eps": -0.05}, lambda s: (s / 191 - 0.05).clamp(min=1e-4).sqrt()),
        ({"eps": 0.0, "shift": 0.05}, lambda s: (s / 191 - 0.05).clamp(min=0).sqrt().clamp(min=1e-4)),
        ({"eps_form": "paper", "eps": 0.0, "shift": 2.0}, lambda s: (s - 2).clamp(min=0).sqrt()),
        ({"exponent": 0.25}, lambda s: (s / 191) ** 0.25 + 0.1),
    ],
)
def test_directpreds_eigenvalues_are_the_formula_and_its_eigenspace_is_fs(
    settings: dict[str, Any], formula: Any
) -> None:
    f = correlation(SPECTRUM)
    w = directpred.directpred_matrix(f, directpred.Config(**settings))
    expected = formula(SPECTRUM.double()).sort(descending=True).values
    # The zero eigenvalue comes out as 1e-13, whose root is 3e-7 and whose fourth root is 1e-4.
    torch.testing.assert_close(eigenvalues(w), expected, rtol=1e-6, atol=2e-4)
    assert float((f @ w - w @ f).norm() / (f.norm() * w.norm())) < 1e-12


def test_the_codes_form_does_not_see_the_scale_of_f_and_the_papers_does() -> None:
    f = correlation(SPECTRUM)
    for form, blind in (("code", True), ("paper", False)):
        config = directpred.Config(eps_form=form)  # type: ignore[arg-type]
        small, large = (directpred.directpred_matrix(f * k, config) for k in (1, 100))
        assert torch.allclose(small, large, atol=1e-9) is blind


def test_a_diagonal_directpred_ignores_everything_off_the_diagonal() -> None:
    f = correlation(SPECTRUM)
    w = directpred.directpred_matrix(f, directpred.Config(diagonal=True))
    torch.testing.assert_close(w, ((f.diagonal() / f.diagonal().max()).sqrt() + 0.1).diag())


@pytest.mark.parametrize("share", [1.0, 0.5, 0.15])
@pytest.mark.parametrize("dimension", [7, 64, 128])
def test_newton_schulz_agrees_with_the_eigendecomposition(dimension: int, share: float) -> None:
    spectrum = torch.logspace(2.3, -5, dimension)
    spectrum[int(dimension * share) :] = 0  # a run that nears collapse has few directions left
    f = correlation(spectrum, dtype=torch.float32)
    config = directpred.Config()
    exact = directpred.directpred_matrix(f, config)
    product = directpred.directpred_matrix(f, config.model_copy(update={"root": "newton_schulz"}))
    assert float(torch.linalg.matrix_norm(product - exact, 2)) < 5e-4


def test_newton_schulz_is_refused_where_it_does_not_apply() -> None:
    for settings in ({"eps_form": "paper"}, {"exponent": 0.3}, {"shift": 0.1}, {"eps": 0.0}):
        with pytest.raises(ValidationError, match="use eigh"):
            directpred.Config(root="newton_schulz", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("spectrum", [SPECTRUM, torch.ones(20), torch.tensor([1.0, 0.999, 0.99, 0.5] * 8)])
def test_the_largest_eigenvalue_is_found_without_a_decomposition(spectrum: Tensor) -> None:
    f = correlation(spectrum, dtype=torch.float32)
    assert float(largest_eigenvalue(f)) == pytest.approx(float(spectrum.max()), rel=1e-3)


def test_functions_of_a_matrix_that_is_not_finite_are_not_finite() -> None:
    bad = torch.full((3, 3), torch.nan)
    for found in (spectral_function(bad, torch.sqrt), sqrt_newton_schulz(bad), largest_eigenvalue(bad)):
        assert bool(torch.isnan(found).any())


# DirectCopy


@pytest.mark.parametrize("exponent", [1.0, 0.5])
def test_directcopys_largest_eigenvalue_is_one_plus_eps_under_the_spectral_norm(exponent: float) -> None:
    w = directcopy.directcopy_matrix(correlation(SPECTRUM), directcopy.Config(exponent=exponent))
    torch.testing.assert_close(
        eigenvalues(w), (SPECTRUM.double() / 191) ** exponent + 0.3, rtol=1e-6, atol=1e-6
    )


def test_directcopys_norms_differ_by_the_ratio_of_the_norms() -> None:
    f = correlation(SPECTRUM)
    parts = {
        norm: directcopy.directcopy_matrix(f, directcopy.Config(norm=norm, eps=0.0))  # type: ignore[arg-type]
        for norm in ("spectral", "frobenius", "none")
    }
    ratio = float(SPECTRUM.norm()) / 191
    torch.testing.assert_close(parts["frobenius"] * ratio, parts["spectral"], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(parts["none"], f)


# The optimal predictor


def test_the_optimal_predictor_predicts_better_than_any_other_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    z, target = torch.randn(2, 50, 6, generator=generator)
    built = method("optimal", ridge=1e-9)
    assert isinstance(built, DirectPredictor)
    best = built.solve(z.T @ z / 50, target.T @ z / 50)
    error = (z @ best.T - target).square().sum()
    for seed in range(20):
        other = best + 0.01 * torch.randn(6, 6, generator=torch.Generator().manual_seed(seed))
        assert (z @ other.T - target).square().sum() > error


# The running F, in a method under training


def weight(built: Any) -> Tensor:
    matrix: Tensor = built.predictor_matrix()
    return matrix.clone()


def weights_after(name: str, steps: int, **settings: Any) -> list[Tensor]:
    """W_p after each of `steps` steps."""
    built = method(name, **settings)
    found = []
    for step in range(steps):
        train_one(built, step)
        found.append(weight(built))
    return found


def train_one(built: Any, step: int) -> Any:
    forward = built.forward(*pair(seed=step), LABELS)
    built.after_step(forward, step=step, steps=100)
    return forward


def test_f_is_the_moving_average_over_both_views_and_the_first_batch_starts_it() -> None:
    built = method("directpred", rho=0.3)
    expected = torch.zeros(6, 6)
    for step in range(3):
        forward = train_one(built, step)
        z = torch.cat((forward.z1, forward.z2))
        batch = sum(torch.outer(row, row) for row in z) / len(z)
        expected = batch if step == 0 else 0.3 * expected + 0.7 * batch  # type: ignore[assignment]
    torch.testing.assert_close(built.networks["statistics"].correlation, expected)
    config = directpred.Config()
    torch.testing.assert_close(
        built.predictor_matrix(), directpred.directpred_matrix(expected, config), rtol=1e-4, atol=1e-4
    )


def test_centring_takes_the_means_outer_product_from_f() -> None:
    centred, raw = (method("directcopy", norm="none", eps=0.0, rho=0.0, centre=c) for c in (True, False))
    forward = train_one(centred, 0)
    train_one(raw, 0)
    mean = torch.cat((forward.z1, forward.z2)).mean(dim=0)
    torch.testing.assert_close(
        centred.predictor_matrix(), raw.predictor_matrix() - torch.outer(mean, mean), rtol=1e-4, atol=1e-5
    )


def test_a_centred_optimal_predictor_does_not_see_where_embeddings_and_targets_lie() -> None:
    generator = torch.Generator().manual_seed(0)
    found = []
    for shift, target_shift in ((0.0, 0.0), (3.0, 0.0), (0.0, 3.0), (3.0, -2.0)):
        built = method("optimal", centre=True, ridge=1e-3)
        for step in range(3):
            forward = built.forward(*pair(seed=step), LABELS)
            z1, z2, target1, target2 = torch.randn(4, 50, 6, generator=generator.manual_seed(step))
            moved = {"z1": z1 + shift, "z2": z2 + shift}
            moved |= {"target1": target1 + target_shift, "target2": target2 + target_shift}
            built.after_step(dataclasses.replace(forward, **moved), step=step, steps=3)
        found.append(weight(built))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-3, atol=1e-4)  # float32, means beside 1


@pytest.mark.parametrize("name", ["directpred", "directcopy", "optimal"])
def test_the_predictor_is_set_at_step_zero_and_every_freq_steps(name: str) -> None:
    before = weight(method(name))
    after = weights_after(name, 5, freq=2)
    changed = [not torch.equal(a, b) for a, b in zip([before, *after], after, strict=False)]
    assert changed == [True, False, True, False, True]


@pytest.mark.parametrize(("freq", "trained"), [(1, False), (5, True)])
def test_an_optimizer_holds_the_predictor_only_if_it_may_move_it(freq: int, *, trained: bool) -> None:
    built = method("directpred", freq=freq)
    assert ("predictor" in built.trained) is trained
    assert all(p.requires_grad is trained for p in built.networks["predictor"].parameters())


def test_between_two_settings_the_optimizer_trains_the_predictor() -> None:
    built = method("directpred", freq=100)
    train(built, 1)
    after_first = weight(built)
    optimizer = build_optimizer(built.trained, sgd.Config(lr=0.1, weight_decay=0.0))
    forward = built.forward(*pair(seed=9))
    forward.loss.backward()
    layer = built.networks["predictor"][0]
    expected = after_first - 0.1 * layer.weight.grad
    optimizer.step()
    built.after_step(forward, step=1, steps=100)
    torch.testing.assert_close(weight(built), expected)
    assert not torch.equal(weight(built), after_first)


def test_a_collapsed_f_leaves_the_predictor_as_it_was() -> None:
    built = method("directpred")
    before = weight(built)
    for p in built.projector.parameters():
        p.data.zero_()
    train_one(built, 0)
    assert torch.equal(before, weight(built))


def literal_partitioned(
    built: Any, z1: Tensor, z2: Tensor, before: Tensor | None, *, rho: float, eps: float
) -> tuple[list[Tensor], Tensor]:
    """Predictions of both views and the new F of every half [2 cuts, d, d], sample by sample."""
    directions = built.networks["statistics"].directions
    cuts = directions.shape[1]
    matrices, inside = [], []
    for half in range(2 * cuts):
        of_views = []
        for z in (z1, z2):
            along = z @ directions[:, half % cuts]
            above = along >= along.sum() / len(along)
            of_views.append(above if half < cuts else ~above)
        members = [z[n] for z, mask in zip((z1, z2), of_views, strict=True) for n in range(len(z)) if mask[n]]
        batch = sum((torch.outer(m, m) for m in members), torch.zeros(6, 6)) / max(1, len(members))
        f = batch if before is None else rho * before[half] + (1 - rho) * batch
        s, u = torch.linalg.eigh(f.double())
        s = s.clamp(min=0)
        matrices.append((f, ((u * ((s / s.max()).sqrt() + eps).clamp(min=1e-4)) @ u.T).float()))
        inside.append(of_views)
    predictions = [
        torch.stack(
            [
                sum((matrices[h][1] @ z[n] for h in range(2 * cuts) if inside[h][view][n]), torch.zeros(6))
                / cuts
                for n in range(len(z))
            ]
        )
        for view, z in enumerate((z1, z2))
    ]
    return predictions, torch.stack([f for f, _ in matrices])


def test_a_partitioned_predictor_equals_its_reference_over_several_batches() -> None:
    built = method("directpred_partitioned", cuts=2, rho=0.4, eps=0.1)
    f = None
    for step in range(3):
        z1, z2 = torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(step))
        expected, f = literal_partitioned(built, z1, z2, f, rho=0.4, eps=0.1)
        found = built.predict(z1, z2)  # type: ignore[attr-defined]
        for got, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(built.networks["statistics"].correlation, f, rtol=1e-5, atol=1e-6)


def test_a_partition_whose_embeddings_have_collapsed_stays_finite() -> None:
    built = method("directpred_partitioned", cuts=2)
    for value in (0.0, 1.0):  # everything zero; everything the same, so that one half is empty
        z = torch.full((16, 6), value)
        assert all(bool(torch.isfinite(p).all()) for p in built.predict(z, z))  # type: ignore[attr-defined]


def test_the_optimal_predictor_is_solved_from_the_targets_of_the_other_view() -> None:
    built = method("optimal", rho=0.5, ridge=0.1)
    f, cross = torch.zeros(6, 6), torch.zeros(6, 6)
    for step in range(3):
        forward = train_one(built, step)
        assert forward.target1 is not None and forward.target2 is not None
        z = torch.cat((forward.z1, forward.z2))
        other = torch.cat((forward.target2, forward.target1))
        keep = 0.5 if step else 0.0
        f = keep * f + (1 - keep) * z.T @ z / len(z)
        cross = keep * cross + (1 - keep) * other.T @ z / len(z)
    expected = cross @ torch.linalg.inv(f + 0.1 * torch.eye(6))
    torch.testing.assert_close(built.predictor_matrix(), expected, rtol=1e-3, atol=1e-4)


def test_a_partition_of_one_matrix_everywhere_predicts_as_directpred_does() -> None:
    # With equal matrices in both halves of every cut the prediction is that matrix times z.
    built = method("directpred_partitioned", cuts=3)
    z = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    matrix = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    from trainers.methods.directpred_partitioned import _apply

    shares = built._shares(z)  # type: ignore[attr-defined]
    assert torch.equal(shares.sum(dim=1), torch.full((8,), 3.0))
    torch.testing.assert_close(_apply(z, shares, matrix.expand(6, 6, 6)), z @ matrix.T)
