"""Each promise of a plug-in can be broken, and is told in one line with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.commands.look.plugin import configured, named
from orchestrator.rehearsal.contracts.laws import EVERY, Subject, laws, problem_of
from tests.marks import but_first_slow
from tests.plugged import DATA, ENCODER, METHOD, OPTIMIZER, TRAINER, written
from trainers.config.families import SINGULAR

OWN = METHOD.replace("return Siamese(config, blueprint, LinearPredictor())", "return Own(config, blueprint)")
OWN += """

from dataclasses import replace
from trainers.config.lazy import nn, torch


class Own(Siamese):
    def __init__(self, config, blueprint):
        super().__init__(config, blueprint, LinearPredictor())
        self.count = 0
        BUILT

    def forward(self, view1, view2, labels=None):
        self.count += 1
        BEFORE
        made = super().forward(view1, view2, labels)
        return replace(made, CHANGED)
"""


def method(*, built: str = "pass", before: str = "pass", changed: str = "loss=made.loss") -> str:
    return OWN.replace("BUILT", built).replace("BEFORE", before).replace("CHANGED", changed)


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def encoder(more: str = "pass", features: int = 8) -> str:
    head = edited(ENCODER, "import nn", "import nn, torch").partition("def build")[0]
    return f"""{head}
COUNT = []

def build(config, shape):
    COUNT.append(1)
    made = nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 8))
    {more}
    return made, {features}
"""


def optimizer(rate: str) -> str:
    return f"""{edited(OPTIMIZER, "torch.optim.SGD(groups, lr=config.lr)", "made(groups, config)")}

def made(groups, config):
    class Own(torch.optim.Optimizer):
        count = 0

        def step(self):
            self.count += 1
            for group in self.param_groups:
                for p in group["params"]:
                    p.data -= {rate} * p.grad

    return Own(groups, {{"lr": config.lr}})
