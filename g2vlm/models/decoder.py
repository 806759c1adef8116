"""A small causal decoder of answers and captions over the words of the training set.

Shapes: B scenes, Q sentences of A words, M memory states, W words in the vocabulary, D hidden,
C classes.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.config import ModelConfig
from g2vlm.models.layers import Attention, Dropout, mlp
from metrics.scene_graph.predicates import FAMILIES

PAD, START, CAPTION, END, UNKNOWN = "<pad>", "<answer>", "<caption>", "<end>", "<unknown>"
# Words that stand for a number; its value is regressed (xVal, Golkar et al. 2023).
WHOLE, DECIMAL = "<whole>", "<decimal>"
SPECIAL = (PAD, START, CAPTION, END, UNKNOWN, WHOLE, DECIMAL)
LEAST_NUMBER = 0.05
# Logits that a word gains for each unit of learned copying.
COPY_SCALE = 4.0
# Measured numbers that an answer may copy: the room's floor area (m²), the longest side of each
# role's object (cm), and the distances between each two of them (m).
MEASURES = 7
# Words for directions, which an answer may copy too.
SIDES = FAMILIES["side"]
_NUMBER = re.compile(r"\d+\.\d|[1-9]\d+")
_PIECE = re.compile(r"\d|[^\W\d_]+(?:[-'][^\W\d_]+)*|\S")


def split_words(text: str) -> list[str]:
    """Split a sentence into words, single digits and signs.

    A piece that follows another without a space, other than a word, begins with `+`.

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
    """Return the sentence of words from `split_words`."""
    out = ""
    for word in words:
        glued = len(word) > 1 and word.startswith("+")
        out += word[1:] if glued else (" " if out else "") + word
    return out


def number_word(text: str) -> str | None:
    """Return the word for an answer that is a whole number from ten on, or one with a decimal.

    Single digits are words of their own, because counts are classified, not regressed.

    >>> number_word("26.5"), number_word("140"), number_word("3"), number_word("3 m")
    ('<decimal>', '<whole>', None, None)
    """
    if not _NUMBER.fullmatch(text):
        return None
    return DECIMAL if "." in text else WHOLE


def write_number(word: str, log_value: float) -> str:
    """Return a number as text, from its word and the log of its value.

    >>> write_number(WHOLE, math.log(139.7)), write_number(DECIMAL, math.log(2.34))
    ('140', '2.3')
    """
    value = math.exp(min(max(log_value, math.log(LEAST_NUMBER)), 20.0))
    return f"{value:.1f}" if word == DECIMAL else str(round(value))


