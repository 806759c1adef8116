"""The section `render.sensor` of an experiment's config.

This module imports no numerical library, because the schema of the config is built from it.
"""

from dataclasses import dataclass

from g2vlm.settings import setting


@dataclass(frozen=True, kw_only=True)
class SensorModel:
    """A structured-light depth sensor; config/cpu.yaml holds the values.

    Axial noise has sigma = axial_base_m + axial_slope * (z - axial_near_m)^2.
    """

    axial_base_m: float = setting(
        "Smallest sigma of the axial noise, metres.", minimum=0, maximum=1000
    )
    axial_slope: float = setting(
        "Growth of the axial noise with depth, 1 / metre.", minimum=0, maximum=1000
    )
    axial_near_m: float = setting(
        "Depth of the smallest axial noise, metres.", minimum=0, maximum=1000
    )
    baseline_focal_px_m: float = setting(
        "Baseline times focal length, pixel metres; disparity is this over depth.",
        exclusiveMinimum=0,
        maximum=1000,
    )
    disparity_step_px: float = setting(
        "Step of quantised disparity, pixels.", exclusiveMinimum=0, maximum=1000
    )
    edge_drop: float = setting("Share of pixels lost at depth edges.", minimum=0, maximum=1)
    grazing_deg: float = setting(
        "Angle between ray and normal beyond which depth is lost, degrees.", minimum=0, maximum=90
    )
    hole_rate: float = setting("Share of pixels lost in random holes.", minimum=0, maximum=1)
    glass_drop: float = setting("Share of pixels lost on glass.", minimum=0, maximum=1)
    max_range_m: float = setting(
        "Largest measured depth, metres.", exclusiveMinimum=0, maximum=1000
    )
