"""Synthetic rooms as integers: furniture, cameras, splits and the relations between objects.

`furnish` fills a `room_state.Room`; `cameras` chooses eight views of it; `recipes` writes both as a
recipe, the committed description of a scene; `splits` makes the twins of test_asset; `two_zones` is
a second grammar beside `furnish`; `relations` reads a recipe for the language. Lengths are whole
millimetres and angles whole degrees throughout, see `integer_geometry`.
"""