"""


LOADED = "return Images("
REPORT = 'metrics={"count": epoch * config.step}'
TWICE = "from typing import Annotated, Literal\nfrom pydantic import AfterValidator"
BROKEN: dict[tuple[str, str], tuple[str, str]] = {
    ("methods", "its config is the same after it was written and read"): (
        edited(
            METHOD.replace("from typing import Literal", TWICE),
            "hat: float",
            "hat: Annotated[float, AfterValidator(lambda x: x + 1)]",
        ),
        "another config came back from JSON",
    ),
    ("methods", "its loss is one finite number"): (
        method(changed="loss=made.loss * torch.nan"),
        "got nan, expected one finite number",
    ),
    ("methods", "its embeddings are [N, d], without a gradient"): (
        method(changed="z1=made.z1[:, :2]"),
        "z1 is [16, 2], expected [16, 6]",
    ),
    ("methods", "a gradient reaches every weight that it trains"): (
        method(built='self.trained["more"] = nn.Linear(2, 2)'),
        "no gradient reaches more.weight, more.bias; use it",
    ),
    ("methods", "every weight that it trains is stepped once"): (
        method(built='self.trained["again"] = self.encoder'),
        "'again' and 'encoder' in `trained` share a weight",
    ),
    ("methods", "a step changes its encoder"): (
        method(changed="loss=made.loss * 0"),
        "left the encoder as it was",
    ),
    ("methods", "all that it trains or evaluates is in its checkpoint"): (
        method(built='del self.networks["projector"]'),
        "'projector' is not in `networks`",
    ),
    ("methods", "it starts from the encoder that every method of a seed starts from"): (
        method(built="[p.data.add_(1) for p in self.encoder.parameters()]"),
        "make it by blueprint.encoder()",
    ),
    ("methods", "a seed gives the same weights every time"): (
        method(built="[p.data.add_(torch.rand(())) for p in self.encoder.parameters()]"),
        "other weights before training",
    ),
    ("methods", "it leaves the global random generators alone"): (
        method(built="torch.rand(())"),
        "building it drew from torch's global generator; draw from trainers.randomness",
    ),
    ("methods", "it measures what it declares"): (
        method(changed='metrics={"own/drift": made.loss}'),
        "method 'mine' measures 'own/drift', which its METRICS lacks",
    ),
    ("methods", "it leaves the views as they are"): (method(before="view1.add_(1)"), "changed the views"),
    ("methods", "a resumed trial equals an uninterrupted one"): (
        method(changed="loss=made.loss * self.count"),
        "after an interruption, F/",
    ),
    ("encoders", "it maps grey images of 8×8 to the dimension that it says"): (
        ENCODER,
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    ),
    ("encoders", "it maps colour images of 12×10 to the dimension that it says"): (
        encoder(features=9),
        "gave features [5, 8], and `build` said [5, 9]",
    ),
    ("encoders", "a gradient reaches every weight"): (
        encoder("made[0].register_parameter('w', nn.Parameter(torch.ones(1)))"),
        "no gradient reaches 0.w; use it",
    ),
    ("encoders", "a seed gives the same weights every time"): (
        encoder("made[1].weight.data.fill_(len(COUNT))"),
        "two builds from one seed have other weights",
    ),
    ("encoders", "a resumed trial equals an uninterrupted one"): (
        encoder("made.append(Counting())")
        + "\nclass Counting(nn.Module):\n    count = 0\n\n    def forward(self, x):\n"
        "        self.count += self.training\n        return x * (1 + self.count)\n",
        "after an interruption, F/",
    ),
    ("optimizers", "its steps lower a sum of squares"): (optimizer("-group['lr']"), "expected less"),
    ("optimizers", "it steps each network at its own rate"): (
        optimizer("config.lr"),
        "expected encoder.0.weight to stay: the encoder's rate is 0; take the rate",
    ),
    ("optimizers", "it follows a schedule"): (
        optimizer("config.lr"),
        "weights moved while the schedule's factor was 0",
    ),
    ("optimizers", "it goes on from its saved state as without a break"): (
        optimizer("group['lr'] * self.count"),
        "keep all in `self.state`",
    ),
    ("datasets", "its images are uint8 [N, C, H, W], with a label each"): (
        edited(DATA, "labels = torch.arange(64) % 2", "labels = torch.arange(63) % 2"),
        "train_labels is torch.int64 [63], expected int64 [64]",
    ),
    ("datasets", "its labels are indices of its classes"): (
        edited(DATA, "% 2", "% 3"),
        "train_labels are 0 to 2, expected 0 to 1",
    ),
    ("datasets", "it has mean and deviation of each channel"): (
        edited(DATA, "(0.2,) * 3", "(0.2,)"),
        "mean has 3 values and std 1, expected 3",
    ),
    ("datasets", "its images differ"): (edited(DATA, ".remainder(251)", ".mul(0)"), "images are alike"),
    ("datasets", "equal configs give equal images"): (
        edited(DATA, LOADED, f"images = images + (torch.rand(1) + len(COUNT)).byte()\n    {LOADED}")
        .replace("def load", "COUNT = []\n\ndef load")
        .replace("labels = torch", "COUNT.append(1)\n    labels = torch"),
        "loaded twice, it gave other images",
    ),
    ("datasets", "it leaves the global random generators alone"): (
        edited(DATA, LOADED, f"torch.rand(1)\n    {LOADED}"),
        "loading it drew from torch's global generator",
    ),
    ("datasets", "it counts its images right"): (
        DATA + "\ndef for_training(config, *, root):\n    return 65\n",
        "`for_training` says 65 images, and there are 64",
    ),
    ("datasets", "missing data is told in one sentence"): (
        DATA + '\ndef missing(config, *, root):\n    return "no data\\nthere"\n',
        "expected a sentence in one line, or None",
    ),
    ("datasets", "it lists its files"): (
        DATA + '\ndef listing(config, *, root):\n    return ["a.png"]\n',
        "`listing` has 'a.png', expected name and size",
    ),
    ("loops", "a trial ends in an outcome"): (
        edited(TRAINER, 'status="completed"', 'status="failed", reason="tired"'),
        "it ended as failed: tired",
    ),
    ("loops", "it reports its epochs in order"): (
        edited(TRAINER, "range(config.epochs + 1)", "range(config.epochs)"),
        "its last report is of epoch 1 of 2; report after the last, too",
    ),
    ("loops", "it reports what it declares"): (
        TRAINER + '\nMETRICS = ("sum",)\n',
        "it reports count, which METRICS",
    ),
    ("loops", "a trial has the same numbers every time"): (
        edited(TRAINER, REPORT, 'metrics={"count": random.random()}') + "\nimport random\n",
        "run again, count of epoch 0 is",
    ),
    ("loops", "a resumed trial equals an uninterrupted one"): (
        edited(
            TRAINER, "    for epoch in range(config.epochs + 1):", "    for epoch in range(start, 3):"
        ).replace(
            "    for",
            "    start = 0\n    if folder is not None:\n        folder.mkdir(exist_ok=True)\n"
            '        start = len(list(folder.iterdir()))\n        (folder / "one").touch()\n    for',
            1,
        ),
        "after an interruption, 1 instead of 0",
    ),
}


@pytest.mark.parametrize(("kind", "says"), but_first_slow(BROKEN, 12))
def test_a_promise_that_is_broken_is_told_in_a_line(kind: str, says: str, tmp_path: Path) -> None:
    text, expected = BROKEN[kind, says]
    written(tmp_path, own=text)
    (one,) = named(str(tmp_path / "own.py"))
    assert one.kind == kind
    config = configured(one, {"hat": 1.0} if "hat" in one.config.model_fields else {})
    told = problem_of(laws(kind)[says], Subject(kind, config, tmp_path / "folder"))
    assert told and expected in told and "\n" not in told


def test_every_promise_is_one_that_can_be_broken() -> None:
    promised = {(kind, says) for kind in SINGULAR for says in laws(kind) if says not in EVERY}
    assert promised <= BROKEN.keys()
