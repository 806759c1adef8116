"""Five real frames of a dining room through the committed checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.paths import REPOSITORY

pytest.importorskip("torch")

from g2vlm.captures import load_capture
from g2vlm.use import G2VLMModel
from metrics.files import InputError

ROOT = REPOSITORY
FRAMES = ROOT.parent / "shared" / "data" / "slambook2-rgbd"
CHECKPOINT = ROOT / "results" / "reference" / "cpu" / "checkpoint"
INTRINSICS = (518.0, 519.0, 325.5, 253.5)
# The frames may not be copied into the project.
pytestmark = pytest.mark.skipif(not FRAMES.is_dir(), reason="no slambook2-rgbd frames beside it")


def test_real_frames_of_a_room(tmp_path: Path) -> None:
    capture = load_capture(FRAMES, intrinsics=INTRINSICS)
    model = G2VLMModel.from_pretrained(CHECKPOINT)
    result = model.run(capture, questions=["How many chairs are there?"], phrases=["the table"])
    result.save(tmp_path / "out")
    assert len(result.cloud.points) > 100_000 and result.objects and result.relations
    low, high = np.quantile(result.cloud.points, [0.02, 0.98], axis=0)
    # Levelled on its floor and as large as a living room: the depth's unit was found.
    assert -0.3 < low[2] < 0.3 and 1.5 < high[2] < 4 and (high - low)[:2].max() < 12
    assert result.answers[0].answer and result.captions[0]
    assert result.ood_score.out_of_distribution, "a photograph is unlike the rooms of training"
    assert (tmp_path / "out" / "viewer.html").stat().st_size > 100_000


def test_missing_intrinsics_raise() -> None:
    with pytest.raises(InputError, match="--intrinsics"):
        load_capture(FRAMES)