def build_words(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the special words, then all words of the texts that are no numbers, sorted."""
    spelled = (text for text in texts if number_word(text) is None)
    return (*SPECIAL, *sorted({word for text in spelled for word in split_words(text)}))


def spell(names: Sequence[str], words: Sequence[str]) -> Tensor:
    """Return which of the W words are in each of C names: f32 [C,W] of 0 and 1."""
    index = {word: number for number, word in enumerate(words)}
    out = torch.zeros(len(names), len(words), device="cpu")
    for row, name in zip(out, names, strict=True):
        row[[index[word] for word in split_words(name) if word in index]] = 1
    return out


class Vocabulary:
    """Words and their numbers."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.index = {word: number for number, word in enumerate(self.words)}

    def encode(self, text: str, start: str, length: int) -> list[int]:
        """Return the numbers of the start word, the text's words and the end, cut to `length`."""
        unknown, number = self.index[UNKNOWN], number_word(text)
        words = [number] if number else split_words(text)
        numbers = (self.index.get(word, unknown) for word in words)
        return [self.index[start], *numbers, self.index[END]][:length]

    def decode(self, numbers: Sequence[int], log_value: float = 0.0) -> str:
        """Return the text of words up to the end; a word for a number is written as its value."""
        kept = []
        for word in (self.words[number] for number in numbers):
            if word == END:
                break
            if word in (WHOLE, DECIMAL):
                kept.append(write_number(word, log_value))
            elif word not in SPECIAL:
                kept.append(word)
        return join_words(kept)


# Keys and values.
Pair = tuple[Tensor, Tensor]


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the sentence's and the scene's states, feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.heads = config.hidden, config.heads
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.self_attention = Attention(width, config.heads)
        self.query = nn.Linear(width, width)
        self.memory = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.feed = mlp(width, 2 * width, width)
        self.drop = Dropout(config.dropout)

    def read(self, states: Tensor) -> Pair:
        """Return the keys and values [B,heads,...,d] of states [B,...,D] to attend to."""
        by_head = self.memory(states).unflatten(-1, (2, self.heads, -1)).movedim(-2, 1)
        return by_head[..., 0, :], by_head[..., 1, :]

    def forward(
        self,
        x: Tensor,
        scene: Pair,
        sentence: Pair,
        causal: Tensor | None,
        past: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Update words.

        Args:
            x: [B,Q,A,D], words.
            scene: from `read`, of the scene's tokens [B,T,D].
            sentence: from `read`, of the states [B,Q,M,D] of each sentence.
            causal: bool [A,A], true where a word may attend; None for all.
            past: keys and values of the words before these, as this method returned them.

        Returns:
            the updated words, and keys and values [2,B*Q,heads,words so far,d].
        """
        inner = self.norms[0](x).flatten(0, 1)  # every sentence is a row of the batch
        pair = self.self_attention.read(inner)
        if past is not None:
            pair = torch.cat([past, pair], dim=3)
        x = x + self.self_attention.attend(inner, pair, causal).view_as(x)
        x = x + self.cross_attention(self.norms[1](x), scene, sentence)
        return x + self.drop(self.feed(self.norms[2](x))), pair

    def cross_attention(self, x: Tensor, scene: Pair, sentence: Pair) -> Tensor:
        """Return attention of words [B,Q,A,D] to the sentence plus attention to the scene.

        Two separate softmaxes keep the many patches from outweighing the few states of a sentence.
        The scene's keys are shared by all sentences.
        """
        query = self.query(x).unflatten(-1, (self.heads, -1)).permute(0, 3, 1, 2, 4)
        query = query / math.sqrt(query.shape[-1])  # (B, heads, Q, A, d)
        key, value = sentence  # (B, heads, Q, M, d)
        from_sentence = (query @ key.transpose(3, 4)).softmax(-1) @ value
        logits = query.flatten(2, 3) @ scene[0].transpose(2, 3)  # (B, heads, Q*A, T)
        from_scene = (logits.softmax(-1) @ scene[1]).unflatten(2, (-1, x.shape[2]))
        return self.out((from_sentence + from_scene).permute(0, 2, 3, 1, 4).flatten(3))


@dataclass(frozen=True)
class CopyHints:
    """What an answer may copy.

    Attributes:
        named: [B,Q,C], probability that each class is asked for.
        sides: [B,Q,SIDES], probability that the object asked for is on each side.
        measures: [B,Q,MEASURES], logs of measured numbers in the units of answers, NaN = not
            measured.

    Source: pointer networks for copying, See et al. 2017.
    """

    named: Tensor
    sides: Tensor
    measures: Tensor

    def take(self, rows: Sequence[int]) -> "CopyHints":
        """Return the hints of some questions."""
        return CopyHints(self.named[:, rows], self.sides[:, rows], self.measures[:, rows])


@dataclass(frozen=True)
class DecoderOutput:
    """What follows each word.

    Attributes:
        logits: [B,Q,A,W], of the next word at each place.
        value: [B,Q], log of the number that the first word may stand for.
        measure: [B,Q,MEASURES], log of the share of each measure in that value.
    """

    logits: Tensor
    value: Tensor | None = None
    measure: Tensor | None = None


class Decoder(nn.Module):
    """Writes words one after the other. Names of classes, sides and numbers may be copied."""

    def __init__(self, config: ModelConfig, length: int = 64) -> None:
        super().__init__()
        self.word_embedding = nn.Embedding(len(config.words), config.hidden)
        self.position_embedding = nn.Parameter(torch.randn(length, config.hidden).mul_(0.02))
        self.layers = nn.ModuleList([DecoderLayer(config) for _ in range(config.decoder_layers)])
        self.norm = nn.LayerNorm(config.hidden)
        self.out = nn.Linear(config.hidden, len(config.words))
        self.copy = nn.Linear(config.hidden, 2)
        self.measure = nn.Linear(config.hidden, MEASURES)
        self.guess = mlp(config.hidden, config.hidden, 1)
        self.register_buffer("classes", spell(config.classes, config.words), persistent=False)
        self.register_buffer("sides", spell(SIDES, config.words), persistent=False)
        nn.init.normal_(self.word_embedding.weight, std=0.05)

    def read(self, states: Tensor) -> list[Pair]:
        """Return keys and values of states [B,...,D] for every layer."""
        return [layer.read(states) for layer in self.layers]

    def forward(
        self,
        numbers: Tensor,
        scene: list[Pair],
        memory: Tensor,
        hints: CopyHints | None = None,
    ) -> DecoderOutput:
        """Predict the next word at each place, and the value of a number.

        Args:
            numbers: i64 [B,Q,A], words.
            scene: from `read`, of the scene's tokens.
            memory: [B,Q,M,D].
            hints: what may be copied; without them no number has a value.
        """
        length = numbers.shape[-1]
        causal = torch.ones(length, length, dtype=torch.bool, device=numbers.device).tril()
        x = self.word_embedding(numbers) + self.position_embedding[:length]
        for layer, shared, own in zip(self.layers, scene, self.read(memory), strict=True):
            x, _ = layer(x, shared, own, causal)
        return self.predict(x, hints)

    def predict(self, x: Tensor, hints: CopyHints | None) -> DecoderOutput:
        """Return what follows words with final states [B,Q,A,D], the first word first.

        Logits of class names and sides rise by how much each place copies. A value is a mean of the
        measures, weighted by attention; a measure that is missing is replaced by a regressed value.
        """
        x = self.norm(x)
        logits = self.out(x)
        if hints is None:
            return DecoderOutput(logits)
        lift = COPY_SCALE * F.softplus(self.copy(x))
        logits = logits + lift[..., :1] * (hints.named @ self.classes)[:, :, None]
        logits = logits + lift[..., 1:] * (hints.sides @ self.sides)[:, :, None]
        first = x[:, :, 0]
        shares = self.measure(first).log_softmax(-1)
        measures = torch.where(hints.measures.isnan(), self.guess(first), hints.measures)
        return DecoderOutput(logits, (shares.exp() * measures).sum(-1), shares)

    @torch.no_grad()
    def write(
        self,
        start: int,
        stop: int,
        tokens: Tensor,
        memory: Tensor,
        limit: int,
        hints: CopyHints | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Write sentences greedily, until all of them hold `stop`.

        Args:
            start: number of the first word.
            stop: number of the last word.
            tokens: [B,T,D], the scene.
            memory: [B,Q,M,D].
            limit: most words of a sentence.
            hints: what may be copied.

        Returns:
            words i64 [B,Q,<=limit] after the first, and the log value [B,Q] of a number that a
            sentence begins with.
        """
        scene, sentence = self.read(tokens), self.read(memory)
        past: list[Tensor | None] = [None] * len(self.layers)
        word = memory.new_full((*memory.shape[:2], 1), start, dtype=torch.long)
        written: list[Tensor] = []
        value = None
        # Each word is computed once: the next ones attend to its kept keys and values.
        for place in range(min(limit, len(self.position_embedding) - 1)):
            x = self.word_embedding(word) + self.position_embedding[place]
            for number, layer in enumerate(self.layers):
                x, past[number] = layer(x, scene[number], sentence[number], None, past[number])
            output = self.predict(x, hints)
            value = output.value if place == 0 else value
            word = output.logits.argmax(-1)  # (B, Q, 1)
            written.append(word)
            if bool((torch.cat(written, dim=-1) == stop).any(-1).all()):
                break
        return torch.cat(written, dim=-1), value


def next_word_loss(logits: Tensor, numbers: Tensor) -> Tensor:
    """Return the mean cross-entropy of words [...,A] given logits [...,A,W], without padding."""
    pad = SPECIAL.index(PAD)  # the special words come first in every vocabulary
    return F.cross_entropy(logits.flatten(0, -2), numbers.flatten(), ignore_index=pad)
