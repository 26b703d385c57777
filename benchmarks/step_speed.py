"""A BYOL training step of ours against lightly's, side by side: same networks, same batch, same precision.

    pip install lightly
    python benchmarks/step_speed.py [--device cuda] [--width 64] [--batch 128] [--precision bf16]

Lightly's step runs as its own example has it and, beside that, with networks and views in channels_last, in
which ours are: that is what makes most of the difference on a CPU. Two comparisons, in turns, each over the
same number of steps:
  step: views are there already; forward, loss, backward, SGD and EMA.
  epoch step: views are made too: ours in batches on the device, lightly's by its own per-image transform,
  in the training process (no worker processes: one core per trial is what a packed sweep has).
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import lightly
import torch
from benchmarks_machine import machine
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import BYOLTransform
from lightly.transforms.byol_transform import BYOLView1Transform, BYOLView2Transform
from torchvision.transforms.functional import to_pil_image

from trainers.encoders import resnet18
from trainers.loops import ssl
from trainers.views import augmentation as views


def ours(options: argparse.Namespace, images: torch.Tensor) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Our step on ready views and our step with views, as functions of nothing."""
    config = ssl.Config.model_validate(
        {
            "method": {"name": "byol", "momentum": 0.99, "predictor": {"hidden": 512}},
            "data": "shapes",
            "encoder": {"name": "resnet18", "width": options.width},
            "projector": {"hidden": [512], "output": 128, "bn_affine": True, "output_bias": False},
            "batch_size": options.batch,
            "precision": options.precision,
        }
    )
    data = ssl.load_images(config.data, ssl.Runtime())
    trial = ssl.Trial(config, data, ssl.Runtime(device=options.device))
    mean, std = (torch.tensor(v, device=options.device) for v in (data.mean, data.std))
    draws = [
        views.draw(config.views, options.batch, size=(32, 32), streams=lambda purpose: torch.Generator()).to(
            options.device
        )
        for _ in range(2)
    ]

    def made() -> list[torch.Tensor]:
        return [
            views.apply(images, d, config.views, mean=mean, std=std).contiguous(
                memory_format=torch.channels_last
            )
            for d in draws
        ]

    ready = made()

    def step(pair: list[torch.Tensor] | None = None) -> None:
        view1, view2 = ready if pair is None else pair
        with torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16"):
            forward = trial.method.forward(view1, view2)
        trial.correlation.update(forward.z1, forward.z2)
        trial.optimizer.zero_grad()
        forward.loss.backward()
        trial.optimizer.step()
        trial.method.after_step(forward, step=0, steps=1)

    return step, lambda: step(made())


def theirs(
    options: argparse.Namespace, images: torch.Tensor, layout: torch.memory_format
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The step of lightly's own BYOL example on the same encoder, and with its transform."""
    encoder, width = resnet18.build(resnet18.Config(width=options.width), (3, 32, 32))
    projector = BYOLProjectionHead(width, 512, 128)
    predictor = BYOLPredictionHead(128, 512, 128)
    online = torch.nn.ModuleList([encoder, projector, predictor]).to(options.device, memory_format=layout)
    target_encoder, target_projector = copy.deepcopy(encoder), copy.deepcopy(projector)
    for module in (target_encoder, target_projector):
        deactivate_requires_grad(module)
    criterion = NegativeCosineSimilarity()
    optimizer = torch.optim.SGD(online.parameters(), lr=0.03, momentum=0.9, weight_decay=4e-4)
    transform = BYOLTransform(
        BYOLView1Transform(input_size=32, gaussian_blur=0.0),
        BYOLView2Transform(input_size=32, gaussian_blur=0.0, solarization_prob=0.0),
    )
    pictures = [to_pil_image(image.cpu()) for image in images]

    def made() -> list[torch.Tensor]:
        pairs = [transform(picture) for picture in pictures]
        stacked = (torch.stack([pair[i] for pair in pairs]) for i in range(2))
        return [views.to(options.device, memory_format=layout) for views in stacked]

    ready = made()

    def step(pair: list[torch.Tensor] | None = None) -> None:
        view1, view2 = ready if pair is None else pair
        update_momentum(encoder, target_encoder, 0.99)
        update_momentum(projector, target_projector, 0.99)
        with torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16"):
            p1, p2 = (predictor(projector(encoder(v).flatten(1))) for v in (view1, view2))
            with torch.no_grad():
                z1, z2 = (target_projector(target_encoder(v).flatten(1)) for v in (view1, view2))
            loss = 0.5 * (criterion(p1, z2) + criterion(p2, z1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, lambda: step(made())


def seconds(step: Callable[[], Any], number: int, device: str) -> float:
    """Seconds per step, over `number` steps."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(number):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="steps per round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (options.batch, 3, 32, 32), dtype=torch.uint8).to(options.device)
    sides = {
        "ours": ours(options, images),
        "lightly": theirs(options, images, torch.contiguous_format),
        "lightly, channels_last": theirs(options, images, torch.channels_last),
    }
    print(machine(), f"; lightly {lightly.__version__}")
    print(f"ResNet-18 of width {options.width}, 32 px, batch {options.batch}, {options.precision}, 1 thread")
    for index, what in enumerate(("step", "step with views")):
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for round_ in range(options.rounds + 1):
            for name, functions in sides.items():
                spent = seconds(functions[index], options.steps, options.device)
                if round_:  # the first round warms up
                    taken[name].append(spent)
        print(f"{what:16} ours {statistics.median(taken['ours']) * 1e3:.0f} ms")
        for name in list(sides)[1:]:
            ratios = [b / a for a, b in zip(taken["ours"], taken[name], strict=True)]
            spread = f"{min(ratios):.2f}-{max(ratios):.2f}, n = {options.rounds} rounds"
            other = statistics.median(taken[name]) * 1e3
            print(f"{'':16} {name} {other:.0f} ms, {statistics.median(ratios):.2f} times ours ({spread})")


if __name__ == "__main__":
    main()
