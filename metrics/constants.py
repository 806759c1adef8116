"""Labels and sizes on which several packages must agree, each defined once.

The module imports nothing, so every package can read it at no cost.
"""

# Instance value (uint8) of a rendered pixel or a mesh face: 0 is nothing or, in a captured room, a
# surface without a label; object k has the value FIRST_OBJECT + k.
FLOOR, WALL, CEILING, OPENING = 1, 2, 3, 4
FIRST_OBJECT = 10

# A scene has this many input views, and as many held-out views, which only metrics read. The input
# views come first.
INPUT_VIEWS = 4

# Side of a cell of the true occupancy grid, in metres.
VOXEL_M = 0.04

# Nearest depth at which a camera shows or measures a surface, in metres.
NEAREST_M = 0.05

# Label of an occupancy point; metrics ignore VOID points.
FREE, SOLID, VOID = 0, 1, 2

# Flag of a true surface point (0: no camera sees it): an input view sees it, or only a held-out
# view does.
OBSERVED, COMPLETION = 1, 2
