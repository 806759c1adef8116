"""Furnish rooms of each kind: functional groups first, then extras up to a target number.

A functional group is what a person would arrange together, such as a bed with bedside tables and
their lamps. Every choice is a draw of the room's generator, so the order of draws decides the room:
moving one changes all that follow.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.assets.classes import CLASSES, SEATS
from g2vlm.scenes.layout.room_state import Item, Room, at_offset

# Least and most of (width, depth) of a room by kind, in mm.
ROOM_SIZE_MM = {
    "living": ((4200, 6400), (3800, 5400)),
    "bedroom": ((3400, 5000), (3300, 4600)),
    "office": ((3600, 6000), (3300, 5000)),
    "kitchen": ((3400, 5200), (3000, 4400)),
    "dining": ((3800, 5600), (3500, 4800)),
    "bathroom": ((3000, 4400), (2700, 3800)),
}

# How many of a class extras fill a room up to; functional groups may bring more.
MOST_OF_CLASS = dict.fromkeys(CLASSES, 4) | {
    "bathtub": 1,
    "chair": 8,
    "fireplace": 1,
    "piano": 1,
    "radiator": 2,
    "stool": 5,
    "wardrobe": 2,
    "washbasin": 2,
}

# Least and greatest height (mm) of the underside of what hangs on a wall, by class.
HANGING_MM = {
    "default": (1400, 1700),
    "electronic device": (1250, 1350),
    "kitchen utensil": (1150, 1400),
    "range hood": (1550, 1650),
    "shower": (1100, 1200),
    "toilet roll holder": (600, 750),
    "towel": (800, 1050),
    "towel rail": (800, 1050),
    "washbasin": (420, 480),
    "water heater": (1250, 1400),
}

# What fills a room of each kind up: (class, placement, weight of being drawn).
EXTRAS = {
    "living": (
        ("bookcase", "floor", 3),
        ("plant", "floor", 3),
        ("armchair", "floor", 3),
        ("lamp", "top", 3),
        ("vase", "top", 3),
        ("plant", "top", 2),
        ("speaker", "top", 2),
        ("wall light", "wall", 2),
        ("cabinet", "floor", 2),
        ("radiator", "floor", 1),
        ("fireplace", "floor", 1),
        ("piano", "floor", 1),
        ("toy", "floor", 1),
        ("bag", "floor", 1),
        ("box", "floor", 1),
        ("bowl", "top", 2),
        ("bottle", "top", 1),
        ("ceiling light", "ceiling", 1),
        ("stool", "floor", 1),
        ("coffee table", "floor", 1),
        ("lounger", "floor", 1),
        ("game table", "floor", 1),
        ("pet", "floor", 2),
        ("basket", "floor", 1),
        ("curtain", "floor", 1),
        ("bicycle", "floor", 1),
        ("sports item", "floor", 1),
        ("electronic device", "top", 2),
        ("electronic device", "wall", 1),
        ("candle", "top", 2),
        ("cup", "top", 1),
        ("glass", "top", 1),
        ("tray", "top", 1),
        ("fan", "top", 1),
        ("rug", "floor", 1),
    ),
    "bedroom": (
        ("wardrobe", "floor", 3),
        ("cabinet", "floor", 3),
        ("chair", "floor", 2),
        ("armchair", "floor", 1),
        ("lamp", "top", 3),
        ("plant", "floor", 2),
        ("vase", "top", 2),
        ("toy", "floor", 2),
        ("toy", "top", 2),
        ("bag", "floor", 2),
        ("box", "floor", 2),
        ("bookcase", "floor", 1),
        ("wall light", "wall", 2),
        ("radiator", "floor", 1),
        ("ceiling light", "ceiling", 1),
        ("bench", "floor", 1),
        ("speaker", "top", 1),
        ("pair of shoes", "floor", 2),
        ("garment", "floor", 3),
        ("hat", "top", 2),
        ("exercise machine", "floor", 2),
        ("sports item", "floor", 2),
        ("clothes rack", "floor", 1),
        ("basket", "floor", 1),
        ("pet", "floor", 1),
        ("curtain", "floor", 1),
        ("electronic device", "top", 1),
        ("fan", "top", 1),
        ("candle", "top", 1),
        ("lounger", "floor", 1),
        ("rug", "floor", 1),
    ),
    "office": (
        ("bookcase", "floor", 3),
        ("cabinet", "floor", 3),
        ("chair", "floor", 3),
        ("trash can", "floor", 2),
        ("plant", "floor", 2),
        ("plant", "top", 2),
        ("lamp", "top", 3),
        ("computer", "top", 2),
        ("box", "floor", 3),
        ("bag", "floor", 2),
        ("speaker", "top", 1),
        ("bottle", "top", 1),
        ("vase", "top", 1),
        ("radiator", "floor", 1),
        ("ceiling light", "ceiling", 2),
        ("armchair", "floor", 1),
        ("electronic device", "top", 4),
        ("electronic device", "wall", 1),
        ("office supply", "top", 3),
        ("cup", "top", 2),
        ("fan", "top", 2),
        ("step ladder", "floor", 1),
        ("bicycle", "floor", 1),
        ("hat", "top", 1),
        ("table", "floor", 1),
    ),
    "kitchen": (
        ("kitchen appliance", "top", 5),
        ("bowl", "top", 3),
        ("bottle", "top", 3),
        ("stool", "floor", 3),
        ("chair", "floor", 2),
        ("trash can", "floor", 2),
        ("plant", "top", 2),
        ("plant", "floor", 1),
        ("vase", "top", 1),
        ("ceiling light", "ceiling", 2),
        ("radiator", "floor", 1),
        ("bench", "floor", 1),
        ("kitchen utensil", "top", 3),
        ("kitchen utensil", "wall", 2),
        ("food item", "top", 3),
        ("plate", "top", 2),
        ("cup", "top", 2),
        ("glass", "top", 1),
        ("tray", "top", 1),
        ("step ladder", "floor", 1),
        ("cleaning tool", "floor", 2),
        ("water heater", "wall", 1),
        ("box", "top", 1),
        ("pet", "floor", 1),
    ),
    "dining": (
        ("cabinet", "floor", 3),
        ("plant", "floor", 3),
        ("vase", "top", 3),
        ("bowl", "top", 3),
        ("bottle", "top", 2),
        ("lamp", "top", 2),
        ("plant", "top", 1),
        ("chair", "floor", 2),
        ("wall light", "wall", 2),
        ("bookcase", "floor", 1),
        ("fireplace", "floor", 1),
        ("piano", "floor", 1),
        ("radiator", "floor", 1),
        ("ceiling light", "ceiling", 1),
        ("bench", "floor", 2),
        ("plate", "top", 3),
        ("glass", "top", 2),
        ("cup", "top", 1),
        ("food item", "top", 2),
        ("candle", "top", 2),
        ("tray", "top", 1),
        ("pet", "floor", 1),
        ("rug", "floor", 1),
    ),
    "bathroom": (
        ("cabinet", "floor", 3),
        ("washbasin", "floor", 1),
        ("washing machine", "floor", 3),
        ("towel rail", "wall", 2),
        ("towel", "wall", 2),
        ("toilet roll holder", "wall", 1),
        ("shower", "wall", 1),
        ("water heater", "wall", 1),
        ("wall light", "wall", 1),
        ("radiator", "floor", 2),
        ("stool", "floor", 3),
        ("basket", "floor", 3),
        ("trash can", "floor", 3),
        ("clothes rack", "floor", 2),
        ("cleaning tool", "floor", 2),
        ("rug", "floor", 2),
        ("plant", "floor", 2),
        ("garment", "floor", 2),
        ("pair of shoes", "floor", 1),
        ("toiletry", "top", 3),
        ("bottle", "top", 3),
        ("plant", "top", 1),
        ("vase", "top", 1),
        ("candle", "top", 1),
        ("ceiling light", "ceiling", 1),
    ),
}

# {(class, placement): models}; a placement is "floor", "top", "wall" or "ceiling".
Pool = dict[tuple[str, str], list[ModelRow]]


class FurnishedRoom(Room):
    """A room that draws models from a pool and places them.

    Methods that place one thing return its index in the room's items, or -1 where none was placed.
    """

    def __init__(self, size: tuple[int, int, int], rng: np.random.Generator, pool: Pool) -> None:
        super().__init__(size, rng)
        self.pool = pool

    def pick(
        self, cls: str, placement: str = "floor", allow: Callable[[ModelRow], bool] | None = None
    ) -> ModelRow:
        """Draw a model of a class, among those that `allow` accepts; the table has some."""
        rows = [row for row in self.pool[cls, placement] if allow is None or allow(row)]
        return rows[self.draw(0, len(rows) - 1)]

    def put_on(self, support: int, cls: str, centred: bool = False) -> int:
        """Place a thing of a class on the top of an item."""
        return self.add_on(support, self.pick(cls, "top"), centred=centred)

    def put_at_wall(
        self, cls: str, allow: Callable[[ModelRow], bool] | None = None, tries: int = 12
    ) -> int:
        """Place a thing of a class on the floor with its back to a wall."""
        return self.add_at_wall(self.pick(cls, "floor", allow), tries)

    def put_rug_under(self, item: Item) -> int:
        row = self.pick("rug")
        return self.add(Item(row, item.centre, 0, item.yaw, row.size_mm))

    # Functional groups.

    def bed(self) -> None:
        """A bed with its head to a wall, bedside tables at its sides, lamps on them."""
        index = self.put_at_wall("bed", tries=25)
        if index < 0:
            return
        self.flank_bed(index)
        if self.chance(40):
            self.put_rug_under(self.items[index])

    def flank_bed(self, index: int) -> None:
        """Place bedside tables at the sides of a bed, lamps on them."""
        bed, table = self.items[index], self.pick("bedside table")
        for side in (-1, 1):
            if self.chance(85):
                x = side * (bed.size[0] // 2 + table.size_mm[0] // 2 + self.draw(30, 90))
                y = bed.size[1] // 2 - table.size_mm[1] // 2
                placed = self.add(at_offset(bed, table, (x, y), 0))
                if placed >= 0 and self.chance(85):
                    self.put_on(placed, "lamp", centred=True)

    def lounge(self) -> None:
        """A sofa against a wall, a coffee table before it, a television opposite, armchairs."""
        index = self.put_at_wall("sofa", tries=25)
        if index < 0:
            return
        sofa, row = self.items[index], self.pick("coffee table")
        y = -(sofa.size[1] // 2 + row.size_mm[1] // 2 + self.draw(300, 450))
        table = self.add(at_offset(sofa, row, (0, y), 0))
        if table >= 0:
            self._around_coffee_table(table)
        if self.chance(85):
            self.television(sofa)

    def _around_coffee_table(self, index: int) -> None:
        table = self.items[index]
        if self.chance(60):
            self.put_on(index, ("vase", "bowl", "plant", "tray")[self.draw(0, 3)])
        if self.chance(50):
            self.put_rug_under(table)
        row = self.pick("armchair")
        for side in (-1, 1):
            if self.chance(55):
                x = side * (table.size[0] // 2 + row.size_mm[1] // 2 + self.draw(250, 450))
                self.add(at_offset(table, row, (x, self.draw(-150, 150)), -90 * side))

    def television(self, seat: Item) -> None:
        """A low cabinet against the wall that a seat faces, a television on it."""
        cabinet = self.pick("cabinet", "floor", lambda r: 0 <= r.carries_mm <= 900)
        wall = seat.yaw // 90  # A seat of yaw 0, 90, 180, 270 faces wall 0, 1, 2, 3.
        for _ in range(10):
            along = self._along(wall, seat.centre, self.draw(-600, 600))
            index = self.add(self.at_wall(cabinet, wall, along))
            if index >= 0:
                self.put_on(index, "television", centred=True)
                if self.chance(40):
                    self.put_on(index, ("speaker", "electronic device")[self.draw(0, 1)])
                return

    def _along(self, wall: int, place: tuple[int, int], shift: int = 0) -> int:
        """Return how far along a wall a place of the room is, shifted along the room's axis."""
        along = place[wall % 2] + shift
        # Walls 2 and 3 run against the axes.
        return along if wall < 2 else self.wall_length(wall) - along

    def dining(self, seats: tuple[int, int]) -> None:
        """A table with chairs that face it, something on it, often a light above."""
        row = self.pick("table", "floor", lambda r: min(r.size_mm[:2]) >= 600 and r.carries_mm > 0)
        chair = self.pick("chair")
        index = self.add_free(row, 25)
        if index < 0:
            return
        table = self.items[index]
        self.seat_around(table, chair, self.draw(*seats))
        for _ in range(self.draw(1, 2)):
            self.put_on(index, ("vase", "bowl", "bottle", "plate")[self.draw(0, 3)])
        if self.chance(50):
            self.ceiling_light(table.centre)
        if self.chance(25):
            self.put_rug_under(table)

    def seat_around(self, table: Item, chair: ModelRow, wanted: int) -> None:
        """Place chairs at drawn sides of a table, two at a long side where they fit."""
        w, d = table.size[0], table.size[1]
        two_fit = w >= 2 * chair.size_mm[0] + 200
        shifts = (-w // 4, w // 4) if two_fit else (0,)
        out = chair.size_mm[1] // 2
        # (position in the table's axes, turn that faces the table).
        places = [((s, -(d // 2 + out)), 180) for s in shifts]
        places += [((s, d // 2 + out), 0) for s in shifts]
        places += [((w // 2 + out, 0), 270), ((-(w // 2 + out), 0), 90)]
        for k in self.rng.permutation(len(places))[:wanted]:
            (x, y), turn = places[int(k)]
            away = self.draw(20, 140)
            x += away if x > w // 2 else -away if x < -w // 2 else 0
            y += away if y > d // 2 else -away if y < -d // 2 else 0
            turn += (-15, 15)[self.draw(0, 1)] if self.chance(20) else 0
            model = self.pick("chair") if self.chance(15) else chair
            self.add(at_offset(table, model, (x, y), turn))

    def desk(self) -> None:
        """A desk against a wall, a chair before it that faces it, a computer and a lamp on it."""
        index = self.put_at_wall("desk", lambda r: r.carries_mm > 0, 20)
        if index < 0:
            return
        desk, chair = self.items[index], self.pick("chair", "floor", lambda r: r.size_mm[2] > 700)
        y = -(desk.size[1] // 2 + chair.size_mm[1] // 2 + self.draw(20, 160))
        turn = 180 + (self.draw(-1, 1) * 15 if self.chance(40) else 0)
        self.add(at_offset(desk, chair, (self.draw(-150, 150), y), turn))
        if self.chance(90):
            self.put_on(index, "computer")
        if self.chance(60):
            self.put_on(index, "lamp")

    def kitchen_run(self, wall: int) -> None:
        """Appliances and cabinets in a row along a wall, upper ones above, things on top.

        A range hood hangs over the oven, or over a cooktop let into a cabinet.
        """
        along = self.draw(30, 300)
        order = ["refrigerator", "cabinet", "sink", "oven", "cabinet", "washing machine", "cabinet"]
        if self.chance(50):
            order = order[::-1]
        unit = self.pick("cabinet", "floor", _is_kitchen_unit)
        for cls in order:
            if cls != "cabinet":
                row = self.pick(cls)
            else:
                row = unit if self.chance(60) else self.pick(cls, "floor", _is_kitchen_unit)
            if not self.chance(85):
                continue
            index = self.add(self.at_wall(row, wall, along + row.size_mm[0] // 2 + 1))
            if index < 0:
                along += 400
                continue
            along += row.size_mm[0] + self.draw(6, 40)
            cooks = cls == "oven" or (cls == "cabinet" and self.chance(25))
            if cooks and (cls == "oven" or self.put_on(index, "cooktop", centred=True) >= 0):
                self.hood_over(index, wall)
            elif self.chance(60):
                self.put_on(index, ("kitchen appliance", "bowl", "bottle")[self.draw(0, 5) // 3])
        for _ in range(self.draw(0, 3)):
            self.add_at_wall(self.pick("cabinet", "wall"), 6, self.draw(1420, 1500), wall)

    def hood_over(self, index: int, wall: int) -> None:
        """Hang a range hood over an item, against the same wall."""
        row = self.pick("range hood", "wall")
        if self.chance(60):
            along = self._along(wall, self.items[index].centre)
            self.add(self.at_wall(row, wall, along, self._hanging_height(row)))

    def _hanging_height(self, row: ModelRow) -> int:
        """Draw the height of a wall thing's underside above the floor."""
        base = self.draw(*HANGING_MM.get(row.cls, HANGING_MM["default"]))
        return min(base, self.size[2] - row.size_mm[2])

    def bathroom(self) -> None:
        """A bathtub along a wall, washbasins hung or on a foot, a toilet with its roll, towels."""
        self.put_at_wall("bathtub", tries=25)
        for _ in range(self.draw(1, 2)):
            if self.chance(40):
                self.extra("washbasin", "wall")
            else:
                self.put_at_wall("washbasin", tries=20)
        self.put_at_wall("toilet", tries=20)
        self.put_at_wall("cabinet", lambda r: r.carries_mm > 0 and r.size_mm[0] <= 1200)
        for cls in ("towel rail", "toilet roll holder", "towel"):
            if self.chance(60):
                self.extra(cls, "wall")
        if self.chance(50):
            self.extra("rug", "floor")

    def ceiling_light(self, at: tuple[int, int] | None = None) -> int:
        """Hang a ceiling light at a place, default near the middle of the room."""
        row = self.pick("ceiling light", "ceiling")
        base = self.size[2] - row.size_mm[2]
        # Drawn even where `at` is given: the draws are part of the committed scenes.
        middle = (
            self.size[0] // 2 + self.draw(-400, 400),
            self.size[1] // 2 + self.draw(-400, 400),
        )
        return self.add(Item(row, at or middle, base, 90 * self.draw(0, 3), row.size_mm))

    # Extras.

    def extra(self, cls: str, placement: str) -> int:
        """Place one thing of a class where its placement says, at a drawn position."""
        if placement == "ceiling":
            return self.ceiling_light()
        row = self.pick(cls, placement)
        if placement == "top":
            tops = [k for k, item in enumerate(self.items) if item.carries >= 0]
            return self.add_on(tops[self.draw(0, len(tops) - 1)], row) if tops else -1
        if placement == "wall":
            return self.add_at_wall(row, 6, self._hanging_height(row))
        needs_wall = row.front and cls not in ("chair", "armchair", "stool")
        at_wall = needs_wall or self.chance(35 if cls in SEATS else 75)
        return self.add_at_wall(row) if at_wall else self.add_free(row)

    def fill(self, kind: str, target: int) -> None:
        """Add extras until there are `target` things; half of them repeat a class of the room."""
        for _ in range(5 * target):
            if len(self.items) >= target:
                return
            present = Counter(item.row.cls for item in self.items)
            rows = [row for row in EXTRAS[kind] if present[row[0]] < MOST_OF_CLASS[row[0]]]
            if self.chance(50):
                rows = [row for row in rows if row[0] in present] or rows
            weighted = [row for row in rows for _ in range(row[2])]
            cls, placement, _ = weighted[self.draw(0, len(weighted) - 1)]
            self.extra(cls, placement)


def _is_kitchen_unit(row: ModelRow) -> bool:
    """Return whether a cabinet has the height and width of one that stands in a row."""
    return 750 <= row.size_mm[2] <= 950 and row.size_mm[0] <= 1050


def furnish(kind: str, rng: np.random.Generator, pool: Pool) -> Room:
    """Draw a room of a kind, its openings and its furniture."""
    (x0, x1), (y0, y1) = ROOM_SIZE_MM[kind]
    draw = rng.integers
    size = (int(draw(x0, x1 + 1)), int(draw(y0, y1 + 1)), int(draw(2400, 2901)))
    room = FurnishedRoom(size, rng, pool)
    cut_openings(room)
    target = room.draw(10, 20)
    if kind == "living":
        room.lounge()
        if room.chance(35):
            room.put_at_wall("sofa")
    elif kind == "bedroom":
        room.bed()
        if room.chance(30):
            room.bed()
        if room.chance(30):
            room.desk()
    elif kind == "office":
        for _ in range(room.draw(1, 3)):
            room.desk()
    elif kind == "kitchen":
        room.kitchen_run(room.draw(0, 3))
        if room.chance(70):
            room.dining((2, 4))
    elif kind == "bathroom":
        room.bathroom()
    else:
        room.dining((3, 6))
        room.put_at_wall("cabinet", lambda r: r.carries_mm > 0)
    if room.chance(60):
        room.ceiling_light()
    room.fill(kind, target)
    return room


def cut_openings(room: Room) -> None:
    """Cut a door in one wall and one to three windows in any."""
    for _ in range(20):
        wall, width = room.draw(0, 3), room.draw(800, 950)
        start = room.draw(150, room.wall_length(wall) - width - 150)
        if room.add_opening("door", wall, start, width, 0, 2050):
            break
    for _ in range(room.draw(1, 3)):
        wall, width = room.draw(0, 3), room.draw(900, 1700)
        start = room.draw(300, max(301, room.wall_length(wall) - width - 300))
        base = room.draw(850, 1000)
        room.add_opening("window", wall, start, width, base, base + room.draw(1000, 1250))
