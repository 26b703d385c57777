"""Projector and predictor: the small networks on top of the encoder, and what the papers do to W_p."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from trainers.config.base import Frozen
from trainers.config.lazy import nn, torch


class BatchNormConfig(Frozen):
    """Which part of the heads' BatchNorm stays: x ← (x - mean) / std over the batch.

    "detached": no gradient flows through the statistic; "dropped": it is left out. Source: Tian et al.
    2020, arXiv:2010.00578, §5; its code calls them normal, detach and omit.
    """

    mean: Literal["kept", "detached", "dropped"] = "kept"
    """What becomes of the mean."""
    std: Literal["kept", "detached", "dropped"] = "kept"
    """What becomes of the standard deviation."""


class ProjectorConfig(Frozen):
    """Features h [N, D] to embeddings z [N, d]: Linear-BatchNorm-ReLU layers, then a bare Linear."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (512,)
    """Width of each hidden layer; the report and DirectPred have one of 512."""
    output: int = Field(128, ge=1)
    """Embedding dimension d."""
    hidden_bias: bool = True
    """Bias of the hidden layers."""
    output_bias: bool = True
    """Bias of the last layer: luckmatters has it, the report's code has not."""
    output_bn: bool = False
    """BatchNorm on the embedding, as the original SimSiam has."""
    bn_affine: bool = False
    """Whether the heads' BatchNorm has γ and β."""
    output_bn_affine: bool | None = None
    """The same of the embedding's BatchNorm; None: as the hidden layers'."""
    batchnorm: BatchNormConfig | None = None
    """An ablation of the hidden layers' BatchNorm; None is torch's own."""
    probed_blocks: int | None = Field(None, ge=1)
    """Hidden blocks, Linear-BatchNorm-ReLU, that the probe's features go through (report, Table 2); None
    probes the encoder alone."""

    @model_validator(mode="after")
    def _has_the_probed_blocks(self) -> Self:
        if (self.probed_blocks or 0) > len(self.hidden):
            number = len(self.hidden)
            raise ValueError(
                f"probed_blocks is {self.probed_blocks}, but the projector has {number} hidden layers"
            )
        return self


class MlpPredictor(Frozen):
    """Two layers: Linear-BatchNorm-ReLU-Linear, the predictor of BYOL and of the report's Table 1."""

    kind: Literal["mlp"] = "mlp"
    """Two layers."""
    hidden: int = Field(512, ge=1)
    """Hidden width."""
    hidden_bias: bool = True
    """Bias of the hidden layer."""
    output_bias: bool = True
    """Bias of the last layer: luckmatters has it, the report's code has not."""
    symmetric: bool = False
    """Whether W_p is made symmetric after every step (a hard projection, not a penalty)."""
    bn_affine: bool | None = None
    """Whether the hidden layer's BatchNorm has γ and β; None: it has not (report, luckmatters)."""
    constraint: Literal["row_normalised"] | None = None
    """Scale each row of the symmetrised W1 to length 1; needs symmetric (luckmatters)."""
    batchnorm: BatchNormConfig | None = None
    """An ablation of the hidden layer's BatchNorm; None is torch's own."""

    @model_validator(mode="after")
    def _constraint_needs_symmetry(self) -> Self:
        if self.constraint is not None and not self.symmetric:
            raise ValueError(f"constraint: {self.constraint} needs symmetric: true")
        return self


class LinearPredictor(Frozen):
    """One matrix W_p without BatchNorm: the theory's predictor and the SGD baseline of DirectPred."""

    kind: Literal["linear"] = "linear"
    """One matrix."""
    output_bias: bool = False
    """Whether a bias is added."""
    symmetric: bool = False
    """Whether W_p is made symmetric after every step (a hard projection, not a penalty)."""
    constraint: Literal["normalised", "diagonal"] | None = None
    """Beyond symmetric, which it needs: divide W_p by its largest eigenvalue, or keep only its diagonal
    (luckmatters)."""

    @model_validator(mode="after")
    def _constraint_needs_symmetry(self) -> Self:
        if self.constraint is not None and not self.symmetric:
            raise ValueError(f"constraint: {self.constraint} needs symmetric: true")
        return self


class NoPredictor(Frozen):
    """p = z: the ablation that collapses in theory."""

    kind: Literal["none"] = "none"
    """No predictor: p = z."""


def _kind(value: Any) -> Any:
    return value.get("kind", "mlp") if isinstance(value, dict) else getattr(value, "kind", None)


PredictorConfig = Annotated[
    Annotated[MlpPredictor, Tag("mlp")]
    | Annotated[LinearPredictor, Tag("linear")]
    | Annotated[NoPredictor, Tag("none")],
    Discriminator(_kind),
]
"""Embeddings z [N, d] to predictions p [N, d]; two layers where `kind` is not given."""


