"""A small causal decoder of answers and captions over the words of the training set."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.config import ModelConfig
from g2vlm.models.layers import Attention, mlp
from metrics.scene_graph.predicates import FAMILIES

PAD, START, CAPTION, END, UNKNOWN = "<pad>", "<answer>", "<caption>", "<end>", "<unknown>"
# Words that stand for a number, whose value is read beside them (xVal, Golkar et al. 2023).
WHOLE, DECIMAL = "<whole>", "<decimal>"
SPECIAL = (PAD, START, CAPTION, END, UNKNOWN, WHOLE, DECIMAL)
LEAST_NUMBER = 0.05
# Logits by which a word is lifted for each unit of what a place learns to copy.
COPIED = 4.0
# Numbers that an answer may copy: the room's floor area (m²), the longest side of what each role
# means (cm), the distances between each two of them (m).
MEASURES = 7
# Words for where something is, which an answer may copy too.
SIDES = FAMILIES["side"]
_NUMBER = re.compile(r"\d+\.\d|[1-9]\d+")
_PIECE = re.compile(r"\d|[^\W\d_]+(?:[-'][^\W\d_]+)*|\S")


def split_words(text: str) -> list[str]:
    """Split a sentence into words, single digits and signs; a piece glued to a digit gets a `+`.

    >>> split_words("It is 12.5 m, about")
    ['It', 'is', '1', '+2', '+.', '+5', 'm', '+,', 'about']
    """
    pieces, end = [], -1
    for match in _PIECE.finditer(text):
        piece = match.group()
        glued = match.start() == end and not (piece[0].isalpha())
        pieces.append(f"+{piece}" if glued else piece)
        end = match.end()
    return pieces


def join_words(words: Iterable[str]) -> str:
    """Undo `split_words`, as far as spaces before letters go."""
    out = ""
    for word in words:
        glued = len(word) > 1 and word.startswith("+")
        out += word[1:] if glued else (" " if out else "") + word
    return out


def number_word(text: str) -> str | None:
    """The word that stands for an answer which is a whole number from ten on or one with a decimal
    place. Single digits are words of their own: what is counted is told apart, not measured.

    >>> number_word("26.5"), number_word("140"), number_word("3"), number_word("3 m")
    ('<decimal>', '<whole>', None, None)
    """
    if not _NUMBER.fullmatch(text):
        return None
    return DECIMAL if "." in text else WHOLE


def write_number(word: str, log_value: float) -> str:
    """An answer from its word and the log of its value.

    >>> write_number(WHOLE, math.log(139.7)), write_number(DECIMAL, math.log(2.34))
    ('140', '2.3')
    """
    value = math.exp(min(max(log_value, math.log(LEAST_NUMBER)), 20.0))
    return f"{value:.1f}" if word == DECIMAL else str(round(value))


def build_words(texts: Iterable[str]) -> tuple[str, ...]:
    """The special words, then every word of the texts in sorted order; no answer's numbers."""
    said = (text for text in texts if number_word(text) is None)
    return (*SPECIAL, *sorted({word for text in said for word in split_words(text)}))


def spell(names: Sequence[str], words: Sequence[str]) -> Tensor:
    """Which of the W words are in each of C names: f32[C,W] of 0 and 1."""
    index = {word: number for number, word in enumerate(words)}
    out = torch.zeros(len(names), len(words))
    for row, name in zip(out, names, strict=True):
        row[[index[word] for word in split_words(name) if word in index]] = 1
    return out


class Vocabulary:
    """Word to number and back."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.index = {word: number for number, word in enumerate(self.words)}

    def encode(self, text: str, start: str, length: int) -> list[int]:
        """Numbers of start, words and end, cut to `length`."""
        unknown, number = self.index[UNKNOWN], number_word(text)
        words = [number] if number else split_words(text)
        words = [self.index.get(word, unknown) for word in words]
        return [self.index[start], *words, self.index[END]][:length]

    def decode(self, numbers: Sequence[int], log_value: float = 0.0) -> str:
        """Words up to the end sign, joined; a word for a number is written with its value."""
        kept = []
        for word in (self.words[number] for number in numbers):
            if word == END:
                break
            if word in (WHOLE, DECIMAL):
                kept.append(write_number(word, log_value))
            elif word not in SPECIAL:
                kept.append(word)
        return join_words(kept)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the sentence's and the scene's states, feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.heads = config.hidden, config.heads
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.own = Attention(width, config.heads)
        self.query = nn.Linear(width, width)
        self.memory = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.feed = mlp(width, 2 * width, width)
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, scene: tuple[Tensor, Tensor], memory: Tensor, causal: Tensor
    ) -> Tensor:
        """Update x [B,Q,A,D]; `scene` holds keys and values, memory is [B,Q,M,D]."""
        inner = self.norms[0](x).flatten(0, 1)
        x = x + self.own(inner, inner, causal).view_as(x)
        return self.finish(x + self.listen(self.norms[1](x), scene, memory))

    def listen(self, x: Tensor, scene: tuple[Tensor, Tensor], memory: Tensor) -> Tensor:
        """Attend to the sentence and to the scene apart, so that neither drowns the other.

        The scene's keys are shared by all sentences.
        """
        length = x.shape[2]
        query = self.query(x).unflatten(-1, (self.heads, -1)).permute(0, 3, 1, 2, 4)
        query = query / math.sqrt(query.shape[-1])
        key, value = self.split(self.memory(memory))
        said = (query @ key.transpose(3, 4)).softmax(-1) @ value
        logits = query.flatten(2, 3) @ scene[0].transpose(2, 3)
        seen = (logits.softmax(-1) @ scene[1]).unflatten(2, (-1, length))
        mixed = said + seen
        return self.out(mixed.permute(0, 2, 3, 1, 4).flatten(3))

    def split(self, pair: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values by head: [B,...,2D] to two of [B,heads,...,d]."""
        by_head = pair.unflatten(-1, (2, self.heads, -1)).movedim(-2, 1)
        return by_head[..., 0, :], by_head[..., 1, :]

    def finish(self, x: Tensor) -> Tensor:
        """The feed-forward part."""
        return x + self.drop(self.feed(self.norms[2](x)))


