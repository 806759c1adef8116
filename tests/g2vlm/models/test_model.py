"""Shapes, geometry and invariances of the network."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from g2vlm.models.batch import (
    CELL,
    build_batch,
    cell_depth,
    centre_pixels,
    depth_normals,
    object_masks,
    partial_depth,
    pixel_rays,
)
from g2vlm.models.boxes import QUANTILES, THINNEST_M, mask_quantiles
from g2vlm.models.decoder import (
    MEASURES,
    CopyHints,
    Vocabulary,
    build_words,
    join_words,
    spell,
    split_words,
)
from g2vlm.models.encoder import WINDOW
from g2vlm.models.heads import PointSearch, RelationHead, pool_scene
from g2vlm.models.layers import Standardise, linear_of_parts, relative_features, view_grid
from g2vlm.models.qa_context import SLOTS
from g2vlm.training.loss_functions import number_loss
from metrics.files import InputError
from tests.g2vlm.models.build import scene_batch, sentences, small_model
from tests.g2vlm.models.rooms import CLASSES, HEIGHT, VIEWS, WIDTH, Rooms, make_room

P = VIEWS * (HEIGHT // 4) * (WIDTH // 4)
T = VIEWS * 2 * 2


def test_outputs_have_the_documented_shapes():
    model = small_model()
    batch = scene_batch(model)
    with torch.no_grad():
        state = model.encode(batch)
        text = sentences(["the chair", "how many boxes"], ["a lamp"])
        ground = model.fusion(state, text)
        masks = torch.rand(2, 3, P)
        boxes = model.box_head(state, masks)
        relations = model.relations(state, masks, boxes)
        embedded = model.descriptors.embed_objects(state, masks, boxes)
    assert state.tokens.shape == (2, T, model.config.hidden)
    assert state.points.shape == (2, P, 3)
    assert state.boxes.shape == (2, P, 6)
    assert bool((state.boxes[..., 3:] > 0).all())
    assert state.class_logits.shape == (2, P, len(CLASSES) + 1)
    assert 0 <= float(state.confidence.min()) <= float(state.confidence.max()) <= 1
    assert ground.point_logits.shape == (2, 2, P)
    assert ground.text_states.shape == (2, 2, 8, model.config.hidden)
    shapes = {family: logits.shape for family, logits in relations.families.items()}
    sizes = {"support": 3, "distance": 2, "side": 4, "size": 2, "facing": 2}
    assert shapes == {family: (2, 3, 3, size) for family, size in sizes.items()}
    for vectors in (
        embedded,
        model.descriptors.embed_scene(pool_scene(state)),
        model.descriptors.embed_text(text.pooled),
    ):
        assert torch.allclose(vectors.norm(dim=-1), torch.ones(vectors.shape[:-1]), atol=1e-5)
        answers, found = model.answer(state, text, model.object_set(state, masks, boxes), 4)
    assert [len(row) for row in answers] == [2, 1]
    assert found.memory.shape == (2, 2, SLOTS, model.config.hidden)
    assert len(model.caption(state)) == 2


def test_a_sentence_does_not_depend_on_its_neighbours():
    model = small_model()
    state = model.encode(scene_batch(model))
    alone = model.fusion(state, sentences(["the chair"], ["a lamp"]))
    beside = model.fusion(
        state, sentences(["the chair", "a much longer lamp over there"], ["a lamp", "the table"])
    )
    assert torch.allclose(alone.point_logits[:, 0], beside.point_logits[:, 0], atol=1e-4)


def test_a_scene_does_not_depend_on_its_batch():
    model = small_model()
    rooms = Rooms(2)
    both = model.encode(scene_batch(model))
    name = rooms.ids[1]
    one = model.encode(build_batch([rooms.inputs(name)], [rooms[name]], model.config))
    assert torch.allclose(both.points[1], one.points[0], atol=1e-4)
    assert torch.allclose(both.class_logits[1], one.class_logits[0], atol=1e-4)


def test_wrong_image_size_is_refused():
    model = small_model(height=48)
    with pytest.raises(InputError, match="room-0: views of 32x24 pixels for a model of 32x48"):
        scene_batch(model)


def test_rays_lift_true_depth_onto_the_walls():
    room = make_room("lift")
    rays = pixel_rays(
        torch.from_numpy(room.intrinsics), torch.from_numpy(room.pose), HEIGHT, WIDTH, 1
    ).numpy()
    points = rays * room.depth[..., None] + room.pose[:, None, None, :3, 3]
    floor, wall = room.instance == 1, room.instance == 2
    height = points[floor][:, 2]
    assert np.all((np.abs(height) < 1e-4) | (np.abs(height - 2.4) < 1e-4))
    ends = np.abs(points[wall][:, None, :2] - np.array([[-0.5, -2.0], [4.0, 2.0]])).min((1, 2))
    assert ends.max() < 1e-4


def test_normals_from_depth_match_the_true_ones():
    room = make_room("normals")
    depth = cell_depth(room.depth)
    found = depth_normals(depth, room.intrinsics, room.pose)
    true = centre_pixels(room.normal)
    has = np.linalg.norm(found, axis=-1) > 0
    flat = has & (centre_pixels(room.instance) < 10)
    assert flat.sum() > 20
    assert np.median((found[flat] * true[flat]).sum(-1)) > 0.999


def test_cell_depth_fills_holes_from_its_cell():
    depth = np.zeros((1, 4, 8), np.float32)
    depth[0, 2, 2] = 2.0
    depth[0, 0, 4:7] = [1.0, 3.0, 5.0]
    assert cell_depth(depth).tolist() == [[[2.0, 3.0]]]
    assert cell_depth(np.zeros((1, 4, 4), np.float32)).tolist() == [[[0.0]]]


def test_partial_points_fall_into_their_cells():
    room = make_room("partial")
    rays = pixel_rays(
        torch.from_numpy(room.intrinsics), torch.from_numpy(room.pose), HEIGHT, WIDTH
    ).numpy()
    depth = cell_depth(room.depth)
    cloud = room.pose[0, :3, 3] + rays[0, 3, 4] * depth[0, 3, 4]
    found = partial_depth(cloud[None], room.intrinsics, room.pose, depth.shape[1:])
    assert found[0, 3, 4] == pytest.approx(depth[0, 3, 4], rel=1e-4)
    assert (found[0] > 0).sum() == 1


def test_object_masks_are_shares_of_cells():
    masks = np.zeros((1, 4, 8), np.uint8)
    masks[0, :2, :4] = 1
    masks[0, :, 4:] = 2
    assert object_masks(masks, 3).tolist() == [[0.5, 0.0], [0.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize(("height", "width"), [(72, 96), (96, 128), (24, 32), (40, 56)])
def test_grid_maps_are_means_and_interpolate(height, width):
    grid = view_grid(height, width)
    cells = torch.rand(2, 3 * math.prod(grid.cells), 5)
    by_view = cells.unflatten(1, (3, -1))
    pooled = grid.pool(cells).unflatten(1, (3, -1))
    for patch in range(math.prod(grid.patches)):
        mean = by_view[:, :, grid.parent() == patch].mean(2)
        assert torch.allclose(pooled[:, :, patch], mean, atol=1e-6)
    grouped = grid.group(grid.pool(cells)).unflatten(1, (3, -1))
    for group in range(math.prod(grid.groups)):
        mean = pooled[:, :, grid.ungroup() == group].mean(2)
        assert torch.allclose(grouped[:, :, group], mean, atol=1e-6)
    place = torch.arange(grid.patches[1]).repeat(3 * grid.patches[0]).float()
    spread = grid.spread(place[None, :, None]).view(3, *grid.cells)
    column = ((torch.arange(grid.cells[1]) + 0.5) / 4 - 0.5).clamp(0, grid.patches[1] - 1)
    assert torch.allclose(spread, column.expand_as(spread), atol=1e-5)


def test_linear_of_parts_equals_linear_of_their_concatenation():
    linear, first, second = torch.nn.Linear(7, 3), torch.rand(2, 5, 4), torch.rand(2, 5, 3)
    whole = linear(torch.cat([first, second], dim=-1))
    assert torch.allclose(linear_of_parts(linear, first, second), whole, atol=1e-6)


def test_nearest_points_agree_with_brute_force():
    points, queries = torch.rand(2, 50, 3), torch.rand(2, 20, 3)
    brute = torch.cdist(queries, points).topk(4, largest=False).indices
    assert torch.equal(PointSearch(points)(queries), brute)


def test_relative_features_point_from_first_to_second():
    xyz = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 3.0, 0.0]]])
    there = relative_features(xyz)[0, 0, 1]
    assert there.tolist() == pytest.approx([1.0, np.exp(-3), 0.0, 1.0, 0.0, 1.0], abs=1e-3)


def test_pair_geometry_has_gap_rest_and_facing():
    boxes = torch.tensor([[[0, 0, 0.5, 1, 1, 1], [0, 2, 0.5, 1, 1, 1]]], dtype=torch.float32)
    front = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    pair = RelationHead.geometry(boxes, front)[0, 0, 1]
    assert pair[6].item() == pytest.approx(1.0)
    assert pair[14].item() == pytest.approx(1.0), "object 0 looks at object 1"
    assert RelationHead.geometry(boxes, front)[0, 1, 0, 14].item() == pytest.approx(0.0)


def test_an_object_on_a_rug_rests_on_its_true_top():
    boxes = torch.tensor([[[0.0, 0, 0.004, 2, 2, 0.008], [0, 0, 0.258, 1, 1, 0.5]]])
    pair = RelationHead.geometry(boxes, torch.zeros(1, 2, 2))[0, 1, 0]
    assert pair[11:13].tolist() == pytest.approx([0.0, 0.508], abs=1e-6)


def test_boxes_without_votes_are_the_masks_extents():
    model = small_model("geometry_free_vlm")
    state = model.encode(scene_batch(model))
    masks = torch.zeros(2, 2, P)
    masks[:, 0, :40] = 1
    boxes = model.box_head(state, masks)
    cloud = state.points[0, :40]
    assert bool((boxes[0, 0, 3:] <= cloud.amax(0) - cloud.amin(0) + THINNEST_M + 0.001).all())
    assert bool(torch.isfinite(boxes).all()), "an empty mask still has a box"


def test_words_split_and_join():
    for text in ("2.35", "a room with 12 chairs", "the left-most one", "yes"):
        assert join_words(split_words(text)) == text
    words = Vocabulary(build_words(["1 chair", "12"]))
    assert "+2" not in words.words, "an answer's number is no word"
    numbers = words.encode("1 zebra", "<answer>", 9)
    assert words.decode(numbers) == "1"
    assert len(words.encode("1 1 1 1 1 1", "<answer>", 3)) == 3


def test_a_number_is_a_word_with_a_value():
    words = Vocabulary(build_words(["3", "about 12 m"]))
    for text, value in (("12", 12.0), ("140", 140.0), ("26.5", 26.5), ("0.0", 0.05)):
        numbers = words.encode(text, "<answer>", 9)
        assert len(numbers) == 3
        wanted = "0.1" if text == "0.0" else text
        assert words.decode(numbers, math.log(value)) == wanted
    assert words.decode(words.encode("3", "<answer>", 9), 5.0) == "3"
    assert words.decode(words.encode("about 12 m", "<answer>", 9), 5.0) == "about 12 m"


def test_the_value_of_a_number_is_a_weighted_mean_of_measures():
    decoder = small_model().decoder
    scene = decoder.read(torch.zeros(1, 3, decoder.out.in_features))
    memory = torch.zeros(1, 1, 2, decoder.out.in_features)
    measures = torch.arange(MEASURES).float()[None, None]
    for place in (0, MEASURES - 1):
        with torch.no_grad():
            decoder.measure.weight.zero_()
            decoder.measure.bias.copy_(50 * F.one_hot(torch.tensor(place), MEASURES).float())
            hints = CopyHints(torch.zeros(1, 1, len(CLASSES)), torch.zeros(1, 1, 4), measures)
            said = decoder(torch.tensor([[[1]]]), scene, memory, hints)
            lost = CopyHints(hints.named, hints.sides, measures * torch.nan)
            guess = decoder(torch.tensor([[[1]]]), scene, memory, lost).value
        assert said.value.item() == pytest.approx(place, abs=1e-6)
        assert bool(guess.isfinite())


def test_words_written_one_by_one_are_those_of_the_whole_sentence():
    decoder = small_model().decoder
    draw, width = torch.Generator().manual_seed(1), decoder.out.in_features
    tokens = torch.randn(2, 5, width, generator=draw)
    memory = torch.randn(2, 3, 4, width, generator=draw)
    measures = torch.rand(2, 3, MEASURES, generator=draw)
    hints = CopyHints(
        torch.rand(2, 3, len(CLASSES), generator=draw), torch.zeros(2, 3, 4), measures
    )
    words, value = decoder.write(1, 3, tokens, memory, 9, hints)
    # Every word again, from all words before it at once.
    numbers = torch.cat([torch.ones(2, 3, 1, dtype=torch.long), words], dim=-1)
    whole = decoder(numbers[..., :-1], decoder.read(tokens), memory, hints)
    assert torch.equal(whole.logits.argmax(-1), words)
    assert torch.allclose(whole.value, value, atol=1e-6)
    assert words.shape[-1] == 9 or bool((words == 3).any(-1).all())


def test_copying_raises_words_of_the_class_or_side_asked_for():
    words = build_words(["a table lamp", "the chair"])
    spelled = spell(("lamp", "table lamp", "sofa"), words)
    assert [{words[k] for k in row.nonzero()[:, 0]} for row in spelled] == [
        {"lamp"},
        {"table", "lamp"},
        set(),
    ]
    decoder = small_model().decoder
    decoder.classes.zero_()[1, [2, 3]] = 1
    decoder.sides.zero_()[0, 4] = 1
    width = decoder.out.in_features
    given = torch.tensor([[[1]]]), decoder.read(torch.zeros(1, 3, width))
    memory, measures = torch.zeros(1, 1, 2, width), torch.zeros(1, 1, MEASURES)
    named = F.one_hot(torch.tensor([[1]]), len(CLASSES)).float()
    left = F.one_hot(torch.tensor([[0]]), 4).float()
    plain = decoder(*given, memory).logits
    for hints, which in (
        (CopyHints(named, 0 * left, measures), [2, 3]),
        (CopyHints(0 * named, left, measures), [4]),
    ):
        lift = (decoder(*given, memory, hints).logits - plain)[0, 0, 0]
        assert lift.nonzero()[:, 0].tolist() == which and bool((lift >= 0).all())


def test_only_answers_that_are_numbers_have_a_loss_of_their_value():
    found, true = torch.tensor([[0.5, 9.0]]), torch.tensor([[1.0, float("nan")]])
    assert float(number_loss(found, true)) == 0.5
    assert float(number_loss(found, true * float("nan"))) == 0


def test_mask_quantiles_are_those_of_the_masked_points():
    draw = torch.Generator().manual_seed(0)
    points = torch.rand(2, 500, 3, generator=draw)
    masks = torch.zeros(2, 3, 500)
    masks[:, 0, 100:301] = 1
    masks[:, 1, 7] = 0.25
    found = mask_quantiles(points, masks)
    exact = torch.quantile(points[:, 100:301], torch.tensor(QUANTILES), dim=1).permute(1, 2, 0)
    assert torch.allclose(found[:, 0], exact, atol=0.03)
    assert torch.equal(found[:, 0, :, 0], points[:, 100:301].amin(1))
    assert torch.equal(found[:, 0, :, -1], points[:, 100:301].amax(1))
    assert torch.equal(found[:, 1], points[:, 7, :, None].expand(-1, -1, len(QUANTILES)))
    assert not found[:, 2].any(), "an empty mask"


def test_frozen_features_are_standardised_by_the_fit():
    standard = Standardise(2)
    values = torch.tensor([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    standard.fit(values)
    assert torch.allclose(standard(values)[:, 0], torch.tensor([-1.0, 0.0, 1.0]))
    assert not standard(values)[:, 1].any(), "a constant feature stays finite"
    assert set(standard.state_dict()) == {"mean", "scale"}


def test_depth_steps_are_zero_beyond_the_border():
    model = small_model()
    rows, columns = HEIGHT // 4, WIDTH // 4
    depth = torch.zeros(1, VIEWS, rows, columns)
    depth[:, :, :, : columns // 2], depth[:, :, :, columns // 2 :] = 2.0, 2.5
    steps = model.encoder.depth_steps(depth.flatten(1)).view(1, VIEWS, rows, columns, -1)
    sides = [(y, x) for y in WINDOW for x in WINDOW if y or x]
    right, left = sides.index((0, 1)), sides.index((0, -1))
    edge = columns // 2 - 1
    assert steps[0, 0, 0, edge, right] == 0.5 and steps[0, 0, 0, edge + 1, left] == -0.5
    assert steps[0, 0, 0, -1, right] == 0 and steps[0, 0, 0, 0, left] == 0


def viewed(model, order):
    """A toy room's encoded state as seen by these of its views."""
    rooms = Rooms(1)
    inputs, features = rooms.inputs("room-0"), rooms["room-0"]
    names = ("rgb", "depth", "intrinsics", "pose")
    some = SimpleNamespace(**vars(inputs) | {name: getattr(inputs, name)[order] for name in names})
    seen = SimpleNamespace(tokens=features.tokens[order], points=features.points[order])
    with torch.no_grad():
        return model.encode(build_batch([some], [seen], model.config))


