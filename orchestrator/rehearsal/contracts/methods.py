"""What every method promises: a loss that trains all it says, and trials that can be repeated and resumed."""

from __future__ import annotations

import functools

from orchestrator.rehearsal.contracts.laws import Broken, Laws, Subject, no_global_draws
from orchestrator.rehearsal.contracts.loops import resumes, tiny_trial
from trainers.attempt.checkpoint import digest
from trainers.attempt.command.numbers import name_fault
from trainers.config.lazy import torch
from trainers.encoders import mlp
from trainers.loops import ssl
from trainers.methods.base import AbstractMethod, Forward, OwnMetrics
from trainers.networks.blueprint import Blueprint
from trainers.networks.heads import ProjectorConfig
from trainers.networks.rates import build_optimizer
from trainers.optimizers import sgd
from trainers.randomness import seeded

BATCH, SHAPE = 16, (3, 8, 8)


def plan() -> Blueprint:
    """Plans for the smallest networks: 12 hidden and 6 embedding dimensions."""
    return Blueprint(mlp.Config(widths=(16,)), ProjectorConfig(hidden=(12,), output=6), SHAPE, 0)


def built(subject: Subject) -> AbstractMethod:
    """The method on them."""
    method: AbstractMethod = subject.module.build(subject.config, plan())
    if not isinstance(method, AbstractMethod):
        raise Broken(f"`build` gave a {type(method).__name__}, expected an AbstractMethod")
    method.networks.train()
    return method


@functools.cache
def views(step: int = 0) -> torch.Tensor:
    """Two views of a batch, [2, N, C, H, W], of independent normal values."""
    return torch.randn((2, BATCH, *SHAPE), generator=torch.Generator().manual_seed(step))


def forward(method: AbstractMethod, step: int = 0) -> Forward:
    """What the method makes of the batch of a step."""
    view1, view2 = views(step).clone()
    return method.forward(view1, view2, torch.arange(BATCH) % 10)


def trained(method: AbstractMethod, steps: int) -> AbstractMethod:
    """The method after so many steps of SGD, in which torch's global generator is the trial's, as in one."""
    optimizer = build_optimizer(method.trained, sgd.Config(lr=0.1, weight_decay=0.0))
    with seeded(0, "global", 0):
        method.before_epoch(0)
        for step in range(steps):
            made = forward(method, step)
            optimizer.zero_grad()
            made.loss.backward()
            optimizer.step()
            method.after_step(made, step=step, steps=steps)
    return method


def has_a_loss(subject: Subject) -> None:
    """The loss is one finite number."""
    loss = forward(built(subject)).loss.detach()
    if loss.shape != () or not torch.isfinite(loss):
        got = f"{float(loss)}" if loss.shape == () else f"a tensor {list(loss.shape)}"
        raise Broken(f"got {got}, expected one finite number; average over the batch")


def has_embeddings(subject: Subject) -> None:
    """F is made from the embeddings, which keep no graph alive."""
    method = built(subject)
    made = forward(method)
    for name, z in (("z1", made.z1), ("z2", made.z2)):
        if z.shape != (BATCH, method.dimension):
            expected = f"[{BATCH}, {method.dimension}], images by `dimension`"
            raise Broken(f"{name} is {list(z.shape)}, expected {expected}")
        if z.requires_grad:
            raise Broken(f"{name} has a gradient; give Forward {name}.detach()")


def reaches_every_weight(subject: Subject) -> None:
    """The gradient reaches every weight of the networks in `trained`."""
    method = built(subject)
    forward(method).loss.backward()
    named = [(f"{net}.{name}", p) for net, m in method.trained.items() for name, p in m.named_parameters()]
    # A bias under BatchNorm has gradient zero, but it has one.
    if without := [name for name, p in named if p.requires_grad and p.grad is None]:
        raise Broken(
            f"no gradient reaches {', '.join(without[:3])}; use it in the loss or leave it out of `trained`"
        )


def is_stepped_once(subject: Subject) -> None:
    """The optimizer has every trained weight in exactly one group."""
    method = built(subject)
    weights = [(name, id(p)) for name, net in method.trained.items() for p in net.parameters()]
    first: dict[int, str] = {}
    for network, weight in weights:
        if first.setdefault(weight, network) != network:
            raise Broken(
                f"'{network}' and '{first[weight]}' in `trained` share a weight; name it in one of them"
            )
    optimizer = build_optimizer(method.trained, sgd.Config(decay="no_bias_no_norm"))
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    frozen = sorted({network for network, weight in weights if weight not in stepped})
    if frozen:
        raise Broken(
            f"`trained` has weights without requires_grad, in {', '.join(frozen)}; leave them out of it"
        )


