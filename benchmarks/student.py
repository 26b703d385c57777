"""BYOL on drawn shapes as one would write it without orch, in one file: a cell and a seed of Table 1.

    python benchmarks/student.py --data shapes.npz --momentum 0.97 --symmetric --seed 0 --epochs 8

Lightly's loss, torchvision's transforms and a DataLoader, with the sizes of sweeps/table1.yaml in profile
laptop. Prints the test accuracy of a linear probe. What orch does beside it is left out: spectra at each
epoch, the verdict on collapse, k-NN, checkpoints, records. `student_speed.py` compares the two.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

SIZE, BATCH = 16, 128


class Pairs(Dataset):  # type: ignore[type-arg]
    """Two random views of each image."""

    def __init__(self, images: np.ndarray) -> None:
        """Of `images`, uint8 [N, H, W, C]."""
        jitter = transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4)], p=0.8)
        self.images = images
        self.view = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomResizedCrop(SIZE, scale=(0.4, 1.0)),
                transforms.RandomHorizontalFlip(),
                jitter,
                transforms.RandomGrayscale(0.2),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.view(self.images[index]), self.view(self.images[index])


def convnet() -> nn.Sequential:
    """The encoder of the laptop profile."""
    layers: list[nn.Module] = []
    for number, (inputs, width) in enumerate(((3, 24), (24, 48), (48, 96), (96, 96))):
        layers += [nn.Conv2d(inputs, width, 3, stride=1 + (number > 0), padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def head(inputs: int, hidden: int, output: int) -> nn.Sequential:
    """Projector or predictor."""
    bare = nn.Linear(hidden, output, bias=False)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), bare)


def train(images: np.ndarray, options: argparse.Namespace) -> nn.Module:
    """The encoder after so many epochs."""
    encoder, projector, predictor = convnet(), head(96, 256, 64), head(64, 256, 64)
    online = nn.Sequential(encoder, projector)
    target = copy.deepcopy(online)
    deactivate_requires_grad(target)
    weights = [*online.parameters(), *predictor.parameters()]
    optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=4e-4)
    loss_of = NegativeCosineSimilarity()
    for _ in range(options.epochs):
        for view1, view2 in DataLoader(Pairs(images), batch_size=BATCH, shuffle=True, drop_last=True):
            update_momentum(online, target, m=options.momentum)
            with torch.no_grad():
                z1, z2 = target(view1), target(view2)
            loss = loss_of(predictor(online(view1)), z2) + loss_of(predictor(online(view2)), z1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if options.symmetric:
                with torch.no_grad():
                    mean = (predictor[0].weight + predictor[3].weight.T) / 2
                    predictor[0].weight.copy_(mean)
                    predictor[3].weight.copy_(mean.T)
    return encoder.eval()


def probe(encoder: nn.Module, data: dict[str, np.ndarray]) -> float:
    """Test accuracy of a linear classifier on frozen features, trained for 100 epochs."""

    @torch.no_grad()
    def features(images: np.ndarray) -> torch.Tensor:
        pixels = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
        return torch.cat([encoder(part) for part in pixels.split(512)])

    inputs, labels = features(data["train"]), torch.from_numpy(data["train_labels"])
    classifier = nn.Linear(inputs.shape[1], 10)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=5e-2)
    steps, step = 100 * -(-len(inputs) // BATCH), 0
    for _ in range(100):
        for chosen in torch.randperm(len(inputs)).split(BATCH):
            optimizer.param_groups[0]["lr"] = 5e-4 + (5e-2 - 5e-4) * (1 - step / steps) ** 2
            optimizer.zero_grad()
            F.cross_entropy(classifier(inputs[chosen]), labels[chosen]).backward()
            optimizer.step()
            step += 1
    right = classifier(features(data["test"])).argmax(dim=1) == torch.from_numpy(data["test_labels"])
    return float(right.float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--momentum", type=float, default=0.97)
    parser.add_argument("--symmetric", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    data = dict(np.load(options.data))
    encoder = train(data["train"], options)
    print(f"momentum {options.momentum:g}, symmetric {options.symmetric}, seed {options.seed}: ", end="")
    print(f"top1 {probe(encoder, data):.4f}")


if __name__ == "__main__":
    main()
