"""How hard the shapes data set is, from raw pixels to a supervised convnet: the figures in its module.

Run `python benchmarks/shapes_difficulty.py`; a few minutes on one core. Prints one row for each seed.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trainers.datasets import shapes
from trainers.datasets.base import Images
from trainers.encoders import convnet


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2, help="trial seeds 0 .. SEEDS-1")
    parser.add_argument("--epochs", type=int, default=30, help="of supervised training")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    config = shapes.Config(size=arguments.size)
    started = time.perf_counter()
    data = shapes.load(config, root=None, download=False)
    made_s = time.perf_counter() - started
    print(f"{config!r}; made in {made_s:.2f} s")
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"scikit-learn {sklearn.__version__}, {processor()}, 1 thread, device {arguments.device}"
    )
    x, x_test = (normalised(images, data) for images in (data.train, data.test))
    pixels = linear_top1(x.flatten(1), x_test.flatten(1), data)
    print("seed  pixels_top1  random_top1  trained_top1  supervised_top1  wall_s")
    for seed in range(arguments.seeds):
        started = time.perf_counter()
        encoder, dimension = build(data, seed)
        random_top1 = encoder_top1(encoder, x, x_test, data)
        head = nn.Linear(dimension, len(data.classes))
        network = nn.Sequential(encoder, head).to(arguments.device)
        train(network, x, data.train_labels, epochs=arguments.epochs, seed=seed)
        network.cpu().eval()
        with torch.no_grad():
            hits = network(x_test).argmax(1) == data.test_labels
        trained_top1 = encoder_top1(encoder, x, x_test, data)
        print(
            f"{seed:4d}  {pixels:11.3f}  {random_top1:11.3f}  {trained_top1:12.3f}  "
            f"{hits.double().mean().item():15.3f}  {time.perf_counter() - started:6.0f}",
            flush=True,
        )


def normalised(images: Tensor, data: Images) -> Tensor:
    """Images as networks take them, float32."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    return (images.float() / 255 - mean) / std


def build(data: Images, seed: int) -> tuple[nn.Module, int]:
    """An untrained four-layer convnet and its feature dimension."""
    torch.manual_seed(seed)
    return convnet.build(convnet.Config(), data.shape)


def train(network: nn.Module, x: Tensor, labels: Tensor, *, epochs: int, seed: int) -> None:
    """Supervised: SGD 0.1, momentum 0.9, weight decay 4e-4, cosine, batch 128, light crops and flips."""
    batch = 128
    steps = epochs * (len(x) // batch)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=4e-4)
    generator = torch.Generator().manual_seed(seed)
    device = next(network.parameters()).device
    x, labels = x.to(device), labels.to(device)
    network.train()
    step = 0
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator).to(device)
        for rows in order.split(batch)[: len(x) // batch]:
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * (1 + math.cos(math.pi * step / steps))
            views = cropped_and_flipped(x[rows], generator)
            loss = F.cross_entropy(network(views), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1


def cropped_and_flipped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by up to an eighth of its size, edges repeated, and flipped every second time."""
    size = x.shape[-1]
    pad = size // 8
    moves = torch.randint(0, 2 * pad + 1, (2, len(x)), generator=generator).to(x.device)
    flips = (torch.rand(len(x), generator=generator) < 0.5).to(x.device)
    padded = F.pad(x, (pad,) * 4, mode="replicate")
    rows = (moves[0][:, None] + torch.arange(size, device=x.device))[:, :, None]
    columns = (moves[1][:, None] + torch.arange(size, device=x.device))[:, None, :]
    index = torch.arange(len(x), device=x.device)[:, None, None]
    crops = padded.permute(0, 2, 3, 1)[index, rows, columns].permute(0, 3, 1, 2)
    return torch.where(flips[:, None, None, None], crops.flip(-1), crops)


def encoder_top1(encoder: nn.Module, x: Tensor, x_test: Tensor, data: Images) -> float:
    """Test accuracy of a linear classifier on the frozen encoder's features."""
    encoder.cpu().eval()
    with torch.no_grad():
        features, features_test = (torch.cat([encoder(b) for b in v.split(512)]) for v in (x, x_test))
    return linear_top1(features, features_test, data)


def linear_top1(x: Tensor, x_test: Tensor, data: Images) -> float:
    """Best test accuracy of logistic regression among three strengths of L2: an upper bound."""
    mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
    standard = [((v - mean) / std).double().numpy() for v in (x, x_test)]
    scores = []
    for strength in (1e-4, 1e-2, 1.0):
        classifier = LogisticRegression(C=strength, max_iter=1000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(standard[0], data.train_labels.numpy())
        scores.append(np.mean(classifier.predict(standard[1]) == data.test_labels.numpy()))
    return float(max(scores))


def processor() -> str:
    """Name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
