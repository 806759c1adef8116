"""The layouts of captures, one module each; `find_layouts` collects them by itself.

To add a layout, add one module here with one subclass of `Layout`: its `name`, `files` and
`priority`, `recognise` and `read`.
"""

import pkgutil
from functools import cache
from importlib import import_module
from itertools import pairwise

from g2vlm.captures.layout import Layout


@cache
def find_layouts() -> tuple[Layout, ...]:
    """Return one instance of every layout, in the order in which they are tried."""
    for item in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(item.name)
    layouts = sorted((cls() for cls in Layout.__subclasses__()), key=lambda layout: layout.priority)
    for first, second in pairwise(layouts):
        if first.priority == second.priority:
            raise TypeError(
                f"{type(second).__module__}: {first.name} has priority {first.priority} too; "
                "choose another number"
            )
    return tuple(layouts)
