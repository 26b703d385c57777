"""What every optimizer promises: each network at its own rate, and a state that can be gone on from."""

from __future__ import annotations

from typing import Any

from orchestrator.rehearsal.contracts.laws import Broken, Laws, Subject
from trainers.config.base import Frozen
from trainers.config.lazy import nn, torch
from trainers.networks.rates import build_optimizer, set_rates
from trainers.randomness import seeded

Networks = dict[str, nn.Module]


def networks() -> Networks:
    """Three small networks."""
    with seeded(0, "contracts"):
        return {
            "encoder": nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)),
            "projector": nn.Sequential(nn.Linear(3, 4)),
            "predictor": nn.Sequential(nn.Linear(4, 4)),
        }


def _weights(nets: Networks) -> dict[str, torch.Tensor]:
    return {f"{net}.{name}": p for net, module in nets.items() for name, p in module.named_parameters()}


def _with(config: Frozen, **changes: Any) -> Frozen:
    return type(config).model_validate(config.model_dump() | changes)


def _step(optimizer: torch.optim.Optimizer, nets: Networks) -> float:
    """A step down the sum of squares of all weights; what that is before."""
    loss = torch.stack([(p**2).sum() for p in _weights(nets).values()]).sum() / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _made(config: Any, nets: Networks) -> torch.optim.Optimizer:
    return build_optimizer(nets, config)


def descends(subject: Subject) -> None:
    """Steps lead down."""
    nets = networks()
    optimizer = _made(_with(subject.config, lr=0.01, weight_decay=0.0), nets)
    first, *_, last = (_step(optimizer, nets) for _ in range(5))
    if not last < first:
        raise Broken(f"Σ w²/2 went from {first:.4g} to {last:.4g} in four steps of lr 0.01, expected less")


def has_rates(subject: Subject) -> None:
    """A network with rate 0 stays, and every other one moves."""
    nets = networks()
    old = {name: p.detach().clone() for name, p in _weights(nets).items()}
    _step(_made(_with(subject.config, lr=0.1, encoder={"lr": 0.0}), nets), nets)
    for name, p in _weights(nets).items():
        # γ of BatchNorm is 1 and its β is 0, where the sum of squares has no slope.
        stays = torch.equal(p, old[name])
        if stays is not (name.startswith("encoder") or not old[name].any()):
            expected = "stay: the encoder's rate is 0" if not stays else "move at rate 0.1"
            raise Broken(f"expected {name} to {expected}; take the rate from each group's `lr`")


def follows_a_schedule(subject: Subject) -> None:
    """The rate of a step is the group's at that time."""
    nets = networks()
    optimizer = _made(_with(subject.config, lr=0.1), nets)
    _step(optimizer, nets)
    old = {name: p.detach().clone() for name, p in _weights(nets).items()}
    set_rates(optimizer, 0.0)
    _step(optimizer, nets)
    if any(not torch.equal(p, old[name]) for name, p in _weights(nets).items()):
        raise Broken("weights moved while the schedule's factor was 0; read each group's `lr` in every step")


def goes_on(subject: Subject) -> None:
    """What goes on from a saved state does what would have been done."""
    whole, cut = networks(), networks()
    one, two = (_made(subject.config, nets) for nets in (whole, cut))
    for _ in range(2):
        _step(one, whole)
        _step(two, cut)
    again = _made(subject.config, cut)
    again.load_state_dict(two.state_dict())
    for _ in range(2):
        _step(one, whole)
        _step(again, cut)
    if any(
        not torch.equal(p, q) for p, q in zip(_weights(whole).values(), _weights(cut).values(), strict=True)
    ):
        raise Broken("steps from its saved state differ from those without a break; keep all in `self.state`")


LAWS: Laws = {
    "its steps lower a sum of squares": descends,
    "it steps each network at its own rate": has_rates,
    "it follows a schedule": follows_a_schedule,
    "it goes on from its saved state as without a break": goes_on,
}
