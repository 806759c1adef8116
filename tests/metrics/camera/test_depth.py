"""Depth errors against formulas written out, alignments against NumPy, holes and refusals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from metrics.camera.depth import (
    FARTHEST,
    FITS,
    NEAREST,
    SCOPES,
    SPACES,
    DepthAlignment,
    align_depth,
    depth_errors,
    depth_scores,
    fit_depth,
)
from metrics.files import InputError

PLAIN = DepthAlignment("none", "depth", "image")


def rooms(seed: int = 0, views: int = 3) -> np.ndarray:
    """Return depth [views, 6, 8] in metres, within the range that is scored."""
    return np.random.default_rng(seed).uniform(0.3, 9.0, (views, 6, 8))


def noisy(true: np.ndarray, seed: int = 1) -> np.ndarray:
    return true * np.exp(0.2 * np.random.default_rng(seed).normal(size=true.shape))


@pytest.mark.parametrize("seed", range(20))
def test_errors_are_the_published_formulas(seed):
    g, p = rooms(seed).ravel(), noisy(rooms(seed), seed).ravel()
    d = np.log(p / g)
    worse = np.maximum(p / g, g / p)
    wanted = {
        "absrel": np.mean(abs(p - g) / g),
        "sqrel_m": np.mean((p - g) ** 2 / g),
        "rmse_m": np.sqrt(np.mean((p - g) ** 2)),
        "rmse_log": np.sqrt(np.mean(d**2)),
        "log10": np.mean(abs(np.log10(p) - np.log10(g))),
        "silog0.5": np.sqrt(np.mean(d**2) - 0.5 * np.mean(d) ** 2),
        "silog1": np.std(d),
        "delta1": np.mean(worse < 1.25),
        "delta2": np.mean(worse < 1.5625),
        "delta3": np.mean(worse < 1.953125),
        "inlier@1.03": np.mean(worse < 1.03),
    }
    errors = depth_errors(p, g)
    assert list(errors) == list(wanted)
    assert errors == pytest.approx(wanted, abs=1e-6)


def test_thresholds_are_strict():
    errors = depth_errors(np.array([1.25, 1.5625, 0.5]), np.ones(3))
    assert (errors["delta1"], errors["delta2"], errors["delta3"]) == (0, 1 / 3, 2 / 3)


def test_a_factor_leaves_the_scale_invariant_error_at_zero():
    true = rooms().ravel()
    errors = depth_errors(1.5 * true, true)
    assert errors["silog1"] == pytest.approx(0, abs=1e-6)
    assert errors["silog0.5"] == pytest.approx(np.log(1.5) * np.sqrt(0.5), abs=1e-9)


@pytest.mark.parametrize("factor", np.linspace(1.1, 3.0, 39))
def test_rounding_makes_no_negative_variance(factor):
    true = rooms().ravel()[:7]
    error = depth_errors(factor * true, true)["silog1"]
    assert isinstance(error, float)
    assert error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("fit", "shift"), [("median", 0), ("scale", 0), ("scale_shift", -3.0)])
def test_what_the_fit_may_remove_leaves_no_error(space, scope, fit, shift):
    true = rooms()
    shown = true if space == "depth" else 1 / true
    scores = depth_scores(0.1 * shown + shift, true, DepthAlignment(fit, space, scope))
    assert scores[f"depth_absrel_{fit}_{space}_{scope}"] == pytest.approx(0, abs=1e-6)
    assert scores[f"depth_delta1_{fit}_{space}_{scope}"] == 1


@pytest.mark.parametrize("fit", ["median", "scale", "scale_shift"])
def test_one_factor_does_not_fit_images_of_different_scale(fit):
    true = rooms(views=2)
    predicted = true * np.array([1.0, 3.0])[:, None, None]
    each = depth_scores(predicted, true, DepthAlignment(fit, "depth", "image"))
    whole = depth_scores(predicted, true, DepthAlignment(fit, "depth", "sequence"))
    assert each[f"depth_absrel_{fit}_depth_image"] == pytest.approx(0, abs=1e-9)
    assert whole[f"depth_absrel_{fit}_depth_sequence"] > 0.1


@pytest.mark.parametrize("seed", range(20))
def test_fits_agree_with_numpy(seed):
    target = rooms(seed).ravel()
    predicted = noisy(rooms(seed), seed).ravel() / 7
    assert fit_depth(predicted, target, "median") == pytest.approx(
        (np.median(target) / np.median(predicted), 0), abs=1e-6
    )
    scale = np.linalg.lstsq(predicted[:, None], target, rcond=None)[0]
    assert fit_depth(predicted, target, "scale") == pytest.approx((scale[0], 0), abs=1e-6)
    line = np.polyfit(predicted, target, 1)
    assert fit_depth(predicted, target, "scale_shift") == pytest.approx(line, abs=1e-6)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_fits_of_huge_and_tiny_units_stay_finite(fit, size):
    target = rooms().ravel()
    factor, shift = fit_depth(size * target, target, fit)
    if fit != "none":
        assert factor * size == pytest.approx(1, abs=1e-9)
        assert shift == pytest.approx(0, abs=1e-9)


def test_constant_prediction_becomes_the_mean():
    true = rooms(views=1)
    for constant in (0.0, 0.1, -7.0):
        aligned = align_depth(
            np.full(true.shape, constant), true, DepthAlignment("scale_shift", "depth", "image")
        )
        np.testing.assert_allclose(aligned, true.mean(), atol=1e-9)


def test_depth_is_clipped_after_the_shift():
    true = np.array([[[0.5, 0.25, 4.5]]])
    predicted = np.array([[[0.0, 0.6, 2.0]]])
    aligned = align_depth(predicted, true, DepthAlignment("scale_shift", "depth", "image"))
    factor, shift = np.polyfit(predicted.ravel(), true.ravel(), 1)
    assert shift < 0
    assert aligned[0, 0, 0] == NEAREST
    np.testing.assert_allclose(aligned[0, 0, 1:], (factor * predicted + shift)[0, 0, 1:])
    far = align_depth(np.array([[[25.0]]]), np.array([[[5.0]]]), PLAIN)
    assert far == FARTHEST


def test_disparity_at_or_below_zero_is_far_after_a_shift():
    true = np.array([[[1.0, 2.0, 9.0]]])
    predicted = np.array([[[5.0, 0.0, -2.0]]])
    aligned = align_depth(predicted, true, DepthAlignment("scale_shift", "disparity", "image"))
    factor, shift = np.polyfit(predicted.ravel(), 1 / true.ravel(), 1)
    wanted = 1 / np.clip(factor * predicted + shift, 1 / FARTHEST, 1 / NEAREST)
    np.testing.assert_allclose(aligned, wanted)


@pytest.mark.parametrize("hole", [np.nan, np.inf, 0.0, -1.0])
def test_holes_of_the_prediction_count_against_it(hole):
    true = np.full((1, 2, 2), 2.0)
    predicted = true.copy()
    predicted[0, 0, 0] = hole
    for fit in ("none", "median", "scale"):
        alignment = DepthAlignment(fit, "depth", "image")
        scores = depth_scores(predicted, true, alignment)
        assert scores[f"depth_predicted_share_{alignment.name}"] == 0.75
        assert scores[f"depth_delta1_{alignment.name}"] == 0.75
        assert scores[f"depth_absrel_{alignment.name}"] == pytest.approx((2 - NEAREST) / 8)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("space", SPACES)
def test_holes_are_nearest_in_either_space(fit, space):
    true = rooms()
    predicted = true if space == "depth" else 1 / true
    predicted = np.where(np.arange(8) == 0, np.nan, predicted)
    aligned = align_depth(predicted, true, DepthAlignment(fit, space, "image"))
    np.testing.assert_array_equal(aligned[..., 0], NEAREST)
    np.testing.assert_allclose(aligned[..., 1:], true[..., 1:], atol=1e-9)


def test_holes_of_the_truth_are_not_scored():
    true = rooms()
    predicted = noisy(true)
    scores = depth_scores(predicted[:2], true[:2], PLAIN)
    for hole in (0.0, np.nan, np.inf, -1.0, 2 * FARTHEST):
        holed = true.copy()
        holed[2] = hole
        assert depth_scores(predicted, holed, PLAIN) == scores


def test_an_image_without_a_prediction_counts():
    true = np.full((2, 2, 2), 2.0)
    predicted = true.copy()
    predicted[1] = np.nan
    alignment = DepthAlignment("median", "depth", "image")
    assert depth_scores(predicted, true, alignment)["depth_delta1_median_depth_image"] == 0.5


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        (np.ones((1, 2, 2)), np.zeros((1, 2, 2)), "true depth: no pixel lies within 0.001 to 10 m"),
        (np.ones((1, 2, 2)), np.full((1, 2, 2), np.nan), "true depth: no pixel lies within"),
        (np.empty((0, 2, 2)), np.empty((0, 2, 2)), "true depth: no pixel lies within"),
        (np.full((1, 2, 2), np.nan), np.ones((1, 2, 2)), "predicted depth: no pixel with true"),
        (np.zeros((1, 2, 2)), np.ones((1, 2, 2)), "predicted depth: no pixel with true"),
        (np.ones((1, 2, 3)), np.ones((1, 2, 2)), r"shape \[1, 2, 3\] vs \[1, 2, 2\]"),
        (np.ones((2, 2)), np.ones((2, 2)), r"give \[views, height, width\]"),
    ],
)
def test_unusable_depth_is_refused(predicted, true, message):
    with pytest.raises(InputError, match=message):
        depth_scores(predicted, true, PLAIN)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("affine", "depth", "image"), "fit 'affine' is unknown; give one of none, median"),
        (("scale", "inverse", "image"), "space 'inverse' is unknown"),
        (("scale", "depth", "video"), "scope 'video' is unknown"),
    ],
)
def test_unknown_alignments_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        DepthAlignment(*words)


def test_every_alignment_has_a_name_of_its_own():
    names = {DepthAlignment(*words).name for words in product(FITS, SPACES, SCOPES)}
    # 3 fits × 2 spaces × 2 scopes; without a fit the scope says nothing.
    assert len(names) == 14
    assert "none_depth" in names
    assert "scale_shift_disparity_sequence" in names
