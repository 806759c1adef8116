"""The symmetries of a floor plan, and the box head under them."""

import pytest
import torch

from g2vlm.models.boxes import (
    QUANTILES,
    SHAPE,
    SYMMETRIES,
    Symmetries,
    corner_box,
    mask_quantiles,
    split_faces,
)
from tests.g2vlm.models.build import small_model

BOX = [("along", 3), ("extent", 3)]


@pytest.mark.parametrize("which", range(SYMMETRIES))
def test_an_image_is_undone(which):
    rows = torch.randn(5, sum(count for _, count in SHAPE))
    shapes = Symmetries(SHAPE)
    assert torch.equal(shapes.undo(shapes(rows, which), which), rows)
    assert which == 0 or not torch.equal(shapes(rows, which), rows)


def test_the_images_are_eight():
    found = {
        tuple(Symmetries(BOX)(torch.arange(1.0, 7), which).tolist()) for which in range(SYMMETRIES)
    }
    assert len(found) == SYMMETRIES == 8


@pytest.mark.parametrize("which", range(SYMMETRIES))
def test_quantiles_of_moved_points_are_the_image_of_quantiles(which):
    generator = torch.Generator().manual_seed(which)
    points = torch.rand(1, 4001, 3, generator=generator)
    moved = Symmetries([("along", 3)])(points, which)
    masks = torch.ones(1, 1, 4001)
    quantiles = Symmetries([("along", 3 * len(QUANTILES))])
    before = quantiles(mask_quantiles(points, masks).flatten(-2), which)
    # A quantile is one of the points; from the other end it is the next one.
    torch.testing.assert_close(mask_quantiles(moved, masks).flatten(-2), before, atol=2e-3, rtol=0)


@pytest.mark.parametrize("which", range(SYMMETRIES))
def test_the_box_of_an_image_is_the_image_of_the_box(which):
    head = small_model("full").box_head.eval()
    generator = torch.Generator().manual_seed(which)
    shape = torch.randn(7, head.shape_size, generator=generator)
    look = torch.randn(7, head.appearance.in_features, generator=generator)
    faces = torch.randn(7, 3, 2, generator=generator).sort(-1).values.flatten(-2)
    with torch.no_grad():
        turned, turned_faces = head.transform(shape, faces, which)
        plain = head.predict_symmetric(torch.cat([shape, look], dim=-1), faces)
        seen = head.predict_symmetric(torch.cat([turned, look], dim=-1), turned_faces)
    torch.testing.assert_close(seen, head.box_symmetry(plain, which), atol=1e-4, rtol=1e-4)
    box = corner_box(*split_faces(turned_faces))
    torch.testing.assert_close(box, head.box_symmetry(corner_box(*split_faces(faces)), which))
