"""Model folders of the real `transformers` classes, a few thousand random weights each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPVisionConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessor,
    GLPNConfig,
    GLPNForDepthEstimation,
    GLPNImageProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
)

WORDS = "how many chairs are there is a lamp red yes no left right 1 2 3 4 room where it . , ?"
TEMPLATE = (
    "{% for turn in messages %}<s>{% for part in turn['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def tokenizer(*marks: str, **extra: Any) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words with <pad>, <s>, </s> and marks of its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["<pad>", "<s>", "</s>", "<unk>", *marks, *dict.fromkeys(WORDS.split())]
    words = Tokenizer(models.WordLevel({name: k for k, name in enumerate(names)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    if marks:
        special["additional_special_tokens"] = list(marks)
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=512, **special | extra)


def clip(folder: Path) -> Path:
    """A CLIP of two towers."""
    words = tokenizer()
    text = TEXT | {
        "vocab_size": len(words),
        "max_position_embeddings": 12,
        "eos_token_id": 2,
        "bos_token_id": 1,
        "pad_token_id": 0,
    }
    vision = TEXT | {"image_size": 32, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    sides = {"height": 32, "width": 32}
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=sides)
    return _saved(folder, model, CLIPProcessor(images, words))


def siglip(folder: Path) -> Path:
    """A SigLIP, whose texts are padded to their full length."""
    words = tokenizer()
    text = TEXT | {"vocab_size": len(words), "max_position_embeddings": 12}
    vision = TEXT | {"image_size": 32, "patch_size": 8}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    return _saved(folder, model, SiglipProcessor(images, words))


def depth_anything(folder: Path, **changes: Any) -> Path:
    """A Depth Anything of relative depth, unless its config says otherwise."""
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[4, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
        **changes,
    )
    images = DPTImageProcessor(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    return _saved(folder, DepthAnythingForDepthEstimation(config), images)


def glpn(folder: Path) -> Path:
    """A GLPN, which always predicts metres."""
    config = GLPNConfig(
        hidden_sizes=[4, 8, 8, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 2],
        decoder_hidden_size=8,
    )
    return _saved(folder, GLPNForDepthEstimation(config), GLPNImageProcessor())


def llava(folder: Path, template: str | None = TEMPLATE) -> Path:
    """A LLaVA: CLIP's images read by a Llama."""
    words = tokenizer("<image>", extra_special_tokens={"image_token": "<image>"})
    vision = CLIPVisionConfig(**TEXT, image_size=16, patch_size=8)
    text = LlamaConfig(**TEXT, vocab_size=len(words), pad_token_id=0, bos_token_id=1,
                       eos_token_id=2, max_position_embeddings=256)  # fmt: skip
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        vision_feature_layer=-1,
    )
    sides = {"height": 16, "width": 16}
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=sides),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template and template.replace("IMAGE", "<image>"),
    )
    return _saved(folder, LlavaForConditionalGeneration(config), processor)


def qwen2_vl(folder: Path) -> Path:
    """A Qwen2-VL, whose images take as many tokens as they need."""
    marks = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>")
    words = tokenizer(*marks)
    ids = dict(zip(("start", "image", "end", "video"), words.convert_tokens_to_ids(list(marks)),
                   strict=True))  # fmt: skip
    text = TEXT | {
        "vocab_size": len(words),
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_parameters": {"type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4},
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    config = Qwen2VLConfig(
        text_config=text,
        vision_config={"depth": 2, "embed_dim": 16, "num_heads": 2, "hidden_size": 16,
                       "patch_size": 14, "spatial_merge_size": 2, "mlp_ratio": 2},
        image_token_id=ids["image"],
        video_token_id=ids["video"],
        vision_start_token_id=ids["start"],
        vision_end_token_id=ids["end"],
    )  # fmt: skip
    processor = Qwen2VLProcessor(
        Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 56),
        words,
        Qwen2VLVideoProcessor(),
        chat_template=TEMPLATE.replace("IMAGE", "".join(marks[:3])),
    )
    return _saved(folder, Qwen2VLForConditionalGeneration(config), processor)


def _saved(folder: Path, model: Any, processor: Any) -> Path:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.6)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


BY_BASELINE: dict[str, Callable[[Path], Path]] = {
    "clip_retrieval": clip,
    "hf_depth": depth_anything,
    "hf_vlm": llava,
}
