"""Laws of the views: each step equals torchvision's on single images, and draws are independent."""

from __future__ import annotations

import colorsys
import dataclasses
import functools
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as tv

from trainers.randomness import stream
from trainers.views import augmentation as views
from trainers.views.augmentation import Draws
from trainers.views.config import JitterConfig, ViewsConfig

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
NONE = ViewsConfig(crop=None, flip=0.0, jitter=None, grey=0.0)
SIZE = (12, 16)


def images(number: int = 32, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (number, channels, *SIZE), generator=generator, dtype=torch.uint8)


def draw(config: ViewsConfig, number: int = 32, seed: int = 0, size: tuple[int, int] = SIZE) -> Draws:
    return views.draw(config, number, size=size, streams=functools.partial(stream, seed, "views"))


def apply(x: Tensor, draws: Draws, config: ViewsConfig, plain: bool = True) -> Tensor:
    """The views; `plain` leaves colours in [0, 1] instead of normalising them."""
    mean, std = (torch.zeros(x.shape[1]), torch.ones(x.shape[1])) if plain else (MEAN, STD)
    return views.apply(x, draws, config, mean=mean, std=std)


def only(**changes: Any) -> ViewsConfig:
    return ViewsConfig.model_validate(NONE.model_dump() | changes)


# What is done to an image


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_crop_is_torchvisions_resized_crop(interpolation: str) -> None:
    chosen = only(crop={"interpolation": interpolation})
    draws = draw(chosen)
    found = apply(images(), draws, chosen)
    for view, image, (top, left, height, width) in zip(found, images(), draws.box.tolist(), strict=True):
        expected = tv.resized_crop(
            image.float() / 255, top, left, height, width, SIZE, interpolation=interpolation, antialias=True
        )
        # float32 weights from 2·10 products of values below 2; a wrong pixel would be 1e-2 off.
        torch.testing.assert_close(view, expected, rtol=0, atol=1e-5)


def test_a_flip_is_an_exact_mirror_image() -> None:
    draws = draw(only(flip=0.5))
    found = apply(images(), draws, only(flip=0.5))
    expected = images().float() / 255
    expected[draws.flip] = expected[draws.flip].flip(-1)
    assert torch.equal(found, expected) and 0 < draws.flip.sum() < 32


def test_a_crop_is_flipped_after_it_is_taken() -> None:
    chosen = ViewsConfig(jitter=None, grey=0.0)
    draws = draw(chosen)
    upright = dataclasses.replace(draws, flip=torch.zeros_like(draws.flip))
    found, expected = apply(images(), draws, chosen), apply(images(), upright, chosen)
    expected[draws.flip] = expected[draws.flip].flip(-1)
    # One sum in another order: float32 rounding of values below 1.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_jitter_is_torchvisions_brightness_contrast_saturation_and_hue_in_this_order() -> None:
    chosen = only(jitter={"p": 1.0, "hue": 0.3})
    draws = draw(chosen)
    found = apply(images(), draws, chosen)
    for view, image, (b, c, s, hue) in zip(found, images(), draws.colour.tolist(), strict=True):
        expected = tv.adjust_brightness(image.float() / 255, b)
        expected = tv.adjust_saturation(tv.adjust_contrast(expected, c), s)
        # Two formulas for HSV in float32: 1e-7 a step, and up to 6 by the slope of a hue.
        torch.testing.assert_close(view, tv.adjust_hue(expected, hue), rtol=0, atol=1e-5)


def test_unclipped_jitter_keeps_colours_beyond_white() -> None:
    chosen = only(jitter={"p": 1.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "clip": False})
    draws = draw(chosen)
    expected = images() / 255 * draws.colour[:, 0, None, None, None]
    found = apply(images(), draws, chosen)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)  # float32 rounding
    assert found.max() > 1.2


