"""What every encoder promises: features of the dimension that it says, from any shape of images."""

from __future__ import annotations

from orchestrator.rehearsal.contracts.laws import Broken, Laws, Subject
from orchestrator.rehearsal.contracts.loops import resumes, tiny_trial
from trainers.attempt.checkpoint import digest
from trainers.config.lazy import torch
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import ProjectorConfig


def _gives(subject: Subject, *shape: int) -> None:
    encoder, features = subject.module.build(subject.config, shape)
    got = encoder(torch.zeros(5, *shape))
    if got.shape != (5, features):
        raise Broken(f"5 images gave features {list(got.shape)}, and `build` said [5, {features}]")


def takes_grey(subject: Subject) -> None:
    """One channel."""
    _gives(subject, 1, 8, 8)


def takes_colour(subject: Subject) -> None:
    """Three channels, and images that are not square."""
    _gives(subject, 3, 12, 10)


def is_trained(subject: Subject) -> None:
    """A gradient reaches every weight."""
    encoder, _ = subject.module.build(subject.config, (3, 8, 8))
    encoder.train()(torch.randn((4, 3, 8, 8), generator=torch.Generator().manual_seed(0))).sum().backward()
    without = [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    if without:
        raise Broken(f"no gradient reaches {', '.join(without[:3])}; use it, or set requires_grad=False")


def is_repeatable(subject: Subject) -> None:
    """Equal seeds give equal weights."""
    plan = Blueprint(subject.config, ProjectorConfig(), (3, 8, 8), 0)  # type: ignore[arg-type]
    if len({digest(plan.encoder()[0].state_dict()) for _ in range(2)}) > 1:
        raise Broken(
            "two builds from one seed have other weights; draw from torch's own generator in `build`"
        )


def trial_resumes(subject: Subject) -> None:
    """A trial that is interrupted goes on to the numbers of one that is not."""
    resumes(tiny_trial(encoder=subject.config), subject.folder)


LAWS: Laws = {
    "it maps grey images of 8×8 to the dimension that it says": takes_grey,
    "it maps colour images of 12×10 to the dimension that it says": takes_colour,
    "a gradient reaches every weight": is_trained,
    "a seed gives the same weights every time": is_repeatable,
    "a resumed trial equals an uninterrupted one": trial_resumes,
}
