"""Laws of the plug-ins: found by file name, configured without torch; and what residual encoders compute."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
import torchvision
from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from torch import nn

from tests.trainers.builders import CONVNET, TINY, config
from trainers.config import plugins
from trainers.config.base import Frozen, LoopConfig, canonical, identity_dump
from trainers.encoders import resnet18, resnet50
from trainers.loops import ssl
from trainers.measures.probe import KnnConfig
from trainers.randomness import seeded

KINDS = ("datasets", "encoders", "methods", "optimizers")
ALL = [(kind, name) for kind in KINDS for name in plugins.names(kind)]
REQUIRED: dict[str, dict[str, Any]] = {
    "image_folder": {"label": "mine", "root": "mine"},
    "torchvision": {"dataset": "SVHN"},
    "huggingface": {"path": "me/mine"},
}


def default(kind: str, name: str) -> Frozen:
    return plugins.config_type(kind, name).model_validate(REQUIRED.get(name, {}))


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_plug_ins_name_is_its_files(kind: str, name: str) -> None:
    assert default(kind, name).model_dump()["name"] == name


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_whole_trials_config_survives_json_with_every_plug_in(kind: str, name: str) -> None:
    field = {"datasets": "data"}.get(kind, kind.removesuffix("s"))
    before = config(**{field: {"name": name, **REQUIRED.get(name, {})}})
    after = ssl.Config.model_validate_json(before.model_dump_json())
    assert after == before and canonical(identity_dump(after)) == canonical(identity_dump(before))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_lists_the_known_ones(kind: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        plugins.load(kind, "nothing")
    for name in plugins.names(kind):
        assert name in caught.value.message()
    assert caught.value.message().startswith(f"no {plugins.SINGULAR[kind]} named 'nothing'; available: ")


@pytest.mark.parametrize("name", ["base", "_resnet", "__init__", "../config", "resnet18.Config"])
def test_only_public_files_are_plug_ins(name: str) -> None:
    with pytest.raises(ValidationError, match="no encoder named"):
        config(encoder=name)


def test_a_bare_name_is_short_for_a_config_with_that_name() -> None:
    assert config(method="byol") == config(method={"name": "byol"})


def test_an_optimizer_without_a_name_is_sgd() -> None:
    assert config(optimizer={"lr": 0.5}).optimizer.name == "sgd"


def test_a_method_without_a_name_is_refused_with_the_choices() -> None:
    with pytest.raises(ValidationError, match=r"no name given for the method; available: .*byol, "):
        config(method={"momentum": 0.5})


def test_a_setting_of_another_plug_in_is_refused() -> None:
    with pytest.raises(ValidationError, match="no such field"):
        config(method={"name": "simsiam", "momentum": 0.5})


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": True},
        {"seed": False},
        {"optimizer": {"lr": True}},
        {"optimizer": {"lr": "0.1"}},
        {"optimizer": {"lr": 0.1, "predictor": {"lr": "1e-3"}}},
        {"encoder": {"name": "mlp", "widths": [16, True]}},
        {"views": {"crop": {"scale": [True, 1.0]}}},
        {"data": {"name": "digits", "channels": True}},
        {"data": {"name": "shapes", "train": "64"}},
        {"method": {"name": "byol", "predictor": {"kind": "mlp", "hidden": "512"}}},
    ],
)
def test_a_boolean_and_a_text_are_never_taken_for_a_number(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected a number"):
        config(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"probe": {"standardise": 1}},
        {"probe": {"best": 1}},
        {"views": {"normalise": 0}},
        {"views": {"jitter": {"clip": "no"}}},
        {"method": {"name": "byol", "predictor": {"kind": "linear", "symmetric": "true"}}},
    ],
)
def test_a_number_and_a_text_are_never_taken_for_a_boolean(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected true or false"):
        config(**changes)


@pytest.mark.parametrize("model", [Frozen, LoopConfig], ids=lambda model: model.__name__)
def test_every_model_that_comes_from_frozen_refuses_what_looks_like_a_number(model: type[Frozen]) -> None:
    class Own(model):  # type: ignore[misc, valid-type]
        trainer: str = "own"
        rates: dict[str, tuple[float | None, ...]] = {}
        inner: tuple[KnnConfig, ...] = ()

    for values in ({"rates": {"a": ["1"]}}, {"rates": {"a": [True]}}, {"inner": [{"k": True}]}):
        with pytest.raises(ValidationError, match="expected a number"):
            Own.model_validate(values)
        with pytest.raises(ValidationError, match="expected a number"):
            Own.model_validate_json(json.dumps(values))
    whole = Own.model_validate({"rates": {"a": [1, 0.5, None]}, "inner": [{"k": 3.0}]})
    assert Own.model_validate_json(whole.model_dump_json()) == whole


def test_reading_and_validating_every_config_imports_no_torch() -> None:
    code = (
        "import json, sys\n"
        "from trainers.config import plugins\n"
        "from trainers.loops import ssl\n"
        "ssl.Config.model_validate(json.loads(sys.argv[1])).model_dump_json()\n"
        "ssl.Config.model_json_schema()\n"
        f"for kind in {KINDS!r}:\n"
        "    for name in plugins.names(kind): plugins.config_type(kind, name)\n"
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(TINY)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# Encoders


ENCODERS = {
    "resnet18": {"width": 4},
    "resnet50": {"width": 4},
    "convnet": {"channels": [4, 8]},
}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_first_convolution_starts_wider_where_it_is_torchs_own() -> None:
    variances = []
    for start in (None, "torch"):
        torch.manual_seed(0)
        config = resnet18.Config(width=64, stem_init=start)  # type: ignore[arg-type]
        encoder, _ = resnet18.build(config, (3, 32, 32))
        first, second, *_ = (m for m in encoder.modules() if isinstance(m, nn.Conv2d))
        variances.append(float(first.weight.detach().var()))
        assert float(second.weight.detach().var()) == pytest.approx(2 / (64 * 9), rel=0.05)
    # He by fan out: 2/(64·9); uniform in ±1/√(3·9): 1/(3·27). 1 728 values.
    assert variances == [pytest.approx(0.00347, rel=0.1), pytest.approx(0.01235, rel=0.1)]


@pytest.mark.parametrize("width", [2, 4, 12])
def test_gradients_of_a_narrow_resnet_do_not_depend_on_how_its_images_lie_in_memory(width: int) -> None:
    # oneDNN wrote past its memory here; where that did not end the process, gradients were wrong.
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        with seeded(0, "weights"):
            encoder, _ = resnet18.build(resnet18.Config(width=width), (3, 16, 16))
        encoder.to(memory_format=layout)  # type: ignore[call-overload]
        for _ in range(5):
            encoder.zero_grad()
            encoder(images.contiguous(memory_format=layout)).square().mean().backward()
        found.append([weight.grad for weight in encoder.parameters()])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


def test_resnet18_with_a_small_stem_has_the_canonical_number_of_parameters() -> None:
    reference = torchvision.models.resnet18()
    reference.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    reference.fc = nn.Identity()
    encoder, features = resnet18.build(resnet18.Config(), (3, 32, 32))
    assert count(encoder) == count(reference) == 11_168_832 and features == 512


@pytest.mark.parametrize(
    ("module", "reference"),
    [(resnet18, torchvision.models.resnet18), (resnet50, torchvision.models.resnet50)],
    ids=["resnet18", "resnet50"],
)
def test_a_residual_encoder_computes_what_torchvisions_does(module: Any, reference: Any) -> None:
    theirs = reference()
    theirs.fc = nn.Identity()
    ours, _ = module.build(module.Config(stem="imagenet"), (3, 32, 32))
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        p.data.copy_(q)
    images = torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # The same operations on the same weights, in eval mode with fresh statistics.
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), rtol=1e-5, atol=1e-5)


def test_a_convnets_resolution_halves_from_the_second_block_on() -> None:
    encoder, _ = plugins.load("encoders", "convnet").build(
        plugins.config_type("encoders", "convnet").model_validate(CONVNET), (3, 8, 8)
    )
    x, sizes = torch.zeros(2, 3, 8, 8), []
    for layer in encoder:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            sizes.append(x.shape[-1])
    assert sizes == [8, 4]
