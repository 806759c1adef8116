"""What each figure is called and says, in the order in which a reader meets them."""

FIGURES = {
    "forest": (
        "Differences from the reference",
        "The reference minus every other method on the headline metrics, with 95% intervals for "
        "new trainings and new scenes. Right of zero the reference is better; filled dots are "
        "declared tests, hollow ones exploratory, and colour says what is separable after "
        "correction.",
    ),
    "distributions": (
        "Scenes and trainings",
        "Scene scores (mean over trainings), each training’s mean, and the 95% interval of the "
        "mean, cut at the panel’s edge where two or three trainings leave it wider than the data. "
        "Deterministic methods have one diamond.",
    ),
    "profiles": (
        "Performance profiles",
        "The share of (training, scene) pairs that are at least as good as the score on the axis, "
        "so that one lucky mean does not hide bad scenes. Higher curves are better.",
    ),
    "critical_difference": (
        "Ranks and critical differences",
        "Mean ranks over scenes, rank 1 best, for these checkpoints. Methods on one bar differ by "
        "less than Nemenyi’s critical difference at .05.",
    ),
    "robustness": (
        "Furniture never seen in training",
        "Means on scenes with held-out furniture (up) against means on scenes with known furniture "
        "(right), with 95% intervals. On the diagonal nothing is lost.",
    ),
    "generalisation": (
        "How the gap changes on held-out furniture",
        "The reference’s lead on held-out furniture minus its lead on known furniture, with 95% "
        "intervals; right of zero the lead grows.",
    ),
    "data_efficiency": (
        "How the gap changes with less data",
        "The reference’s lead with a tenth of the training scenes minus its lead with all of them, "
        "with 95% intervals; right of zero the lead grows.",
    ),
    "cost_quality": (
        "Cost and quality",
        "Inference seconds a scene against quality, with 95% intervals. Left and up is better.",
    ),
    "learning_curves": (
        "Learning curves",
        "Losses over training steps, one line a seed. The dotted line is where joint training "
        "starts.",
    ),
    "learning_parts": (
        "Learning curves, parts of the losses",
        "What the spatial, text and reconstruction losses are sums of, one line a seed.",
    ),
    "coverage": (
        "What the intervals hold",
        "95% intervals in simulated studies with known truth, one dot a setting. The bands are the "
        "targets, coverage of .93 to .99 and at most .06 false positives; orange are the naive "
        "analyses.",
    ),
}

# The data's sheets.
DATA = {
    "rooms": (
        "Rooms",
        "The first input view of four test scenes of each kind of room, and of captured rooms, "
        "which are shaded in grey because captures have no colour.",
    ),
    "sentences": (
        "References",
        "One reference of each of eight forms, with what it means outlined, in the input view that "
        "sees most of it.",
    ),
}

# The gallery's figures, by what follows the scene's name (best, median, worst) in theirs.
GALLERY = {
    "": (
        "Reconstruction",
        "Four input views and their sensor depth; then, seen from above without ceiling and near "
        "walls, prediction, ground truth, each predicted point’s distance to the truth, and each "
        "true point’s distance to the prediction (bright where it was not reached).",
    ),
    "_graph": (
        "Scene graph",
        "Objects seen from above, at the left what is true, at the right the 25 surest predicted "
        "relations. Blue relations are found or right, orange ones missed or wrong; blue objects "
        "match one of the same class with IoU above .25. Size and side relations hold for nearly "
        "every pair and are not drawn.",
    ),
    "_grounding": (
        "Grounded references",
        "The two references grounded best and the two worst, in the view that sees the true box "
        "most; orange is true, blue predicted.",
    ),
}
