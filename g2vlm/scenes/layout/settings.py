"""The section `sealed.two_zones` of an experiment's config.

This module imports no numerical library, because the schema of the config is built from it.
"""

from dataclasses import dataclass

from g2vlm.settings import setting

_MM = {"minimum": 2500, "maximum": 20000}


@dataclass(frozen=True, kw_only=True)
class TwoZones:
    """Rooms of two zones with a low divider between them; config/cpu.yaml holds the values."""

    shortest_mm: int = setting("Least length of a room, along which its zones follow.", **_MM)
    longest_mm: int = setting("Greatest length of a room.", **_MM)
    narrowest_mm: int = setting("Least width of a room.", **_MM)
    widest_mm: int = setting("Greatest width of a room.", **_MM)
    border_percent: int = setting(
        "How far the border may be from the middle of the length, %.", minimum=0, maximum=20
    )
    passage_mm: int = setting(
        "Width of the passage that the divider leaves.", minimum=600, maximum=3000
    )
    divider_mm: int = setting("Greatest height of the divider.", minimum=300, maximum=3000)
    fewest: int = setting(
        "Least number of objects that a room is filled up to.", minimum=8, maximum=22
    )
    most: int = setting(
        "Greatest number of objects that a room is filled up to.", minimum=8, maximum=22
    )
