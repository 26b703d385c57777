"""Milliseconds per training step of BYOL on ResNet-18 with its views: by a recorded CUDA graph and without.

    python benchmarks/epoch_speed.py [--device cuda] [--precision bf16] [--width 64] [--packed 4]

Random images of CIFAR-10's size lie on the device; the step is that of `orch sweep`. With `--packed K` as
many processes train side by side, with graphs; start NVIDIA's MPS before (`nvidia-cuda-mps-control -d`) to
see what it changes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from benchmarks_machine import machine

from trainers.config.base import Runtime
from trainers.loops import ssl


def milliseconds(options: argparse.Namespace, *, graphs: bool, gate: Path | None = None) -> list[float]:
    """Per step, of each of three epochs after a first one."""
    config = ssl.Config.model_validate(
        {
            "method": {"name": "byol", "predictor": {"hidden": 512, "symmetric": True}},
            "data": {"name": "shapes", "size": options.size, "train": 160, "test": 40},
            "encoder": {"name": "resnet18", "width": options.width},
            "batch_size": options.batch,
            "precision": options.precision,
        }
    )
    runtime = Runtime(device=options.device, graphs=graphs)
    trial = ssl.Trial(config, ssl.load_images(config.data, runtime), runtime)
    shape = (options.batch * options.steps, 3, options.size, options.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8).to(options.device)
    labels = torch.zeros(len(images), dtype=torch.int64, device=options.device)
    mean, std = (torch.full((3,), value, device=options.device) for value in (0.5, 0.25))
    taken = []
    for epoch in range(4):
        if epoch == 1 and gate is not None:  # all begin at once
            (gate / f"ready-{time.monotonic_ns()}").touch()
            while not (gate / "go").exists():
                time.sleep(0.005)
        began = time.perf_counter()
        ssl.train_epoch(trial, images, labels, epoch, mean=mean, std=std)  # returns losses: all is done
        taken.append((time.perf_counter() - began) / options.steps * 1e3)
    assert trial.gradients is not None
    assert trial.gradients.recorded == (graphs and options.device != "cpu"), trial.gradients.why_not
    return taken[1:]


def packed(options: argparse.Namespace, words: list[str]) -> list[float]:
    """The median of each of several processes that train at once."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, *words, "--gate", folder]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(options.packed)]
        while len(list(Path(folder).glob("ready-*"))) < len(processes):
            if any(one.poll() for one in processes):
                raise SystemExit("one of the processes failed before it trained")
            time.sleep(0.05)
        (Path(folder) / "go").touch()
        return [statistics.median(json.loads(one.communicate()[0])) for one in processes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--steps", type=int, default=60, help="steps of an epoch")
    parser.add_argument("--packed", type=int, default=0, help="processes at once")
    parser.add_argument("--gate", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.gate:
        print(json.dumps(milliseconds(options, graphs=True, gate=options.gate)))
        return
    print(machine())
    print(
        f"ResNet-18 of width {options.width}, {options.size} px, batch {options.batch}, {options.precision}"
    )
    eager, graph = (statistics.median(milliseconds(options, graphs=graphs)) for graphs in (False, True))
    print(f"step after step {eager:.2f} ms, recorded graph {graph:.2f} ms, ratio {eager / graph:.2f}")
    if options.packed:
        own = packed(options, sys.argv[1:])
        gain = options.packed * graph / statistics.mean(own)
        print(f"{options.packed} at once: {statistics.mean(own):.2f} ms each, {gain:.2f} times one by one")


if __name__ == "__main__":
    main()