def test_the_reports_contrast_is_about_each_channels_mean_and_its_saturation_is_hsvs() -> None:
    code = {"clip": False, "contrast_about": "channel", "saturation_in": "hsv"}
    chosen = only(jitter={"p": 1.0, "saturation": 0.9, "hue": 0.0, **code})
    draws = draw(chosen)
    found = apply(images(), draws, chosen)
    for view, image, (b, c, s, _) in zip(found, images(), draws.colour.tolist(), strict=True):
        x = image.double() / 255 * b
        mean = x.mean(dim=(1, 2), keepdim=True)
        for column, pixel in enumerate(((x - mean) * c + mean)[:, 0].T.tolist()):
            h, saturation, v = colorsys.rgb_to_hsv(*pixel)
            expected = colorsys.hsv_to_rgb(h, min(1.0, saturation * s), v)
            assert view[:, 0, column].tolist() == pytest.approx(expected, abs=1e-5)  # float32


def test_hsvs_saturation_leaves_images_that_are_not_jittered_and_the_black_alone() -> None:
    chosen = only(jitter={"p": 0.5, "clip": False, "contrast_about": "channel", "saturation_in": "hsv"})
    draws = draw(chosen)
    untouched = (draws.colour == torch.tensor([1.0, 1.0, 1.0, 0.0])).all(dim=1)
    assert torch.equal(apply(images(), draws, chosen)[untouched], (images() / 255)[untouched])
    assert not apply(torch.zeros_like(images()), draws, chosen).any()


def test_a_box_that_does_not_fit_is_drawn_again_or_clipped_as_in_the_reports_code() -> None:
    # Their mean shares of a 32 × 32 image; the standard error of 20 000 shares is 0.002.
    for unfitting, expected in ((None, 0.490), ("clipped", 0.533)):
        chosen = ViewsConfig.model_validate({"crop": {"unfitting": unfitting}})
        top, left, height, width = draw(chosen, 20_000, size=(32, 32)).box.unbind(1)
        assert float((height * width).double().mean()) / 1024 == pytest.approx(expected, abs=0.006)
        assert int((top + height).max()) <= 32 and int((left + width).max()) <= 32


def test_images_that_are_not_jittered_keep_their_colours() -> None:
    chosen = only(jitter={"p": 0.5})
    draws = draw(chosen)
    untouched = (draws.colour == torch.tensor([1.0, 1.0, 1.0, 0.0])).all(dim=1)
    found = apply(images(), draws, chosen)
    same = (found == images() / 255).flatten(1).all(dim=1)
    assert torch.equal(same, untouched) and 0 < untouched.sum() < 32


def test_grey_is_torchvisions_grey_and_only_where_drawn() -> None:
    draws = draw(only(grey=0.5))
    found = apply(images(), draws, only(grey=0.5))
    expected = images() / 255
    expected[draws.grey] = tv.rgb_to_grayscale(expected[draws.grey], num_output_channels=3)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)  # a sum of three in another order
    assert 0 < draws.grey.sum() < 32


def test_a_view_without_augmentation_is_the_normalised_image() -> None:
    found = apply(images(), draw(NONE), NONE, plain=False)
    assert torch.equal(found, views.normalise(images(), mean=MEAN, std=STD))
    expected = tv.normalize(images() / 255, MEAN.tolist(), STD.tolist())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)  # float32 rounding


def test_the_whole_image_as_crop_is_the_image() -> None:
    chosen = only(crop={"scale": (1.0, 1.0), "ratio": (4 / 3, 4 / 3)})
    found = apply(images(), draw(chosen), chosen)
    torch.testing.assert_close(found, images() / 255, rtol=0, atol=1e-6)  # weights sum to 1 ± 1e-7


def test_grey_images_are_cropped_and_flipped_like_the_red_of_a_colour_image() -> None:
    chosen = ViewsConfig(jitter=None, grey=0.0)
    red = apply(images()[:, :1], draw(chosen), chosen)
    assert torch.equal(red, apply(images(), draw(chosen), chosen)[:, :1])
    assert torch.equal(red, apply(images()[:, :1], draw(ViewsConfig()), ViewsConfig()))


# What is drawn


