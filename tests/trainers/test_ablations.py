"""The options that cut across methods: what each changes, and that it changes nothing else."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.marks import but_first_slow
from tests.trainers.builders import (
    LABELS,
    Interrupted,
    config,
    fit,
    method,
    pair,
    reports,
    train,
    trained_digest,
)
from trainers.attempt.checkpoint import digest
from trainers.config import plugins
from trainers.loops import ssl
from trainers.methods import byol
from trainers.methods._siamese import Siamese
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import BatchNormConfig, LinearPredictor, MlpPredictor, build_predictor, project
from trainers.networks.normalisation import AblatedBatchNorm


def method_of(trial: ssl.Config) -> Any:
    """The method of a trial, not trained."""
    plan = Blueprint(trial.encoder, trial.projector, (3, 8, 8), trial.seed)
    return plugins.load("methods", trial.method.name).build(trial.method, plan)


SIAMESE = [
    name
    for name in plugins.names("methods")
    if "stop_gradient" in plugins.config_type("methods", name).model_fields
]


# Momentum


def test_a_ramped_momentum_follows_half_a_cosine() -> None:
    ramp = byol.Config(momentum=0.9, momentum_end=1.0)
    assert [ramp.momentum_at(k, 100) for k in (0, 50, 100)] == pytest.approx([0.9, 0.95, 1.0])
    expected = 1 - (1 - 0.9) * (math.cos(math.pi * 30 / 100) + 1) / 2  # BYOL, §3.1
    assert ramp.momentum_at(30, 100) == pytest.approx(expected)


def test_without_a_ramp_the_momentum_is_constant() -> None:
    assert {byol.Config(momentum=0.9).momentum_at(k, 100) for k in range(100)} == {0.9}


# Stop-gradient


def test_the_siamese_family_is_found() -> None:
    assert {"byol", "simsiam", "directpred", "directcopy"} <= set(SIAMESE)


@pytest.mark.parametrize("name", SIAMESE)
def test_without_stop_gradient_both_branches_are_pulled(name: str) -> None:
    momentum: dict[str, Any] = {} if name == "simsiam" else {"momentum": 0.0}
    stopped, open_ = method(name, **momentum), method(name, **momentum, stop_gradient=False)
    for built in (stopped, open_):
        built.forward(*pair()).loss.backward()
    gradients = [torch.cat([p.grad.flatten() for p in b.encoder.parameters()]) for b in (stopped, open_)]  # type: ignore[union-attr]
    assert not torch.allclose(*gradients)


def test_without_stop_gradient_and_predictor_the_gradient_is_the_losses_own() -> None:
    # -2 mean cos(z1, z2), differentiated through both: twice the gradient of the stopped one.
    stopped, open_ = (
        method(momentum=0.0, predictor={"kind": "none"}, stop_gradient=stop) for stop in (None, False)
    )
    for built in (stopped, open_):
        built.forward(*pair()).loss.backward()
    for p, q in zip(stopped.encoder.parameters(), open_.encoder.parameters(), strict=True):
        torch.testing.assert_close(q.grad, 2 * p.grad, rtol=1e-4, atol=1e-6)  # type: ignore[operator]


def test_an_ema_target_cannot_take_a_gradient() -> None:
    for target in (
        {"momentum": 0.5},
        {"momentum": 0, "momentum_end": 1},
        {"momentum": 0, "target_init": "independent"},
    ):
        with pytest.raises(ValidationError, match="needs momentum 0"):
            byol.Config.model_validate(target | {"stop_gradient": False})


# Re-initialised predictors


@pytest.mark.parametrize(("layers", "changed"), [("all", [0, 3]), ("top", [3]), ("bottom", [0])])
def test_reinitialisation_draws_the_chosen_layers_anew(layers: str, changed: list[int]) -> None:
    built = method(predictor={"hidden": 5}, reinit={"every": 3, "layers": layers})
    for epoch, due in ((0, True), (1, False), (2, True), (3, False), (4, False), (5, True)):
        before = copy.deepcopy(built.networks["predictor"])
        built.before_epoch(epoch)
        after = built.networks["predictor"]
        assert [i for i in (0, 3) if not torch.equal(before[i].weight, after[i].weight)] == (
            changed if due else []
        )
        if due:
            assert all(not after[i].bias.any() for i in changed)
            bound = math.sqrt(6 / (6 + 5))
            assert all(after[i].weight.abs().max() <= bound for i in changed)


@pytest.mark.parametrize("layers", ["all", "top", "bottom"])
def test_the_one_layer_of_a_linear_predictor_is_top_and_bottom(layers: str) -> None:
    built = method(predictor={"kind": "linear"}, reinit={"every": 1, "layers": layers})
    before = built.networks["predictor"][0].weight.clone()
    built.before_epoch(0)
    assert not torch.equal(built.networks["predictor"][0].weight, before)


@pytest.mark.parametrize(
    ("name", "more"), [("byol", {"predictor": {"kind": "none"}}), ("directpred_partitioned", {})]
)
def test_a_predictor_without_weights_cannot_be_initialised_again(name: str, more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="no predictor whose weights"):
        plugins.config_type("methods", name).model_validate({"reinit": {"every": 1}, **more})


def test_every_reinitialisation_draws_other_weights() -> None:
    built = method(reinit={"every": 1})
    drawn = []
    for epoch in range(3):
        built.before_epoch(epoch)
        drawn.append(digest(built.networks["predictor"].state_dict()))
    assert len(set(drawn)) == 3


def test_reinitialisation_leaves_everything_but_the_predictor_alone() -> None:
    built = method(reinit={"every": 1})
    kept = digest(built.encoder.state_dict()), digest(built.projector.state_dict())
    built.before_epoch(0)
    assert (digest(built.encoder.state_dict()), digest(built.projector.state_dict())) == kept


def test_a_symmetric_predictor_is_symmetric_after_reinitialisation_too() -> None:
    built = method(predictor={"kind": "linear", "symmetric": True}, reinit={"every": 1})
    built.before_epoch(0)
    weight = built.networks["predictor"][0].weight
    assert torch.equal(weight, weight.T)


@pytest.mark.parametrize(
    "settings",
    but_first_slow(
        [
            {"name": "byol", "reinit": {"every": 2}},
            {"name": "byol", "momentum_end": 1.0},
            {"name": "directpred", "freq": 3},
            {"name": "directpred_partitioned", "cuts": 2},
        ]
    ),
    ids=lambda settings: "-".join(settings),
)
def test_a_resumed_trial_equals_an_uninterrupted_one_under_every_schedule(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    fit(config(method=settings), tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(config(method=settings), tmp_path / "cut", until=1)
    fit(config(method=settings), tmp_path / "cut")
    assert trained_digest(tmp_path / "cut") == trained_digest(tmp_path / "whole")


# Constraints on W_p


def linear(**settings: Any) -> torch.Tensor:
    predictor_config = LinearPredictor(symmetric=True, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        predictor = build_predictor(predictor_config, 6)
    project(predictor, predictor_config)
    weight: torch.Tensor = predictor[0].weight.detach()
    return weight


def test_a_normalised_symmetric_predictor_has_largest_eigenvalue_one() -> None:
    plain, normalised = linear(), linear(constraint="normalised")
    assert float(torch.linalg.eigvalsh(normalised)[-1]) == pytest.approx(1)
    torch.testing.assert_close(normalised * torch.linalg.eigvalsh(plain)[-1], plain)


def test_a_diagonal_predictor_keeps_the_diagonal_and_nothing_else() -> None:
    assert torch.equal(linear(constraint="diagonal"), linear().diagonal().diag())


def test_a_row_normalised_two_layer_predictor_has_rows_of_length_one() -> None:
    predictor_config = MlpPredictor(hidden=5, symmetric=True, constraint="row_normalised")
    predictor = build_predictor(predictor_config, 6)
    project(predictor, predictor_config)
    torch.testing.assert_close(predictor[0].weight.norm(dim=1), torch.ones(5))
    assert torch.equal(predictor[0].weight, predictor[3].weight.T)


@pytest.mark.parametrize("kind", [LinearPredictor, MlpPredictor])
def test_a_constraint_without_symmetry_is_refused(kind: Any) -> None:
    constraint = "normalised" if kind is LinearPredictor else "row_normalised"
    with pytest.raises(ValidationError, match="needs symmetric: true"):
        kind(constraint=constraint)


# BatchNorm


def batch() -> torch.Tensor:
    return (
        3 * torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
    ).requires_grad_()


def normalised(mean: Any, std: Any) -> tuple[torch.Tensor, torch.Tensor]:
    x = batch()
    out = AblatedBatchNorm(4, affine=False, mean=mean, std=std).double()(x)
    weights = torch.arange(36, dtype=torch.float64).reshape(9, 4).sin()
    (out * weights).sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad


def test_both_statistics_kept_are_torchs_batchnorm_but_for_the_unbiased_variance() -> None:
    out, _ = normalised("kept", "kept")
    expected = torch.nn.BatchNorm1d(4, affine=False).double()(batch())
    torch.testing.assert_close(out, expected.detach() * math.sqrt(8 / 9), rtol=1e-5, atol=1e-5)


def test_a_detached_statistic_changes_the_gradient_and_not_the_value() -> None:
    kept_value, kept_gradient = normalised("kept", "kept")
    for mean, std in (("detached", "kept"), ("kept", "detached"), ("detached", "detached")):
        value, gradient = normalised(mean, std)
        assert torch.equal(value, kept_value)
        assert not torch.allclose(gradient, kept_gradient)


def test_a_dropped_statistic_is_not_applied() -> None:
    x = batch().detach()
    torch.testing.assert_close(normalised("dropped", "dropped")[0], x)
    torch.testing.assert_close(normalised("kept", "dropped")[0], x - x.mean(dim=0))
    torch.testing.assert_close(normalised("dropped", "kept")[0], x / (x.var(dim=0) + 1e-5).sqrt())


def test_an_ablated_batchnorm_uses_running_statistics_in_eval_mode() -> None:
    layer, reference = (
        AblatedBatchNorm(4, affine=False, mean="kept", std="kept"),
        torch.nn.BatchNorm1d(4, affine=False),
    )
    for seed in range(5):
        x = torch.randn(9, 4, generator=torch.Generator().manual_seed(seed))
        layer(x), reference(x)
    torch.testing.assert_close(layer.eval()(x), reference.eval()(x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_an_ablated_batchnorm_computes_in_float32_under_autocast_as_torchs_own(
    *, affine: bool, training: bool
) -> None:
    x = (30 + torch.randn(64, 4, generator=torch.Generator().manual_seed(0))).bfloat16()
    layers = [AblatedBatchNorm(4, affine=affine, mean="kept", std="kept").train(training) for _ in "ab"]
    with torch.autocast("cpu", torch.bfloat16):
        found, torchs = layers[0](x), torch.nn.BatchNorm1d(4, affine=affine).train(training)(x)
    assert found.dtype == torchs.dtype == torch.bfloat16
    assert torch.equal(found, layers[1](x.float()).bfloat16())
    assert torch.equal(layers[0].running_mean, layers[1].running_mean)
    assert torch.equal(layers[0].running_var, layers[1].running_var)


@pytest.mark.parametrize("head", ["projector", "predictor"])
def test_each_head_takes_an_ablation_of_its_own(head: str) -> None:
    dropped = {"batchnorm": BatchNormConfig(mean="dropped")}
    trial = config(
        method={"name": "byol", "predictor": {"hidden": 5, **(dropped if head == "predictor" else {})}},
        projector={"hidden": [12], "output": 6, **(dropped if head == "projector" else {})},
    )
    built = method_of(trial)
    kinds = {name: type(built.networks[name][1]) for name in ("projector", "predictor")}
    assert kinds.pop(head) is AblatedBatchNorm
    assert set(kinds.values()) == {torch.nn.BatchNorm1d}


def test_an_ablated_batchnorm_in_eval_mode_uses_what_it_keeps_of_the_running_statistics() -> None:
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    for mean in ("kept", "detached", "dropped"):
        for std in ("kept", "detached", "dropped"):
            layer = AblatedBatchNorm(4, affine=False, mean=mean, std=std).eval()  # type: ignore[arg-type]
            layer.running_mean, layer.running_var = torch.full((4,), 2.0), torch.full((4,), 9.0)
            expected = x - 2 if mean != "dropped" else x
            expected = expected / (9 + layer.eps) ** 0.5 if std != "dropped" else expected
            torch.testing.assert_close(layer(x), expected)


def test_simsiams_original_heads_can_be_written_down() -> None:
    # Chen and He 2020: γ and β in every BatchNorm but the embedding's, a bottleneck in the predictor.
    trial = config(
        method={"name": "simsiam", "predictor": {"kind": "mlp", "hidden": 8, "bn_affine": True}},
        projector={
            "hidden": [32],
            "output": 32,
            "output_bn": True,
            "bn_affine": True,
            "output_bn_affine": False,
            "hidden_bias": False,
            "output_bias": False,
        },
    )
    networks = method_of(trial).networks
    assert [layer.affine for layer in networks["projector"] if hasattr(layer, "affine")] == [True, False]
    assert [layer.affine for layer in networks["predictor"] if hasattr(layer, "affine")] == [True]
    assert fit(trial).status in ("completed", "collapsed")


# The probe on part of the projector


@pytest.mark.slow
def test_the_probe_can_go_through_the_first_blocks_of_the_projector() -> None:
    deep = {"hidden": [12, 10], "output": 6}
    found = [fit(config(projector=deep | {"probed_blocks": blocks})).metrics for blocks in (None, 1, 2)]
    assert len({m["probe/train_loss"] for m in found}) == 3
    assert len({m["embedding/rankme"] for m in found}) == 1


def test_more_blocks_than_the_projector_has_are_refused() -> None:
    with pytest.raises(ValidationError, match="the projector has 1 hidden layers"):
        config(projector={"hidden": [12], "output": 6, "probed_blocks": 2})


# The supervised reference


def test_the_supervised_loss_ignores_images_without_a_label() -> None:
    built = method("supervised")
    built.encoder.eval()  # batch statistics would let the other images in
    views = pair()
    labels = LABELS.clone()
    labels[8:] = -1
    half = built.forward(views[0][:8], views[1][:8], LABELS[:8]).loss
    torch.testing.assert_close(built.forward(*views, labels).loss, half)
    assert float(built.forward(*views, torch.full((16,), -1)).loss.detach()) == 0


def test_supervised_training_fits_the_labels() -> None:
    still = {"crop": None, "jitter": None, "flip": 0, "grey": 0}
    trial = config(method="supervised", epochs=20, views=still, optimizer={"lr": 0.1})
    losses = [report.metrics["train/loss"] for report in reports(trial) if report.epoch]
    assert losses[-1] < 0.5 * losses[0]


# MoCo's queue


def test_the_queue_forgets_the_oldest_keys_first() -> None:
    built = method("moco", queue=40)
    first = built.networks["queue"].keys.clone()
    train(built, 1)
    queue = built.networks["queue"]
    assert torch.equal(queue.keys[32:], first[32:]) and int(queue.position) == 32
    second = queue.keys.clone()
    train(built, 1)
    assert torch.equal(queue.keys[24:32], second[24:32]) and int(queue.position) == 24
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(40))


def test_a_queue_smaller_than_a_batch_holds_the_newest_keys() -> None:
    built = method("moco", queue=5)
    train(built, 2)
    assert int(built.networks["queue"].position) in range(5)
    torch.testing.assert_close(built.networks["queue"].keys.norm(dim=1), torch.ones(5))


def test_siamese_is_the_class_behind_byol_and_simsiam() -> None:
    assert isinstance(method("byol"), Siamese) and isinstance(method("simsiam"), Siamese)


# Collapse


BUDGET: dict[str, Any] = {"epochs": 30, "optimizer": {"lr": 0.3, "weight_decay": 0.0}}


@pytest.mark.slow
@pytest.mark.parametrize("predictor", [{"kind": "none"}, {"kind": "linear"}])
def test_without_stop_gradient_training_collapses(predictor: dict[str, Any]) -> None:
    naive = {"name": "byol", "momentum": 0.0, "stop_gradient": False, "predictor": predictor}
    assert fit(config(method=naive, **BUDGET)).status == "collapsed"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["simclr", "barlow_twins", "vicreg"])
def test_methods_that_spread_their_embeddings_do_not_collapse_on_the_same_budget(name: str) -> None:
    settings = {
        "vicreg": {"invariance": 1.0, "variance": 1.0, "covariance": 0.04},
        # λ 0.005 is for thousands of dimensions: with 6, it would weigh 0.15 beside the diagonal's 6.
        "barlow_twins": {"off_diagonal": 0.2},
    }
    outcome = fit(config(method={"name": name, **settings.get(name, {})}, **BUDGET))
    assert outcome.status == "completed"
    assert outcome.details["collapse"]["verdict"] == "none"
