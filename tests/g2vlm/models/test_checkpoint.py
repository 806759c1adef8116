"""Model folders are read quickly."""

import subprocess
import sys
from pathlib import Path

from g2vlm.models.checkpoint import save_model
from tests.g2vlm.models.build import small_model


def test_loading_a_model_does_not_import_the_compiler(tmp_path: Path) -> None:
    save_model(small_model(), tmp_path, {})
    code = (
        "import sys; from g2vlm.models.checkpoint import load_model;"
        "load_model(sys.argv[1]); assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=300)
