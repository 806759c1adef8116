"""The mesh of a captured room as a scene, every face labelled, and which of its cells are solid."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from g2vlm.scenes.assets.textures import Atlas
from g2vlm.scenes.layout.integer_geometry import edges
from g2vlm.scenes.layout.recipes import items_of
from g2vlm.scenes.layout.room_state import Item
from g2vlm.scenes.real import FOLDER
from g2vlm.scenes.real.capture import NEAR_BOX_MM, CapturedRoom, inside_box, read_room
from g2vlm.scenes.render.meshes import SceneMesh
from g2vlm.scenes.render.occupancy import cell_of, grid_shape, surface_points
from metrics.constants import CEILING, FIRST_OBJECT, FLOOR, OPENING, VOXEL_M, WALL
from metrics.geometry import UNIT_CORNERS, face_crosses

UNLABELLED = 0
# Display colour of every surface: captures have none.
_GREY = 0.78
# How far a surface may lie from the plane or wall that labels it.
_PLANE_MM, _WALL_MM = 120, 150
# Faces this near above the base of a box belong to what the box stands on.
_LIFT_MM = 15
# A face is level if its unit normal's z is above this.
_LEVEL = 0.85
# The headset sees the upholstery of these as a thin skin over hollow space.
_UPHOLSTERED = frozenset({"sofa", "bed"})


def captured_mesh(recipe: dict, data_dir: str | Path) -> SceneMesh:
    """Return the mesh of a captured room in the room frame.

    An object's faces are those of the room's mesh that its box holds. Its vertices are the corners
    of its box, because the mesh lacks what the headset did not see.

    Args:
        recipe: of the captured room.
        data_dir: the data folder.
    """
    path = Path(data_dir) / FOLDER / f"{recipe['capture']}.json"
    room = read_room(path)
    boxes = items_of(recipe, {})
    label = face_labels(room, boxes, recipe["openings"])
    # Sorted by label, the faces of an object are one slice.
    order = np.argsort(label, kind="stable")
    label = label[order]
    vertices = [room.vertices / 1000.0]
    objects, end = [], len(room.vertices)
    for k, box in enumerate(boxes):
        first, last = np.searchsorted(label, [FIRST_OBJECT + k, FIRST_OBJECT + k + 1])
        vertices.append(upright_corners(box))
        objects.append((slice(end, end + 8), slice(int(first), int(last))))
        end += 8
    faces = room.faces[order]
    return SceneMesh(
        vertices=np.concatenate(vertices).astype(np.float32),
        faces=faces,
        uv=np.zeros((len(faces), 3, 2), np.float32),
        instance=label,
        material=np.zeros(len(faces), np.int32),
        colour=np.full((1, 3), _GREY, np.float32),
        opacity=np.ones(1, np.float32),
        texture=np.full(1, -1, np.int32),
        emissive=np.zeros(1, bool),
        atlas=Atlas([]),
        objects=tuple(objects),
    )


def upright_corners(box: Item) -> np.ndarray:
    """Return the corners float64 [8, 3] of a box in metres."""
    angle = np.deg2rad(box.yaw)
    x, y, z = ((UNIT_CORNERS - (0.5, 0.5, 0.0)) * np.array(box.size) / 1000.0).T
    c, s = np.cos(angle), np.sin(angle)
    flat = np.stack([x * c - y * s, x * s + y * c], 1) + np.array(box.centre) / 1000.0
    return np.column_stack([flat, z + box.base / 1000.0])


def face_labels(room: CapturedRoom, boxes: list[Item], openings: list[dict]) -> np.ndarray:
    """Return uint8 [F], the instance value of each face of a captured room.

    The smallest box that holds a face's middle labels it; outside of all boxes the nearest plane of
    the room does, and what is near none stays unlabelled.

    Args:
        room: as captured.
        boxes: of the objects, in index order.
        openings: of the recipe.
    """
    triangles = room.vertices[room.faces]  # (F, 3, 3)
    middle = triangles.sum(axis=1) // 3  # (F, 3)
    cross = face_crosses(triangles.astype(float))
    upward = np.abs(cross[:, 2]) / np.maximum(np.linalg.norm(cross, axis=1), 1e-9)
    level = upward > _LEVEL
    # Later labels overwrite earlier ones; boxes come from large to small.
    label = np.full(len(middle), UNLABELLED, np.uint8)
    walls = edges(np.array(room.outline, float))
    to_walls = [_along_and_apart(middle, a, b)[1] for a, b in walls]
    label[np.min(to_walls, axis=0) <= _WALL_MM] = WALL
    for opening in openings:
        label[(label == WALL) & _in_opening(middle, opening)] = OPENING
    label[(middle[:, 2] > room.size[2] - _PLANE_MM) & level] = CEILING
    floor = (middle[:, 2] < _PLANE_MM) & level
    for k in sorted(range(len(boxes)), key=lambda k: -int(np.prod(boxes[k].size))):
        held = inside_box(boxes[k], middle, NEAR_BOX_MM)
        # The face right under a box that stands on something belongs to that.
        held &= (boxes[k].base == 0) | (middle[:, 2] > boxes[k].base + _LIFT_MM)
        label[held] = FIRST_OBJECT + k
    label[floor] = FLOOR
    return label


def _along_and_apart(
    points: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Project points onto the segment from a to b, in the plane.

    Args:
        points: [N, 3] mm.
        a: float [2] mm, start of the segment.
        b: float [2] mm, its end.

    Returns:
        where each point falls on the whole line, float64 [N], 0 at a and 1 at b; and its distance
        from the segment in mm.
    """
    offset, along = points[:, :2] - a, b - a
    share = offset @ along / max(along @ along, 1.0)
    nearest = np.clip(share, 0.0, 1.0)[:, None] * along
    return share, np.linalg.norm(offset - nearest, axis=1)


