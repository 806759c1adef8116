"""A pretrained image-text model that is shown the four views and asked each question in words."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np

from baselines.contract import Context
from baselines.hf_vlm.prompts import caption_prompt, question_prompt
from baselines.hf_vlm.replies import read_reply
from baselines.pretrained import Pretrained, open_pretrained, pictures
from metrics.files import InputError

DESCRIPTION = "Pretrained image-text model shown the four views: answers and captions in words"
PRODUCES = ("answers", "captions")
DEFAULT_REASON = "speaks in words; models write places in images each in their own way"
STOCHASTIC = False
MESH_KIND = None
USES_TRUTH = False
PRETRAINED = True
THREADS = 4
USES_GPU = True

# VSI-Bench (Yang et al. 2024) gives a model as many tokens for an answer.
ANSWER_TOKENS = 16
CAPTION_TOKENS = 96
PROMPTS_A_BATCH = {"cpu": 1, "cuda": 8}


def predict(context: Context) -> None:
    """Answer every question and describe every scene; what cannot be read is an empty answer.

    Empty answers score 0 and stand in the tables as `answer_unparsed`; their number by question
    type is printed.
    """
    pretrained = open_pretrained(
        context,
        "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING",
        "AutoProcessor",
        "image-text model",
        half=True,
    )
    for split, scenes in context.splits.items():
        asked, unread = Counter(), Counter()
        with context.writer(split) as writer:
            writer.cost["parameters"] = pretrained.parameters
            writer.thresholds |= pretrained.record
            for scene in scenes.ids:
                _write(writer, pretrained, scenes.inputs(scene), asked, unread)
            writer.cost["unparsed_answers"] = unread.total()
        for kind in sorted(asked):
            line = f"{split} {kind}: {unread[kind]} of {asked[kind]} replies hold no answer"
            print(line, file=sys.stderr)


def _write(
    writer: Any, pretrained: Pretrained, inputs: Any, asked: Counter[str], unread: Counter[str]
) -> None:
    count = len(inputs.rgb)
    prompts = [question_prompt(*question[1:], count) for question in inputs.questions]
    replies = speak(pretrained, inputs.rgb, prompts, ANSWER_TOKENS)
    for (name, _, kind, answer_kind, choices), reply in zip(inputs.questions, replies, strict=True):
        answer = read_reply(reply, kind, answer_kind, choices)
        asked[kind] += 1
        unread[kind] += answer is None
        writer.answer(inputs.scene, name, answer or "")
    (caption,) = speak(pretrained, inputs.rgb, [caption_prompt(count)], CAPTION_TOKENS)
    writer.caption(inputs.scene, caption)


def speak(pretrained: Pretrained, rgb: np.ndarray, prompts: list[str], tokens: int) -> list[str]:
    """Return the greedy reply, of up to `tokens` tokens, to each prompt about images u8[V,H,W,3].

    Raises `InputError` where the processor has neither a chat template nor a mark for images.
    """
    import torch

    tokenizer = pretrained.processor.tokenizer
    # Replies follow their prompts only where the shorter prompts are filled up on the left.
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    images, replies = pictures(rgb), []
    size = PROMPTS_A_BATCH[pretrained.device.type]
    with torch.inference_mode():
        for start in range(0, len(prompts), size):
            batch = prompts[start : start + size]
            inputs = pretrained.inputs(
                text=[_framed(pretrained, prompt, len(images)) for prompt in batch],
                images=[images] * len(batch),
                padding=True,
            )
            said = pretrained.model.generate(
                **inputs,
                do_sample=False,
                num_beams=1,
                max_new_tokens=tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
            # Decoders repeat the prompt; encoder-decoders begin with the reply.
            before = inputs["input_ids"].shape[1]
            if torch.equal(said[:, :before], inputs["input_ids"]):
                said = said[:, before:]
            replies += tokenizer.batch_decode(said, skip_special_tokens=True)
    return [reply.strip() for reply in replies]


def _framed(pretrained: Pretrained, prompt: str, count: int) -> str:
    """Return the prompt after `count` images, in the form that the model was taught."""
    processor = pretrained.processor
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}] * count + [{"type": "text", "text": prompt}]
        turn = [{"role": "user", "content": content}]
        return processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    mark = getattr(processor, "image_token", None)
    if mark is None:
        raise InputError(
            f"{pretrained.folder}: its processor has no chat template and no image token; save "
            f"the model's chat_template.jinja beside it"
        )
    return f"{mark * count}\n{prompt}\n"
