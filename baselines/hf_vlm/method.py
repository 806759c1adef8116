"""A pretrained image-text model that answers each question from the four views."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from baselines.contract import Context
from baselines.hf_vlm.replies import parse_reply
from baselines.pretrained import Pretrained, open_pretrained, to_pil
from metrics.files import InputError

DESCRIPTION = "Pretrained image-text model shown the four views: answers and captions in words"
PRODUCES = ("answers", "captions")
DEFAULT_REASON = "speaks in words; models write places in images each in their own way"
PRETRAINED = True
THREADS = 4
USES_GPU = True

# As in VSI-Bench (Yang et al. 2024).
ANSWER_TOKENS = 16
CAPTION_TOKENS = 96
PROMPTS_PER_BATCH = {"cpu": 1, "cuda": 8}
# Units of the answers to question types, as stated in the questions.
UNITS = {
    "absolute_distance": "metres",
    "object_size": "centimetres",
    "room_size": "square metres",
}
VIEWS = "These {count} pictures show one room, first as the first camera sees it."
CAPTION = f"{VIEWS} Describe the room in two sentences: its furniture, with numbers and colours."


def predict(context: Context) -> None:
    """Answer every question and describe every scene.

    A reply without a readable answer becomes an empty answer, which scores 0; the tables list the
    share of them as `answer_unparsed`, and their number by question type is printed.
    """
    pretrained = open_pretrained(
        context,
        "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING",
        "AutoProcessor",
        "image-text model",
        half=True,
    )
    for split, scenes in context.splits.items():
        asked, unparsed = Counter(), Counter()
        with context.writer(split) as writer:
            writer.cost["parameters"] = pretrained.parameters
            writer.thresholds |= pretrained.record
            for scene in scenes.ids:
                _write(writer, pretrained, scenes.inputs(scene), asked, unparsed)
            writer.cost["unparsed_answers"] = unparsed.total()
        for kind in sorted(asked):
            line = f"{split} {kind}: {unparsed[kind]} of {asked[kind]} replies contain no answer"
            print(line, file=sys.stderr)


def _write(
    writer: Any, pretrained: Pretrained, inputs: Any, asked: Counter[str], unparsed: Counter[str]
) -> None:
    count = len(inputs.rgb)
    prompts = [question_prompt(*question[1:], count) for question in inputs.questions]
    replies = generate(pretrained, inputs.rgb, prompts, ANSWER_TOKENS)
    for (name, _, kind, answer_kind, choices), reply in zip(inputs.questions, replies, strict=True):
        answer = parse_reply(reply, kind, answer_kind, choices)
        asked[kind] += 1
        unparsed[kind] += answer is None
        writer.answer(inputs.scene, name, answer or "")
    (caption,) = generate(pretrained, inputs.rgb, [CAPTION.format(count=count)], CAPTION_TOKENS)
    writer.caption(inputs.scene, caption)


def question_prompt(
    text: str, kind: str, answer_kind: str, choices: Sequence[str], count: int
) -> str:
    """Return the prompt of a question of type `kind` about `count` pictures.

    >>> print(question_prompt("Is there a bed?", "existence", "choice", ["yes", "no"], 4))
    These 4 pictures show one room, first as the first camera sees it. Is there a bed? Answer with \
exactly one of these: yes, no.
    """
    if choices:
        form = f"exactly one of these: {', '.join(choices)}"
    elif answer_kind != "number":
        form = "one word and nothing else"
    elif kind in UNITS:
        form = f"one number, in {UNITS[kind]}, and nothing else"
    else:
        form = "one whole number and nothing else"
    return f"{VIEWS.format(count=count)} {text} Answer with {form}."


def generate(pretrained: Pretrained, rgb: np.ndarray, prompts: list[str], tokens: int) -> list[str]:
    """Return the greedy reply to each prompt about the images.

    Args:
        pretrained: the model.
        rgb: images u8[V, H, W, 3].
        prompts: the prompts, without marks for the images.
        tokens: largest number of tokens of a reply.

    Raises:
        InputError: the processor has neither a chat template nor an image token.
    """
    import torch

    tokenizer = pretrained.processor.tokenizer
    # A reply follows its prompt directly only if shorter prompts are padded on the left.
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    images, replies = to_pil(rgb), []
    size = PROMPTS_PER_BATCH[pretrained.device.type]
    with torch.inference_mode():
        for start in range(0, len(prompts), size):
            batch = prompts[start : start + size]
            inputs = pretrained.inputs(
                text=[_with_images(pretrained, prompt, len(images)) for prompt in batch],
                images=[images] * len(batch),
                padding=True,
            )
            output = pretrained.model.generate(
                **inputs,
                do_sample=False,
                num_beams=1,
                max_new_tokens=tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
            # Decoders repeat the prompt; encoder-decoders begin with the reply.
            length = inputs["input_ids"].shape[1]
            if torch.equal(output[:, :length], inputs["input_ids"]):
                output = output[:, length:]
            replies += tokenizer.batch_decode(output, skip_special_tokens=True)
    return [reply.strip() for reply in replies]


def _with_images(pretrained: Pretrained, prompt: str, count: int) -> str:
    """Return the prompt after `count` images, in the form that the model was trained with."""
    processor = pretrained.processor
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}] * count + [{"type": "text", "text": prompt}]
        turn = [{"role": "user", "content": content}]
        return processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    image_token = getattr(processor, "image_token", None)
    if image_token is None:
        raise InputError(
            f"{pretrained.folder}: its processor has no chat template and no image token; save "
            f"the model's chat_template.jinja in the same folder"
        )
    return f"{image_token * count}\n{prompt}\n"
