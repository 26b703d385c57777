"""A kept encoder is the one that was trained, also in other libraries, or a line says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.config import plugins
from trainers.config.families import members, module
from trainers.encoders.base import EncoderConfig
from trainers.networks import formats
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import ProjectorConfig
from trainers.networks.kept import About, EncoderFileError, load_encoder, read, sha256, written
from trainers.networks.tensors import TensorFileError, from_bytes, to_bytes

SHAPE = (3, 8, 8)


def kept(network: dict[str, Any], *, shape: tuple[int, int, int] = SHAPE) -> tuple[bytes, torch.nn.Module]:
    """The file of an encoder that has seen a batch, and the encoder in eval mode."""
    chosen = plugins.config_type("encoders", network["name"]).model_validate(network)
    assert isinstance(chosen, EncoderConfig)
    heads = ProjectorConfig(hidden=(12, 10), output=6)
    plan = Blueprint(chosen, heads, shape, seed=3)
    encoder, dimension = plan.encoder()
    projector = plan.projector(dimension)
    with torch.no_grad():  # running statistics that are not those of the start
        projector(encoder(torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))))
    about = About(
        network=chosen, shape=shape, mean=(0.5,) * 3, std=(0.2,) * 3, dimension=dimension, projector=heads
    )
    return written(about, encoder, projector), encoder.eval()


def images(size: int = 8, number: int = 2) -> torch.Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("name", plugins.names("encoders"))
def test_what_is_read_gives_the_features_of_what_was_trained(name: str) -> None:
    content, encoder = kept({"name": name} | ({"width": 4} if name.startswith("resnet") else {}))
    found = read(content)
    assert torch.equal(found.encoder(images()), encoder(images()))
    assert found.about.dimension == encoder(images()).shape[1]


def test_one_encoder_is_one_file_to_the_last_byte() -> None:
    assert sha256(kept({"name": "mlp"})[0]) == sha256(kept({"name": "mlp"})[0])


def test_the_package_safetensors_reads_what_we_write_and_we_what_it_writes() -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    ours = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.ones(3, dtype=torch.bool)}
    there = safetensors.load(to_bytes(ours, {"k": "v"}))
    back, said = from_bytes(safetensors.save(ours, {"k": "v"}))
    assert said == {"k": "v"}
    assert all(torch.equal(ours[name], there[name]) and torch.equal(ours[name], back[name]) for name in ours)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_has_the_same_features_in_other_libraries(library: str, name: str) -> None:
    content, encoder = kept({"name": name, "stem": "imagenet"}, shape=(3, 32, 32))
    weights, _ = from_bytes(module(formats.__name__, library).converted(content))
    with torch.no_grad():
        torch.testing.assert_close(
            theirs(library, name, weights)(images(32)), encoder(images(32)), rtol=0, atol=1e-6
        )


def theirs(library: str, name: str, weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    if library == "timm":
        model: torch.nn.Module = pytest.importorskip("timm").create_model(name, num_classes=0)
    else:
        import torchvision

        model = getattr(torchvision.models, name)()
        model.fc = torch.nn.Identity()
    model.load_state_dict(weights)
    return model.eval()


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ({"name": "resnet18", "width": 4}, "its stem is a 3x3 convolution without pooling"),
        (
            {"name": "resnet18", "width": 4, "stem": "imagenet"},
            "its width is 4, and torchvision's resnet18 has 64",
        ),
        ({"name": "resnet50", "stem": "imagenet", "bn_eps": 1e-3}, "its bn_eps is 0.001"),
        ({"name": "mlp"}, "torchvision has no encoder 'mlp', only resnet18 and resnet50; use --format plain"),
    ],
)
def test_an_encoder_that_fits_no_other_library_says_why(network: dict[str, Any], says: str) -> None:
    with pytest.raises(EncoderFileError, match=says.replace("'", ".")) as told:
        module(formats.__name__, "torchvision").converted(kept(network)[0])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", members(formats.__name__))
def test_every_format_says_in_three_lines_how_it_is_loaded(name: str) -> None:
    about = read(kept({"name": "mlp"})[0]).about
    assert all("\n" not in line for line in module(formats.__name__, name).lines(about, "e.safetensors"))


@pytest.mark.parametrize("cut", [0, 4, 20, -1, -40])
def test_a_file_that_was_cut_off_is_one_line(cut: int, tmp_path: Path) -> None:
    (tmp_path / "e.safetensors").write_bytes(kept({"name": "mlp"})[0][:cut])
    with pytest.raises(EncoderFileError, match=r"cut off|no safetensors|says of no encoder") as told:
        load_encoder(tmp_path / "e.safetensors")
    assert "\n" not in str(told.value)


def test_weights_of_another_network_are_told_by_name() -> None:
    content, _ = kept({"name": "mlp", "widths": [16]})
    said = json.loads(from_bytes(content)[1]["orch.encoder"])
    said["network"]["widths"] = [17]
    other = to_bytes(from_bytes(content)[0], {"orch.encoder": json.dumps(said)})
    with pytest.raises(EncoderFileError, match=r"weight '1.bias' has shape \[16\], and its network \[17\]"):
        read(other)


def test_more_blocks_than_the_projector_has_are_told() -> None:
    found = read(kept({"name": "mlp"})[0])
    assert found.after(2)(images()).shape == (2, 10)
    with pytest.raises(EncoderFileError, match="blocks is 3, and its projector has 2 hidden blocks"):
        found.after(3)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1]}},
        {"a": 3},
        [],
    ],
)
def test_a_header_that_lies_is_told(header: Any) -> None:
    text = json.dumps(header).encode()
    with pytest.raises(TensorFileError):
        from_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
