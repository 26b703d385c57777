"""Laws of the random streams: derived, apart from each other, and equal in all cells of a seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.trainers.builders import CONVNET, RUNTIME, blueprint, config, fit, timeless
from trainers.attempt.checkpoint import digest
from trainers.loops import ssl
from trainers.randomness import derive, seeded, stream

PURPOSES = [("order", 0), ("order", 1), ("views", 0), ("probe",), ("weights", "encoder", "online")]
CELLS: list[dict[str, Any]] = [
    {"method": {"name": "byol", "momentum": 0.0, "predictor": {"kind": "linear", "symmetric": True}}},
    {"method": "simsiam"},
    {"optimizer": {"lr": 0.5, "weight_decay": 0.0}, "projector": {"hidden": [], "output": 3}},
]


def test_derived_seeds_are_the_same_for_ever() -> None:
    # Trials of different versions are paired by these numbers.
    assert derive(0, "order", 0) == 3955691223199900983
    assert derive(0, "weights", "encoder", "online") == 5376941800566759303
    assert derive(7, "probe") == 9088481703349129323


def test_first_draws_of_a_stream_are_the_same_for_ever() -> None:
    # torch promises no stability across releases; this tells of a release that breaks pairing.
    assert torch.randperm(8, generator=stream(0, "order", 0)).tolist() == [7, 5, 6, 0, 3, 4, 1, 2]


def test_seeds_and_purposes_have_streams_of_their_own() -> None:
    draws = {tuple(torch.rand(4, generator=stream(s, *p)).tolist()) for s in range(3) for p in PURPOSES}
    assert len(draws) == 3 * len(PURPOSES)


def test_a_stream_does_not_depend_on_what_others_have_drawn() -> None:
    alone = torch.rand(4, generator=stream(0, "views", 0))
    torch.rand(3, generator=stream(0, "order", 0))
    torch.manual_seed(5)
    assert torch.equal(torch.rand(4, generator=stream(0, "views", 0)), alone)


@pytest.mark.parametrize("fails", [False, True])
def test_the_global_generator_is_put_back_even_after_an_error(fails: bool) -> None:
    before = torch.get_rng_state()
    try:
        with seeded(0, "weights"):
            torch.rand(5)
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert torch.equal(torch.get_rng_state(), before)


def test_inside_seeded_the_global_generator_is_the_purposes_stream() -> None:
    with seeded(3, "weights", "predictor"):
        inside = torch.rand(4)
    assert torch.equal(inside, torch.rand(4, generator=stream(3, "weights", "predictor")))


# Pairing


def seen(config: ssl.Config, *, same_image: bool = False) -> list[bytes]:
    """Every batch of views that the encoder takes in two epochs, in order."""
    images = ssl.load_images(config.data, RUNTIME)
    train = images.train[:1].expand_as(images.train) if same_image else images.train
    trial = ssl.Trial(config, images, RUNTIME)
    batches: list[bytes] = []
    trial.method.encoder.register_forward_pre_hook(lambda _, x: batches.append(x[0].numpy().tobytes()))
    for epoch in range(2):
        ssl.train_epoch(trial, train, images.train_labels, epoch, mean=torch.zeros(3), std=torch.ones(3))
    return batches


def test_cells_of_a_seed_share_start_streams_and_data() -> None:
    details = [fit(config(**cell)).details for cell in CELLS]
    for key in ("encoder_start", "streams_fingerprint", "data_fingerprint"):
        assert len({detail[key] for detail in details}) == 1, key


def test_cells_of_a_seed_see_the_same_views_in_the_same_order() -> None:
    first, *others = (seen(config(**cell)) for cell in [*CELLS, {"encoder": CONVNET}])
    assert len(set(first)) == len(first) == 2 * 2 * 4  # epochs, views, steps: no batch twice
    assert all(other == first for other in others)


def test_every_epoch_has_augmentations_of_its_own() -> None:
    batches = seen(config(), same_image=True)
    assert len(set(batches)) == len(batches)


def test_every_epoch_has_an_order_of_its_own() -> None:
    batches = seen(config(views={"crop": None, "flip": 0, "jitter": None, "grey": 0}))
    assert len(set(batches)) == len(batches) / 2  # both views of a batch are the images themselves


def test_seeds_see_other_views() -> None:
    assert not set(seen(config())) & set(seen(config(seed=1)))


def test_seeds_differ_in_start_and_streams_but_not_in_data() -> None:
    first, second = (fit(config(seed=seed)).details for seed in (0, 1))
    assert first["encoder_start"] != second["encoder_start"]
    assert first["streams_fingerprint"] != second["streams_fingerprint"]
    assert first["data_fingerprint"] == second["data_fingerprint"]


def test_a_network_starts_alike_whatever_stands_below_or_above_it() -> None:
    # The projector of equal features is the same over another encoder; so is the predictor.
    starts = {digest(blueprint(encoder).projector(8).state_dict()) for encoder in ("mlp", CONVNET)}
    assert len(starts) == 1
    first, again = (blueprint().encoder()[0] for _ in range(2))
    assert digest(first.state_dict()) == digest(again.state_dict())


def test_networks_of_one_trial_start_from_weights_of_their_own() -> None:
    plan = blueprint()
    online, target = plan.encoder()[0], plan.encoder(copy_of="target")[0]
    assert digest(online.state_dict()) != digest(target.state_dict())


def test_the_same_config_gives_the_same_numbers_bit_for_bit() -> None:
    first, second = (timeless(fit(config(encoder=CONVNET)).metrics) for _ in range(2))
    assert first == second