def build_projector(config: ProjectorConfig, features: int) -> nn.Sequential:
    """The projector for features of dimension `features`."""
    layers = _mlp(
        (features, *config.hidden, config.output),
        hidden_bias=config.hidden_bias,
        output_bias=config.output_bias,
        bn_affine=config.bn_affine,
        batchnorm=config.batchnorm,
    )
    if config.output_bn:
        own = config.output_bn_affine
        layers.append(nn.BatchNorm1d(config.output, affine=config.bn_affine if own is None else own))
    return nn.Sequential(*layers)


def build_predictor(config: MlpPredictor | LinearPredictor | NoPredictor, dimension: int) -> nn.Sequential:
    """The predictor for embeddings of dimension `dimension`; an empty one for kind "none"."""
    if isinstance(config, NoPredictor):
        return nn.Sequential()
    hidden = (config.hidden,) if isinstance(config, MlpPredictor) else ()
    return nn.Sequential(
        *_mlp(
            (dimension, *hidden, dimension),
            hidden_bias=config.hidden_bias if isinstance(config, MlpPredictor) else False,
            output_bias=config.output_bias,
            bn_affine=isinstance(config, MlpPredictor) and bool(config.bn_affine),
            batchnorm=config.batchnorm if isinstance(config, MlpPredictor) else None,
        )
    )


def predictor_matrix(predictor: nn.Sequential) -> torch.Tensor | None:
    """W_p [d, d]: the weight of a linear predictor, W2·W1 of a two-layer one; None without one.

    For two layers this is a surrogate: biases, BatchNorm and ReLU between the layers are left out, as in
    the report's code.
    """
    weights = [layer.weight.detach() for layer in predictor if isinstance(layer, nn.Linear)]
    if not weights:
        return None
    product = weights[0].float()
    for weight in weights[1:]:
        product = weight.float() @ product
    return product


def project(predictor: nn.Sequential, config: MlpPredictor | LinearPredictor | NoPredictor) -> None:
    """Project W_p onto the matrices that `config` allows, in place; nothing where it allows all.

    Linear: W ← (W + Wᵀ)/2. Two layers: w = (W1 + W2ᵀ)/2, then W1 ← w and W2 ← wᵀ, so that the composite
    is wᵀw; biases and BatchNorm are left alone.

    Source: DirectPred's code and the report's; must follow the optimizer's step and precede the EMA.
    """
    if isinstance(config, NoPredictor) or not config.symmetric:
        return
    linear = [layer for layer in predictor if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        if isinstance(config, LinearPredictor):
            weight = linear[0].weight
            mean = (weight + weight.T) / 2
            if config.constraint == "diagonal":
                mean = mean.diagonal().diag()
            elif config.constraint == "normalised":
                # A matrix that is not finite has no eigenvalues; it is left, for the loss to say so.
                finite = torch.isfinite(mean).all()
                largest = torch.linalg.eigvalsh(torch.where(finite, mean, 0))[-1]
                # Dividing by an eigenvalue near zero would make W_p explode (luckmatters' threshold).
                mean = torch.where(largest.abs() > 1e-2, mean / largest, mean)
            weight.copy_(mean)
            return
        first, second = linear
        mean = (first.weight + second.weight.T) / 2
        if config.constraint == "row_normalised":
            mean = mean / mean.norm(dim=1, keepdim=True)
        first.weight.copy_(mean)
        second.weight.copy_(mean.T)


def hidden_blocks(projector: nn.Module, blocks: int) -> nn.Sequential:
    """The first `blocks` Linear-BatchNorm-ReLU blocks of a projector, sharing its weights."""
    assert isinstance(projector, nn.Sequential)
    return projector[: 3 * blocks]


def _mlp(
    widths: Sequence[int],
    *,
    hidden_bias: bool,
    output_bias: bool,
    bn_affine: bool,
    batchnorm: BatchNormConfig | None,
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths[:-1]):
        layers += [
            nn.Linear(inputs, outputs, bias=hidden_bias),
            _batchnorm(outputs, affine=bn_affine, ablation=batchnorm),
            nn.ReLU(inplace=True),
        ]
    layers.append(nn.Linear(widths[-2], widths[-1], bias=output_bias))
    return layers


def _batchnorm(width: int, *, affine: bool, ablation: BatchNormConfig | None) -> nn.Module:
    if ablation is None:
        return nn.BatchNorm1d(width, affine=affine)
    # Its class derives from torch's, so importing it imports torch.
    from trainers.networks.normalisation import AblatedBatchNorm

    return AblatedBatchNorm(width, affine=affine, mean=ablation.mean, std=ablation.std)
