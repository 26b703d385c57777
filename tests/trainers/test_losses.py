"""Every loss against a reference written out literally, in float64: value and gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainers.builders import LABELS, method, pair, train
from trainers.config import plugins
from trainers.methods import _siamese, barlow_twins, moco, simclr, supervised, vicreg, wmse
from trainers.methods._direct import update_statistics
from trainers.networks.blueprint import Blueprint, buffers
from trainers.networks.heads import ProjectorConfig

Loss = Callable[[Tensor, Tensor], Tensor]


def embeddings(number: int = 12, width: int = 5, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two views' embeddings, alike but not equal, of several scales and off centre."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(number, width, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, number, width, generator=generator, dtype=torch.float64)
    scale = torch.linspace(0.2, 2, width, dtype=torch.float64)
    first, second = (((z + 0.7 * n) * scale + 0.3).requires_grad_() for n in noise)
    return first, second


def agree(loss: Loss, reference: Loss, *, number: int = 12, width: int = 5) -> None:
    results = []
    for function in (loss, reference):
        z1, z2 = embeddings(number, width)
        value = function(z1, z2)
        value.backward()
        results.append((value.detach(), z1.grad, z2.grad))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (a.square().sum() * b.square().sum()).sqrt()  # type: ignore[return-value]


def moments(z: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
    """Mean and unbiased covariance, entry by entry."""
    number, width = z.shape
    mean = sum(z[n] for n in range(number)) / number
    x = z - mean
    return mean, [
        [sum(x[n, i] * x[n, j] for n in range(number)) / (number - 1) for j in range(width)]
        for i in range(width)
    ]  # type: ignore[return-value]


# SimCLR


def literal_nt_xent(temperature: float) -> Loss:
    def loss(z1: Tensor, z2: Tensor) -> Tensor:
        views = [*z1, *z2]
        number = len(z1)
        terms = []
        for i, anchor in enumerate(views):
            positive = views[(i + number) % (2 * number)]
            others = [(cosine(anchor, v) / temperature).exp() for a, v in enumerate(views) if a != i]
            terms.append(-((cosine(anchor, positive) / temperature).exp() / sum(others)).log())
        return sum(terms) / len(terms)  # type: ignore[return-value]

    return loss


def literal_covariance(temperature: float) -> Loss:
    def loss(z1: Tensor, z2: Tensor) -> Tensor:
        views = [*z1, *z2]
        number = len(z1)
        total = torch.zeros((), dtype=torch.float64)
        for i, anchor in enumerate(views):
            pull = 1 - cosine(anchor, views[(i + number) % (2 * number)])
            for a, other in enumerate(views):
                if a % number == i % number:
                    continue
                push = 1 - cosine(anchor, other)
                ratio = (-push.detach() / temperature).exp()
                total = total + ratio / (1 + ratio) / temperature / (2 * number - 2) * (pull - push)
        return total / len(views)

    return loss


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize(
    ("form", "literal"), [("nt_xent", literal_nt_xent), ("covariance", literal_covariance)]
)
def test_simclr_equals_its_reference(form: str, literal: Callable[[float], Loss], temperature: float) -> None:
    config = simclr.Config(temperature=temperature, form=form)  # type: ignore[arg-type]
    agree(lambda z1, z2: simclr.simclr_loss(z1, z2, config=config), literal(temperature))


def test_simclr_of_equal_embeddings_is_the_log_of_the_number_of_candidates() -> None:
    same = torch.ones(6, 3, dtype=torch.float64)
    assert float(simclr.simclr_loss(same, same, config=simclr.Config())) == pytest.approx(math.log(11))


def test_simclr_does_not_see_the_length_of_an_embedding() -> None:
    z1, z2 = embeddings()
    lengths = torch.linspace(0.1, 9, len(z1), dtype=torch.float64)[:, None]
    loss, scaled = (
        simclr.simclr_loss(z * lengths**k, z2, config=simclr.Config()) for k, z in ((0, z1), (1, z1))
    )
    torch.testing.assert_close(scaled, loss)


# Barlow Twins


def literal_barlow(z1: Tensor, z2: Tensor) -> Tensor:
    number, width = z1.shape

    def standardised(z: Tensor) -> Tensor:
        mean = sum(z[n] for n in range(number)) / number
        variance = sum((z[n] - mean) ** 2 for n in range(number)) / number
        return (z - mean) / (variance + 1e-5) ** 0.5

    a, b = standardised(z1), standardised(z2)
    total = torch.zeros((), dtype=torch.float64)
    for i in range(width):
        for j in range(width):
            c = sum(a[n, i] * b[n, j] for n in range(number)) / number
            total = total + ((1 - c) ** 2 if i == j else 0.02 * c**2)
    return 0.1 * total


def test_barlow_twins_equals_its_reference() -> None:
    config = barlow_twins.Config(off_diagonal=0.02, loss_scale=0.1)
    agree(lambda z1, z2: barlow_twins.barlow_loss(z1, z2, config=config), literal_barlow)


def test_barlow_twins_is_zero_where_the_cross_correlation_is_the_identity() -> None:
    # Four orthogonal columns of zero mean; 1e-5 in the standardisation leaves (1 - 1/(1 + 1e-5))² each.
    z = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    assert float(barlow_twins.barlow_loss(z, z, config=barlow_twins.Config())) < 1e-9


def test_barlow_twins_does_not_see_shift_or_scale_of_a_dimension() -> None:
    z1, z2 = embeddings()
    config = barlow_twins.Config()
    moved = z1 * torch.tensor([3.0, 5.0, 2.0, 4.0, 7.0]) + 10
    expected = barlow_twins.barlow_loss(z1, z2, config=config)
    # 1e-5 beside variances of 0.04 and more.
    torch.testing.assert_close(
        barlow_twins.barlow_loss(moved, z2, config=config), expected, rtol=1e-3, atol=1e-3
    )


# VICReg


def literal_vicreg(*, sum_s: bool, mean_v: bool) -> Loss:
    def loss(z1: Tensor, z2: Tensor) -> Tensor:
        number, width = z1.shape
        s = sum(((z1[n] - z2[n]) ** 2).sum() for n in range(number)) / number
        s = s if sum_s else s / width
        v = c = torch.zeros((), dtype=torch.float64)
        for z in (z1, z2):
            _, covariance = moments(z)
            for i in range(width):
                v = v + torch.clamp(1 - (covariance[i][i] + 1e-4) ** 0.5, min=0) / width
                for j in range(width):
                    c = c + (covariance[i][j] ** 2 / width if i != j else 0)
        return 25 * s + (12.5 if mean_v else 25) * v + c

    return loss


@pytest.mark.parametrize("sum_s", [False, True])
@pytest.mark.parametrize("mean_v", [False, True])
def test_vicreg_equals_its_reference_in_each_convention(*, sum_s: bool, mean_v: bool) -> None:
    config = vicreg.Config(
        invariance_form="sum" if sum_s else "mean", variance_form="mean" if mean_v else "sum"
    )
    agree(
        lambda z1, z2: vicreg.vicreg_loss(z1, z2, config=config),
        literal_vicreg(sum_s=sum_s, mean_v=mean_v),
    )


def test_vicregs_gradient_is_finite_where_a_dimension_has_collapsed() -> None:
    z = torch.zeros(8, 3, requires_grad=True)
    vicreg.vicreg_loss(z, z.detach(), config=vicreg.Config()).backward()
    assert z.grad is not None and bool(torch.isfinite(z.grad).all())


# W-MSE


def test_a_whitened_batch_has_the_identity_as_its_covariance() -> None:
    z, _ = embeddings(40)
    torch.testing.assert_close(wmse.whitened(z, 0.0).T.cov(), torch.eye(5, dtype=torch.float64))


def test_whitening_does_not_see_shift_or_scale_of_the_dimensions() -> None:
    # A lower triangular map with a positive diagonal is what the Cholesky factor takes out again.
    z, _ = embeddings(40)
    lower = torch.tril(
        torch.rand(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ) + torch.eye(5)
    torch.testing.assert_close(wmse.whitened(z @ lower.T + 3, 0.0), wmse.whitened(z, 0.0))


@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize("shrinkage", [0.0, 0.1])
def test_wmse_equals_its_reference(*, one_sided: bool, shrinkage: float) -> None:
    config = wmse.Config(slice_size=12, one_sided=one_sided, shrinkage=shrinkage)

    def literal(z1: Tensor, z2: Tensor) -> Tensor:
        terms = []
        for rows in (slice(0, 12), slice(12, 24)):
            white = []
            for z in (z1[rows], z2[rows]):
                mean, entries = moments(z)
                covariance = torch.stack([torch.stack(row) for row in entries])
                covariance = (1 - shrinkage) * covariance + shrinkage * torch.eye(5, dtype=torch.float64)
                white.append((z - mean) @ torch.linalg.inv(torch.linalg.cholesky(covariance)).T)
            if one_sided:
                white[1] = white[1].detach()
            terms += [2 - 2 * cosine(a, b) for a, b in zip(*white, strict=True)]
        return sum(terms) / len(terms)  # type: ignore[return-value]

    results = []
    for function in (lambda a, b: wmse.wmse_loss(a, b, config=config), literal):
        z1, z2 = embeddings(24)
        value = function(z1, z2)
        value.backward()
        results.append((value.detach(), z1.grad, z2.grad if not one_sided else z1.grad))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)


def test_wmse_of_a_rank_deficient_batch_is_nan_and_no_crash() -> None:
    z = torch.ones(12, 5)
    assert torch.isnan(wmse.wmse_loss(z, z, config=wmse.Config(slice_size=12)))


# MoCo


def test_mocos_loss_equals_its_reference() -> None:
    queue = torch.nn.functional.normalize(embeddings(7, seed=3)[0].detach(), dim=1)

    def literal(z1: Tensor, z2: Tensor) -> Tensor:
        terms = []
        for q, k in zip(z1, z2, strict=True):
            logits = [cosine(q, k) / 0.2, *(cosine(q, old) / 0.2 for old in queue)]
            terms.append(-(logits[0].exp() / sum(x.exp() for x in logits)).log())
        return sum(terms) / len(terms)  # type: ignore[return-value]

    agree(lambda z1, z2: moco.info_nce(z1, z2, queue, temperature=0.2), literal)


def moco_reference(built: Any, view1: Tensor, view2: Tensor, *, symmetric: bool) -> Tensor:
    def online(view: Tensor) -> Tensor:
        return built.projector(built.encoder(view))  # type: ignore[no-any-return]

    def key(view: Tensor) -> Tensor:
        return built.networks["target_projector"](built.networks["target_encoder"](view))  # type: ignore[no-any-return]

    queue = built.queue.keys.clone()
    pairs = [(online(view1), key(view2)), (online(view2), key(view1))][: 2 if symmetric else 1]
    terms = []
    for queries, keys in pairs:
        for q, k in zip(queries, keys, strict=True):
            logits = torch.stack([cosine(q, k), *(cosine(q, old) for old in queue)]) / 0.1
            terms.append(logits.logsumexp(0) - logits[0])
    return sum(terms) / len(terms)  # type: ignore[return-value]


@pytest.mark.parametrize("symmetric", [True, False])
def test_moco_pairs_each_query_with_the_other_views_key(*, symmetric: bool) -> None:
    built = method("moco", symmetric=symmetric, momentum=0.5)
    train(built, 2)  # so that the target is not the online network
    view1, view2 = pair(seed=7)
    torch.testing.assert_close(
        built.forward(view1, view2).loss, moco_reference(built, view1, view2, symmetric=symmetric)
    )


def test_mocos_keys_are_normalised_in_parts_of_the_batch() -> None:
    built = method("moco", bn_splits=4)
    view, _ = pair()
    target = built.networks["target_encoder"], built.networks["target_projector"]
    expected = torch.cat([target[1](target[0](part)) for part in view.split(4)])
    found = built.forward(view, view).target1
    assert found is not None
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(expected, target[1](target[0](view)), atol=1e-3)


@pytest.mark.parametrize("splits", [3, 16])
def test_mocos_parts_are_equal_and_of_two_images_or_more(splits: int) -> None:
    with pytest.raises(ValueError, match="equal parts of 2 images or more"):
        method("moco", bn_splits=splits).forward(*pair())


def test_the_oldest_keys_leave_mocos_queue_first() -> None:
    built = method("moco", queue=40)
    for step in range(3):
        forward = built.forward(*pair(seed=step))
        built.after_step(forward, step=step, steps=9)
        assert forward.target1 is not None and forward.target2 is not None
        new = torch.nn.functional.normalize(torch.cat((forward.target2, forward.target1)), dim=1)
        places = (32 * step + torch.arange(32)) % 40
        torch.testing.assert_close(built.queue.keys[places], new)  # type: ignore[attr-defined]


# The supervised reference


def test_the_supervised_loss_is_the_cross_entropy_of_the_images_that_have_labels() -> None:
    built = method("supervised")
    view1, view2 = pair()
    labels = LABELS.clone()
    labels[::3] = -1
    scores = built.projector(built.encoder(view1)).double()
    terms = [
        -(row[label].exp() / row.exp().sum()).log()
        for row, label in zip(scores, labels, strict=True)
        if label >= 0
    ]
    expected = sum(terms) / len(terms)
    torch.testing.assert_close(
        built.forward(view1, view2, labels).loss.double(), expected, rtol=1e-5, atol=1e-6
    )


def test_the_supervised_reference_has_no_projector_to_probe() -> None:
    plan = Blueprint(
        plugins.config_type("encoders", "mlp").model_validate({"widths": [16]}),  # type: ignore[arg-type]
        ProjectorConfig(hidden=(12,), output=6, probed_blocks=1),
        (3, 8, 8),
        0,
    )
    with pytest.raises(ValueError, match="no projector to probe"):
        method("supervised", plan)


# Precision


def correlation_of(a: Tensor, b: Tensor) -> Tensor:
    """A number that sees every entry of the running F after one batch."""
    d = a.shape[1]
    zeros = {name: torch.zeros(d, d) for name in ("correlation", "cross")}
    statistics: Any = buffers(mean=torch.zeros(d), batches=torch.zeros((), dtype=torch.int64), **zeros)
    update_statistics(statistics, a, b, a, b, rho=0.3)
    total: Tensor = (statistics.correlation * torch.arange(1, d * d + 1).reshape(d, d)).sum()
    return total


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: simclr.simclr_loss(a, b, config=simclr.Config()),
        lambda a, b: barlow_twins.barlow_loss(a, b, config=barlow_twins.Config()),
        lambda a, b: vicreg.vicreg_loss(a, b, config=vicreg.Config()),
        lambda a, b: wmse.wmse_loss(a, b, config=wmse.Config(slice_size=12)),
        lambda a, b: moco.info_nce(a, b, b[:3], temperature=0.1),
        _siamese._cosine,
        lambda a, b: supervised._cross_entropy(a, torch.arange(len(b)) % 5),
        lambda a, b: correlation_of(a, b),
    ],
    ids=["simclr", "barlow_twins", "vicreg", "wmse", "moco", "byol", "supervised", "correlation"],
)
def test_autocast_does_not_reach_into_a_loss(loss: Loss) -> None:
    z1, z2 = (z.detach().to(torch.bfloat16) for z in embeddings())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(z1, z2)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, loss(z1.float(), z2.float()), rtol=0, atol=0)