def _in_opening(points: np.ndarray, opening: dict) -> np.ndarray:
    """Return bool [N], whether points [N, 3] mm lie in a door or window."""
    a, b = np.array(opening["ends_mm"], float)
    share, apart = _along_and_apart(points, a, b)
    rise = points[:, 2] - opening["base_mm"]
    flat = (share >= 0) & (share <= 1) & (apart <= 2 * _WALL_MM)
    return flat & (rise >= 0) & (rise <= opening["height_mm"])


def reachable_cells(recipe: dict, mesh: SceneMesh) -> np.ndarray:
    """Return bool [X, Y, Z], the cells that a walk from some camera reaches without a surface.

    The mesh of a capture is closed: a cell that cannot be reached lies inside something or outside
    the room.
    """
    shape = grid_shape(np.array(recipe["room"]["size_mm"]) / 1000.0)
    points = surface_points(mesh.triangles, VOXEL_M / 2)
    cells = np.floor(points / VOXEL_M).astype(np.int64)  # (N, 3), some outside the room
    surface = np.zeros(shape, bool)
    surface[tuple(cells[((cells >= 0) & (cells < shape)).all(axis=1)].T)] = True
    parts, _ = ndimage.label(~surface)
    eyes = np.array([camera["position_mm"] for camera in recipe["cameras"]]) / 1000.0
    reached = np.unique(parts[tuple((eyes / VOXEL_M).astype(np.int64).T)])
    return np.isin(parts, reached[reached > 0])


def captured_occupancy(recipe: dict, mesh: SceneMesh) -> np.ndarray:
    """Return bool [X, Y, Z], the closed cells that the box of an object holds.

    Sofas and beds also fill their boxes below such cells.
    """
    closed = ~reachable_cells(recipe, mesh)
    # (X Y Z, 3): centres of the cells in mm.
    step = round(VOXEL_M * 1000)
    centres = np.indices(closed.shape).reshape(3, -1).T * step + step // 2
    solid = np.zeros(closed.shape, bool)
    for box in items_of(recipe, {}):
        held = inside_box(box, centres, 0).reshape(closed.shape)
        part = closed & held
        if box.row.cls in _UPHOLSTERED:
            part = held & np.maximum.accumulate(part[:, :, ::-1], axis=2)[:, :, ::-1]
        solid |= part
    return solid


def unknown_captured_points(
    recipe: dict, mesh: SceneMesh, points: np.ndarray, occupancy: np.ndarray
) -> np.ndarray:
    """Return bool [N], whether points float [N, 3] m lie in cells that are closed but not solid.

    Args:
        recipe: of the captured room.
        mesh: of the room.
        points: float [N, 3] in the room frame, in metres.
        occupancy: bool [X, Y, Z] from `captured_occupancy`.
    """
    known = reachable_cells(recipe, mesh) | occupancy
    return ~known[cell_of(points, known.shape)]