@dataclass(frozen=True)
class Hints:
    """What an answer may copy (pointers: See et al. 2017).

    named [B,Q,C]: how likely each class is what is asked for; sides [B,Q,SIDES]: how likely it is
    on each side; measures [B,Q,MEASURES]: logs of measured numbers, in the units of answers, NaN =
    not measured.
    """

    named: Tensor
    sides: Tensor
    measures: Tensor

    def take(self, rows: Sequence[int]) -> Hints:
        """Those of some questions."""
        return Hints(self.named[:, rows], self.sides[:, rows], self.measures[:, rows])


@dataclass(frozen=True)
class Said:
    """logits [B,Q,A,W] of the next word at each place; value [B,Q]: log of the number that the
    first word may stand for; measure [B,Q,MEASURES]: log-shares of the measures in it."""

    logits: Tensor
    value: Tensor | None = None
    measure: Tensor | None = None


class Decoder(nn.Module):
    """Writes words one after the other; words of a class or a side and numbers may be copied."""

    def __init__(self, config: ModelConfig, length: int = 64) -> None:
        super().__init__()
        self.words = nn.Embedding(len(config.words), config.hidden)
        self.places = nn.Parameter(0.02 * torch.randn(length, config.hidden))
        self.layers = nn.ModuleList([DecoderLayer(config) for _ in range(config.decoder_layers)])
        self.norm = nn.LayerNorm(config.hidden)
        self.out = nn.Linear(config.hidden, len(config.words))
        self.copy = nn.Linear(config.hidden, 2)
        self.measure = nn.Linear(config.hidden, MEASURES)
        self.guess = mlp(config.hidden, config.hidden, 1)
        self.register_buffer("classes", spell(config.classes, config.words), persistent=False)
        self.register_buffer("sides", spell(SIDES, config.words), persistent=False)
        nn.init.normal_(self.words.weight, std=0.05)

    def read_scene(self, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the tokens [B,T,D] for every layer, shared by all sentences."""
        return [layer.split(layer.memory(tokens)) for layer in self.layers]

    def forward(
        self,
        numbers: Tensor,
        scene: list[tuple[Tensor, Tensor]],
        memory: Tensor,
        hints: Hints | None = None,
    ) -> Said:
        """Say what follows each of `numbers` i64[B,Q,A]; without hints no number has a value.

        `scene` comes from `read_scene`; `memory` is [B,Q,M,D]. A value is a mix of the measures, a
        guess where there is none; words of a class or side are lifted as far as a place would copy.
        """
        length = numbers.shape[-1]
        x = self.words(numbers) + self.places[:length]
        causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        for layer, shared in zip(self.layers, scene, strict=True):
            x = layer(x, shared, memory, causal)
        x = self.norm(x)
        logits = self.out(x)
        if hints is None:
            return Said(logits)
        lift = COPIED * F.softplus(self.copy(x))
        logits = logits + lift[..., :1] * (hints.named @ self.classes)[:, :, None]
        logits = logits + lift[..., 1:] * (hints.sides @ self.sides)[:, :, None]
        first = x[:, :, 0]
        shares = self.measure(first).log_softmax(-1)
        measures = torch.where(hints.measures.isnan(), self.guess(first), hints.measures)
        value = (shares.exp() * measures).sum(-1)
        return Said(logits, value, shares)

    @torch.no_grad()
    def write(
        self,
        start: int,
        stop: int,
        tokens: Tensor,
        memory: Tensor,
        limit: int,
        hints: Hints | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Greedy words i64[B,Q,<=limit] after `start`, until all sentences have said `stop`, and
        the log value [B,Q] of a number at their beginning."""
        scene = self.read_scene(tokens)
        numbers = memory.new_full((*memory.shape[:2], 1), start, dtype=torch.long)
        for _ in range(min(limit, len(self.places) - 1)):
            said = self(numbers, scene, memory, hints)
            words = said.logits[:, :, -1].argmax(-1, keepdim=True)
            numbers = torch.cat([numbers, words], dim=-1)
            if bool((numbers == stop).any(-1).all()):
                break
        return numbers[..., 1:], said.value


def next_word_loss(logits: Tensor, numbers: Tensor, pad: int) -> Tensor:
    """Mean cross-entropy of words `numbers` [...,A] given logits [...,A,W]; padding is left out."""
    return F.cross_entropy(logits.flatten(0, -2), numbers.flatten(), ignore_index=pad)