def test_boxes_obey_their_ranges() -> None:
    scale, ratio = (0.2, 0.6), (0.8, 1.25)
    chosen = only(crop={"scale": scale, "ratio": ratio})
    box = draw(chosen, 5000, size=(1000, 1000)).box.double()
    top, left, height, width = box.unbind(1)
    share, aspect = height * width / 1e6, width / height
    # Sides are whole pixels of at least 400: 0.5 in 400 is 0.13 % a side.
    assert scale[0] * 0.997 < share.min() and share.max() < scale[1] * 1.003
    assert ratio[0] * 0.997 < aspect.min() and aspect.max() < ratio[1] * 1.003
    assert top.min() >= 0 and left.min() >= 0
    assert (top + height).max() <= 1000 and (left + width).max() <= 1000


def test_area_log_ratio_and_place_of_a_box_are_uniform() -> None:
    # Small enough that every first try fits, so that the law is the uniform one itself.
    chosen = only(crop={"scale": (0.2, 0.6)})
    top, left, height, width = draw(chosen, 4000, size=(1000, 1000)).box.double().unbind(1)
    area = (height * width / 1e6 - 0.2) / 0.4
    ratio = (width / height).log() / torch.tensor(4 / 3).log() / 2 + 0.5
    places = top / (1000 - height), left / (1000 - width)
    for value in (area, ratio, *places):
        grid = (torch.arange(4000) + 0.5) / 4000
        # Kolmogorov's distance of 4000 draws exceeds 0.031 once in a thousand seeds; this one is fixed.
        assert (value.clamp(0, 1).sort().values - grid).abs().max() < 0.04


def test_boxes_have_torchvisions_distribution() -> None:
    # The default range of ratios on an oblong image: some first tries do not fit, and ten may fail.
    chosen = only(crop={"scale": (0.5, 1.0)})
    ours = draw(chosen, 2000, size=(40, 80)).box
    with torch.random.fork_rng():
        torch.manual_seed(0)
        get = RandomResizedCrop.get_params
        theirs = torch.tensor([get(torch.empty(3, 40, 80), [0.5, 1.0], [3 / 4, 4 / 3]) for _ in range(2000)])
    for a, b in zip(ours.double().unbind(1), theirs.double().unbind(1), strict=True):
        points = torch.arange(81)
        cdfs = [(v[:, None] <= points).double().mean(0) for v in (a, b)]
        # Two samples of 2000 differ by more than 0.062 once in a thousand seeds; these are fixed.
        assert (cdfs[0] - cdfs[1]).abs().max() < 0.07


def test_no_box_that_fits_means_the_largest_centred_one() -> None:
    chosen = only(crop={"scale": (1.0, 1.0), "ratio": (1.0, 1.0)})
    assert draw(chosen, 3, size=(10, 20)).box.tolist() == [[0, 5, 10, 10]] * 3
    assert draw(chosen, 3, size=(21, 10)).box.tolist() == [[5, 0, 10, 10]] * 3


def test_every_sample_and_both_views_are_drawn_on_their_own() -> None:
    chosen = ViewsConfig(jitter=JitterConfig(p=1.0))
    first, second = (draw(chosen, 50, seed, size=(999, 999)) for seed in (0, 1))
    for field in ("box", "colour"):
        rows = torch.cat((getattr(first, field), getattr(second, field)))
        assert len({tuple(row.tolist()) for row in rows}) == 100
    for field in ("flip", "grey"):
        assert not torch.equal(getattr(first, field), getattr(second, field))


def test_flips_and_greys_come_as_often_as_their_probability() -> None:
    draws = draw(ViewsConfig(flip=0.3, grey=0.7, jitter=JitterConfig(p=0.6)), 10_000)
    jittered = (draws.colour != torch.tensor([1.0, 1.0, 1.0, 0.0])).any(dim=1)
    # Standard deviation 0.005; four of them.
    assert abs(draws.flip.double().mean() - 0.3) < 0.02
    assert abs(draws.grey.double().mean() - 0.7) < 0.02
    assert abs(jittered.double().mean() - 0.6) < 0.02


def test_colour_factors_fill_their_ranges() -> None:
    jitter = JitterConfig(p=1.0, brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1)
    colour = draw(ViewsConfig(jitter=jitter), 10_000).colour
    reach = torch.tensor([0.4, 0.3, 0.2, 0.1])
    offset = (colour - torch.tensor([1.0, 1.0, 1.0, 0.0])) / reach
    # The extremes of 10 000 uniform draws are within 1e-3 of the ends but once in e^5 seeds; this is fixed.
    assert (
        (offset.abs() <= 1 + 1e-6).all()
        and (offset.amax(0) > 0.998).all()
        and (offset.amin(0) < -0.998).all()
    )