def learns(subject: Subject) -> None:
    """A step moves the encoder; another network may stand still at its start, where its gradient is zero."""
    method = built(subject)
    before = [p.detach().clone() for p in method.encoder.parameters()]
    trained(method, 1)
    if all(torch.equal(p, old) for p, old in zip(method.encoder.parameters(), before, strict=True)):
        raise Broken("a step of SGD left the encoder as it was; expected it in `trained`, and in the loss")


def is_in_a_checkpoint(subject: Subject) -> None:
    """All that is trained or evaluated is in `networks`."""
    method = built(subject)
    kept = {id(value) for value in method.networks.state_dict(keep_vars=True).values()}
    parts = {"encoder": method.encoder, "projector": method.projector, **method.trained}
    for name, network in parts.items():
        if not {id(value) for value in network.state_dict(keep_vars=True).values()} <= kept:
            raise Broken(f"'{name}' is not in `networks`, and so in no checkpoint; add it there")


def starts_as_others(subject: Subject) -> None:
    """Cells of a seed are paired: they start from one encoder."""
    encoder, _ = plan().encoder()
    if digest(built(subject).encoder.state_dict()) != digest(encoder.state_dict()):
        raise Broken(
            "its encoder starts from other weights than every other method's; make it by blueprint.encoder()"
        )


def is_repeatable(subject: Subject) -> None:
    """Equal seeds give equal weights, before training and after."""
    for steps in (0, 3):
        one, two = (digest(trained(built(subject), steps).networks.state_dict()) for _ in range(2))
        if one != two:
            when = "after three steps" if steps else "before training"
            raise Broken(
                f"two builds from one seed have other weights {when}; draw weights under "
                "trainers.randomness.seeded, and keep nothing outside `networks`"
            )


def draws_nothing(subject: Subject) -> None:
    """Random numbers are its trial's own, and torch's are while it is trained."""
    with no_global_draws("building it"):
        method = built(subject)
    with no_global_draws("training it", of_torch=False):
        trained(method, 2)


def measures_what_it_declares(subject: Subject) -> None:
    """A sweep file that asks for another metric is refused before training."""
    declared = getattr(subject.module, "METRICS", ())
    if isinstance(declared, str):
        raise Broken(f"METRICS is the text {declared!r}, expected names, such as ({declared!r},)")
    if refused := {name: why for name in declared if (why := name_fault(name))}:
        name, why = next(iter(refused.items()))
        raise Broken(f"METRICS has {name!r}, which no store takes: {why}")
    own = OwnMetrics(subject.config, {*ssl.METRICS, *ssl.FINAL_METRICS})  # type: ignore[arg-type]
    try:
        own.add(forward(built(subject)).metrics)
    except ValueError as error:
        raise Broken(str(error)) from None


def leaves_its_views(subject: Subject) -> None:
    """The batch is the loop's."""
    method, given = built(subject), views().clone()
    method.forward(given[0], given[1], torch.arange(BATCH) % 10).loss.backward()
    if not torch.equal(given, views()):
        raise Broken("`forward` changed the views that it was given; work on a copy")


def trial_resumes(subject: Subject) -> None:
    """A trial that is interrupted goes on to the numbers of one that is not."""
    resumes(tiny_trial(method=subject.config), subject.folder)


LAWS: Laws = {
    "its loss is one finite number": has_a_loss,
    "its embeddings are [N, d], without a gradient": has_embeddings,
    "a gradient reaches every weight that it trains": reaches_every_weight,
    "every weight that it trains is stepped once": is_stepped_once,
    "a step changes its encoder": learns,
    "all that it trains or evaluates is in its checkpoint": is_in_a_checkpoint,
    "it starts from the encoder that every method of a seed starts from": starts_as_others,
    "a seed gives the same weights every time": is_repeatable,
    "it leaves the global random generators alone": draws_nothing,
    "it leaves the views as they are": leaves_its_views,
    "it measures what it declares": measures_what_it_declares,
    "a resumed trial equals an uninterrupted one": trial_resumes,
}
