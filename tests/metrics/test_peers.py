"""The same numbers from independent implementations: eval3r, PyTorch3D and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.language import retrieval
from metrics.reconstruction import distances
from metrics.reconstruction import pointcloud as geo

# `e3r metric geometry` 0.2.1 (cKDTree in float64) on the two clouds of `clouds`.
EVAL3R = {
    "accuracy": 0.0787734317126337,
    "completeness": 0.07122555758700105,
    "l1_mean_bidirectional": 0.07499949464981738,
    "l2_squared": 0.013032598542500978,
    "0.05": (0.20098159509202457, 0.18, 0.2275),
    "0.1": (0.811355671687673, 0.774, 0.8525),
}


def clouds() -> tuple[np.ndarray, np.ndarray]:
    return (
        np.random.default_rng(3).uniform(0, 1, (500, 3)),
        np.random.default_rng(4).uniform(0, 1, (400, 3)),
    )


def both_distances() -> tuple[np.ndarray, np.ndarray]:
    mine, true = (geo.Cloud(cloud) for cloud in clouds())
    return true.nearest(mine.points).distance, mine.nearest(true.points).distance


def test_distances_agree_with_eval3r():
    near, far = both_distances()
    assert distances.mean_distance(near) == pytest.approx(EVAL3R["accuracy"], rel=1e-6)
    assert distances.mean_distance(far) == pytest.approx(EVAL3R["completeness"], rel=1e-6)
    assert distances.chamfer_l1(near, far) == pytest.approx(
        EVAL3R["l1_mean_bidirectional"], rel=1e-6
    )
    assert distances.chamfer_l2sq(near, far) == pytest.approx(EVAL3R["l2_squared"], rel=1e-6)


@pytest.mark.parametrize("threshold", [0.05, 0.1])
def test_f_scores_agree_with_eval3r(threshold):
    shares = [distances.share_within(side, threshold) for side in both_distances()]
    assert (distances.fscore(*shares), *shares) == pytest.approx(EVAL3R[str(threshold)], rel=1e-12)


def test_neighbours_and_chamfer_agree_with_pytorch3d():
    torch = pytest.importorskip("torch")
    ops, loss = pytest.importorskip("pytorch3d.ops"), pytest.importorskip("pytorch3d.loss")
    first, second = (torch.from_numpy(cloud).float()[None] for cloud in clouds())
    found = ops.knn_points(first, second, K=1)
    near, far = both_distances()
    np.testing.assert_allclose(near, found.dists[0, :, 0].sqrt(), atol=1e-6)
    theirs, _ = loss.chamfer_distance(first, second)
    assert distances.chamfer_l2sq(near, far) == pytest.approx(float(theirs), rel=1e-5)
    around = geo.Cloud(clouds()[0]).around
    twelve = ops.knn_points(first, first, K=geo.NORMAL_NEIGHBOURS)
    np.testing.assert_allclose(around.distance, twelve.dists[0].sqrt(), atol=1e-6)


def test_retrieval_agrees_with_scikit_learn():
    learn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(5)
    scores = generator.random((60, 50))
    relevant = np.zeros((60, 50), bool)
    relevant[np.arange(60), generator.integers(0, 50, 60)] = True
    ranks = [retrieval.first_rank(*row) for row in zip(scores, relevant, strict=True)]
    ideal = learn.label_ranking_average_precision_score(relevant, scores)
    assert np.mean([retrieval.reciprocal_rank(rank) for rank in ranks]) == pytest.approx(ideal)
    for k in retrieval.RANKS:
        theirs = learn.top_k_accuracy_score(relevant.argmax(1), scores, k=k, labels=range(50))
        assert np.mean([retrieval.recall_at(rank, k) for rank in ranks]) == pytest.approx(theirs)
    relevant = generator.random((60, 50)) < 0.1
    relevant[:, 0] = True
    theirs = learn.label_ranking_average_precision_score(relevant, scores)
    mine = [retrieval.average_precision(*row) for row in zip(scores, relevant, strict=True)]
    assert np.mean(mine) == pytest.approx(theirs)
