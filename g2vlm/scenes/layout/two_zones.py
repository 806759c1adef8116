"""The second layout grammar: rooms of two zones, furnished around the border between them.

The first grammar (`furnish`) arranges furniture along walls. Here a row of low furniture divides
the room, sofas and beds turn their backs to it, desks stand back to back as islands, and tables are
in the middle of their zone. Only the shift of the sealed test uses these rooms.

A place in a room is (u, v): u runs along its length, from one zone to the other, v across it.
"""

from collections.abc import Callable

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.layout.furnish import FurnishedRoom, Pool, cut_openings
from g2vlm.scenes.layout.room_state import Item, Room, at_offset
from g2vlm.scenes.layout.settings import TwoZones

# {kind of room: the first grammar's kinds whose groups and extras its two zones have}.
ZONES: dict[str, tuple[str, str]] = {
    "open_living": ("living", "dining"),
    "studio": ("bedroom", "living"),
    "open_office": ("office", "living"),
    "loft": ("office", "bedroom"),
}
# Free floor between the divider and the back of what turns away from it.
BEHIND_MM = 120
# Classes of which the divider is made, as far as they are low enough to see over.
DIVIDERS = ("bookcase", "cabinet")


class TwoZoneRoom(FurnishedRoom):
    """A room with a border across its length.

    Args:
        size: (sx, sy, height) in mm.
        rng: of the room.
        pool: all models that may be drawn.
        preferred: the models that are drawn where one of them fits.
        settings: of the grammar.
    """

    def __init__(
        self,
        size: tuple[int, int, int],
        rng: np.random.Generator,
        pool: Pool,
        preferred: Pool,
        settings: TwoZones,
    ) -> None:
        super().__init__(size, rng, pool)
        self.preferred = preferred
        self.settings = settings
        self.axis = int(size[1] > size[0])  # 0 where the length runs along x
        self.length, self.width = size[self.axis], size[1 - self.axis]
        shift = self.length * settings.border_percent // 100
        self.border = self.length // 2 + self.draw(-shift, shift)
        # Half of the divider's depth; nothing stands nearer to the border.
        self.half_divider = 0

    def pick(
        self, cls: str, placement: str = "floor", allow: Callable[[ModelRow], bool] | None = None
    ) -> ModelRow:
        """Draw a model of a class that `allow` accepts, a preferred one if there is any."""
        preferred = self.preferred.get((cls, placement), [])
        rows = [row for row in preferred if allow is None or allow(row)]
        if not rows:
            return super().pick(cls, placement, allow)
        return rows[self.draw(0, len(rows) - 1)]

    def place(self, u: int, v: int) -> tuple[int, int]:
        """Return the point of the room at (u, v)."""
        return (u, v) if self.axis == 0 else (v, u)

    def facing(self, direction: int) -> int:
        """Return the yaw of a front towards greater u for direction 1, smaller u for -1."""
        return ((180, 90)[self.axis == 0] + (0 if direction > 0 else 180)) % 360

    def divide(self) -> None:
        """Place low furniture side by side on the border, up to the passage at one wall."""
        low = [
            row
            for cls in DIVIDERS
            for row in self.pool[cls, "floor"]
            if row.size_mm[2] <= self.settings.divider_mm
        ]
        at_start = self.chance(50)
        along = self.draw(20, 80)
        while low:
            row = low[self.draw(0, len(low) - 1)]
            end = along + row.size_mm[0]
            if end > self.width - self.settings.passage_mm:
                return
            middle = along + row.size_mm[0] // 2
            v = middle if at_start else self.width - middle
            yaw = self.facing((-1, 1)[self.draw(0, 1)])
            if self.add(Item(row, self.place(self.border, v), 0, yaw, row.size_mm)) >= 0:
                self.half_divider = max(self.half_divider, row.size_mm[1] // 2)
            along = end + self.draw(10, 60)

    def add_at_border(self, row: ModelRow, direction: int) -> int:
        """Place a model with its back to the border, its front away from it, near the middle."""
        u = self.border + direction * (self.half_divider + BEHIND_MM + row.size_mm[1] // 2)
        for _ in range(12):
            v = self.width // 2 + self.draw(-self.width // 5, self.width // 5)
            item = Item(row, self.place(u, v), 0, self.facing(direction), row.size_mm)
            index = self.add(item)
            if index >= 0:
                return index
        return -1

    def middle_of(self, direction: int) -> tuple[int, int]:
        """Return a point near the middle of the zone on one side of the border."""
        end = self.length if direction > 0 else 0
        u = (self.border + direction * self.half_divider + end) // 2
        return self.place(u + self.draw(-150, 150), self.width // 2 + self.draw(-250, 250))

    def furnish_zone(self, kind: str, direction: int) -> None:
        """Place the functional group of a kind on one side of the border."""
        groups = {
            "living": self._conversation,
            "dining": self._central_table,
            "office": self._desk_island,
            "bedroom": self._sleeping_corner,
        }
        groups[kind](direction)

    def _conversation(self, direction: int) -> None:
        """A sofa with its back to the border, two armchairs opposite, a table between them."""
        index = self.add_at_border(self.pick("sofa"), direction)
        if index < 0:
            return
        sofa, row, chair = self.items[index], self.pick("coffee table"), self.pick("armchair")
        y = -(sofa.size[1] // 2 + row.size_mm[1] // 2 + self.draw(280, 400))
        table = self.add(at_offset(sofa, row, (0, y), 0))
        y -= row.size_mm[1] // 2 + chair.size_mm[1] // 2 + self.draw(280, 400)
        for side in (-1, 1):
            x = side * (chair.size_mm[0] // 2 + self.draw(60, 250))
            self.add(at_offset(sofa, chair, (x, y), 180 + side * 15 * self.draw(0, 1)))
        if table >= 0:
            self.put_on(table, ("vase", "bowl", "plant", "tray")[self.draw(0, 3)])
            if self.chance(60):
                self.put_rug_under(self.items[table])

    def _central_table(self, direction: int) -> None:
        """A table in the middle of the zone with chairs at its sides."""
        row = self.pick("table", "floor", lambda r: min(r.size_mm[:2]) >= 600 and r.carries_mm > 0)
        for _ in range(12):
            yaw = 90 * self.draw(0, 1)
            index = self.add(Item(row, self.middle_of(direction), 0, yaw, row.size_mm))
            if index >= 0:
                self.seat_around(self.items[index], self.pick("chair"), self.draw(3, 6))
                for _ in range(self.draw(1, 2)):
                    self.put_on(index, ("vase", "bowl", "bottle", "plate")[self.draw(0, 3)])
                self.ceiling_light(self.items[index].centre)
                return

    def _desk_island(self, direction: int) -> None:
        """Two desks back to back in the middle of the zone, a chair and a computer at each."""
        row = self.pick("desk", "floor", lambda r: r.carries_mm > 0)
        for _ in range(12):
            yaw = 90 * self.draw(0, 3)
            first = self.add(Item(row, self.middle_of(direction), 0, yaw, row.size_mm))
            if first >= 0:
                break
        else:
            return
        behind = (0, row.size_mm[1] + self.draw(10, 40))
        second = self.add(at_offset(self.items[first], row, behind, 180))
        for index in (first, second):
            if index < 0:
                continue
            desk = self.items[index]
            chair = self.pick("chair", "floor", lambda r: r.size_mm[2] > 700)
            y = -(desk.size[1] // 2 + chair.size_mm[1] // 2 + self.draw(20, 120))
            self.add(at_offset(desk, chair, (self.draw(-100, 100), y), 180))
            self.put_on(index, ("computer", "lamp")[self.draw(0, 2) // 2])

    def _sleeping_corner(self, direction: int) -> None:
        """A bed with its head to the border, bedside tables with lamps at its sides."""
        index = self.add_at_border(self.pick("bed"), direction)
        if index >= 0:
            self.flank_bed(index)
        self.put_at_wall("wardrobe", tries=20)


def furnish_two_zones(
    kind: str, rng: np.random.Generator, pool: Pool, preferred: Pool, settings: TwoZones
) -> Room:
    """Draw a room of two zones, its openings and its furniture.

    Args:
        kind: a key of `ZONES`.
        rng: of the room.
        pool: all models that may be drawn.
        preferred: the models that are drawn where one of them fits.
        settings: of the grammar.
    """
    length = int(rng.integers(settings.shortest_mm, settings.longest_mm + 1))
    width = int(rng.integers(settings.narrowest_mm, settings.widest_mm + 1))
    height = int(rng.integers(2500, 3001))
    floor = (length, width) if rng.integers(0, 2) else (width, length)
    room = TwoZoneRoom((*floor, height), rng, pool, preferred, settings)
    cut_openings(room)
    target = room.draw(settings.fewest, settings.most)
    room.divide()
    first = (-1, 1)[room.draw(0, 1)]
    zones = ZONES[kind]
    for zone, direction in zip(zones, (first, -first), strict=True):
        room.furnish_zone(zone, direction)
    present = len(room.items)
    room.fill(zones[0], (present + target + 1) // 2)
    room.fill(zones[1], target)
    return room
