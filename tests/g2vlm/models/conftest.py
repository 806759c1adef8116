"""PyTorch on one thread for the tests of the model."""

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
