"""Crossed variance components of a table by statsmodels, to hold this project's own against."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd


def fitted(cells: np.ndarray) -> tuple[dict[str, float], float]:
    """Return REML's {"seed", "scene"} components and residual variance of cells [S, N]."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    frame = pd.DataFrame(
        [(s, n, value, 1) for (s, n), value in np.ndenumerate(cells)],
        columns=["seed", "scene", "y", "one"],
    )
    parts = {"seed": "0 + C(seed)", "scene": "0 + C(scene)"}
    model = MixedLM.from_formula("y ~ 1", groups="one", vc_formula=parts, data=frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one group: statsmodels warns, the estimate is REML's
        result = model.fit(reml=True, method="powell", maxiter=400)
    return dict(zip(model.exog_vc.names, result.vcomp, strict=True)), result.scale
