"""Numbers that rendered files share: instance values, view roles, visibility."""

FLOOR, WALL, CEILING, OPENING = 1, 2, 3, 4
FIRST_OBJECT = 10
INPUT_VIEWS = 4
ELIGIBLE_PIXELS = 40