def test_a_views_result_does_not_depend_on_its_batch() -> None:
    chosen = ViewsConfig()
    draws = draw(chosen)
    whole = apply(images(), draws, chosen)
    eights = [slice(start, start + 8) for start in range(0, 32, 8)]
    parts = [
        apply(images()[eight], Draws(*(value[eight] for value in vars(draws).values())), chosen)
        for eight in eights
    ]
    # A batched product may sum in another order.
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)


def test_draws_read_and_change_no_stream_but_their_own() -> None:
    first, before = draw(ViewsConfig()), torch.get_rng_state()
    again = draw(ViewsConfig())
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    for other in (again, draw(ViewsConfig())):
        assert all(
            torch.equal(getattr(first, f), getattr(other, f)) for f in ("box", "flip", "colour", "grey")
        )


def test_more_draws_continue_fewer() -> None:
    few, many = draw(ViewsConfig(), 20), draw(ViewsConfig(), 50)
    for field in ("box", "flip", "colour", "grey"):
        assert torch.equal(getattr(few, field), getattr(many, field)[:20]), field


def test_switching_one_step_off_leaves_the_draws_of_the_others() -> None:
    full, without = draw(ViewsConfig()), draw(ViewsConfig(crop=None, jitter=None))
    assert torch.equal(full.flip, without.flip)
    assert torch.equal(full.grey, without.grey)


def test_a_shifted_view_is_the_image_moved_with_zeros_moving_in() -> None:
    config = ViewsConfig(crop=None, jitter=None, grey=0, flip=0, shift=2)
    images = torch.randint(
        1, 256, (40, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    draws = views.draw(config, 40, size=(6, 6), streams=lambda _: torch.Generator().manual_seed(1))
    zero, one = torch.zeros(3), torch.ones(3)
    found = views.apply(images, draws, config, mean=zero, std=one)
    moves = draws.box[:, :2]
    assert {tuple(move) for move in moves.tolist()} <= {(r, c) for r in range(-2, 3) for c in range(-2, 3)}
    assert len({tuple(move) for move in moves.tolist()}) > 10
    for image, view, (down, right) in zip(images.float() / 255, found, moves.tolist(), strict=True):
        for row in range(6):
            for column in range(6):
                r, c = row - down, column - right
                inside = 0 <= r < 6 and 0 <= c < 6
                expected = image[:, r, c] if inside else zero
                assert torch.equal(view[:, row, column], expected)


def test_a_view_is_cropped_or_shifted_and_not_both() -> None:
    with pytest.raises(ValidationError, match="crop: null"):
        ViewsConfig(shift=4)


@pytest.mark.parametrize("kernel", [3, 9])
def test_a_blurred_view_is_torchvisions_gaussian_blur_with_a_width_of_its_own(kernel: int) -> None:
    config = only(blur={"p": 0.7, "kernel": kernel})
    draws = draw(config)
    found, clean = apply(images(), draws, config), images().float() / 255
    assert 5 < int((draws.blur > 0).sum()) < 32 and len(set(draws.blur.tolist())) > 5
    for view, image, sigma in zip(found, clean, draws.blur.tolist(), strict=True):
        expected = tv.gaussian_blur(image, [kernel, kernel], [sigma, sigma]) if sigma else image
        torch.testing.assert_close(view, expected, rtol=0, atol=1e-5)  # float32 sums in another order


def test_a_solarised_view_inverts_bright_values() -> None:
    config = only(solarise=0.5)
    draws = draw(config)
    found = apply(images(), draws, config)
    assert 5 < int(draws.solarise.sum()) < 27
    for view, image, inverted in zip(found, images().float() / 255, draws.solarise, strict=True):
        expected = torch.where(image >= 0.5, 1 - image, image) if inverted else image
        assert torch.equal(view, expected)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValidationError, match="kernel must be odd"):
        only(blur={"kernel": 4})