@pytest.mark.parametrize("method", ["full", "no_geometry", "geometry_free_vlm"])
@pytest.mark.parametrize("count", [1, 2, 8])
def test_any_number_of_views_is_encoded(method, count):
    model = small_model(method)
    state = viewed(model, [view % 4 for view in range(count)])
    cells = count * (HEIGHT // CELL) * (WIDTH // CELL)
    assert state.points.shape == (1, cells, 3)
    masks = torch.zeros(1, 2, cells)
    masks[:, 0, :20] = 1
    with torch.no_grad():
        ground = model.fusion(state, sentences(("the chair",)))
        found = [
            ground.point_logits,
            model.box_head(state, masks),
            model.descriptors.embed_scene(pool_scene(state)),
        ]
        found.append(model.occupancy_head(state, torch.rand(1, 5, 3)))
    assert all(bool(torch.isfinite(value).all()) for value in found)


def test_views_after_the_first_come_in_any_order():
    model = small_model("full")
    embed = [
        model.descriptors.embed_scene(pool_scene(viewed(model, order)))
        for order in ([0, 1, 2, 3], [0, 3, 1, 2])
    ]
    torch.testing.assert_close(*embed, atol=1e-5, rtol=1e-4)
    other = model.descriptors.embed_scene(pool_scene(viewed(model, [1, 0, 2, 3])))
    assert not torch.allclose(embed[0], other, atol=1e-4)
