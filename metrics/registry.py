"""Every metric by name, collected from the modules that declare them."""

import importlib
import pkgutil
from collections.abc import Iterator

from metrics import language, reconstruction, scene_graph
from metrics.metric import Metric

# Packages whose modules may hold a tuple METRICS.
DOMAINS = (reconstruction, scene_graph, language)
# Rows of a score table follow this order of modules, then the order within a module's METRICS.
# Metrics of a module that is not listed come after these.
ROW_ORDER = (
    *("distances", "voxels", "rendering", "alignment", "occupancy"),
    *("detection", "spq", "oriented", "triplet_recall"),
    *("grounding", "retrieval", "answers"),
)


def collect() -> Iterator[Metric]:
    """Yield the metrics that the domains' modules declare, in the order of rows."""
    for domain in DOMAINS:
        names = [info.name for info in pkgutil.iter_modules(domain.__path__)]
        listed = [name for name in ROW_ORDER if name in names]
        for name in [*listed, *(name for name in names if name not in ROW_ORDER)]:
            yield from getattr(importlib.import_module(f"{domain.__name__}.{name}"), "METRICS", ())


# In the order of rows of a score table.
ROWS: tuple[Metric, ...] = tuple(collect())
# In the order of tables, lists and pages: by family, then by the metrics' own places.
_families = list(dict.fromkeys(metric.family for metric in ROWS))
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in sorted(ROWS, key=lambda metric: (_families.index(metric.family), metric.place))
}
# Metrics of a sampled surface: a second sample of the truth measures their floor.
FLOORS: tuple[str, ...] = tuple(
    metric.name for metric in METRICS.values() if metric.floor_of == metric.name
)
