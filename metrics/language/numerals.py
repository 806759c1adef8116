"""Numbers in free text, exactly: digits, fractions and English words."""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUE = {word: number for number, word in enumerate(ONES)} | {
    word: 10 * ten for ten, word in enumerate(TENS, 2)
}
# What may follow "and" within a number, as in "two hundred and five".
_ADDED = tuple([word] for word in _VALUE)
# Words before which "no" counts nothing: "no idea", "no more than five".
_NOT_COUNTED = frozenset(
    ("idea", "answer", "clue", "information", "way", "doubt", "need", "number", "more", "less")
    + ("fewer", "longer", "matter", "i")
)
# A number is no part of a word ("m2"), dimension ("3D", "2-d") or ordinal ("3rd").
_START = r"(?<![^\W_])(?<!\d\.)(?!\d+(?:-?d|st|nd|rd|th)\b)"
_FRACTION = r"(?:(?P<whole>\d+)[ -])?(?P<top>\d+)/(?P<bottom>[1-9]\d*)(?![\d/])"
_DECIMAL = r"(?P<decimal>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)"
_NUMBER = re.compile(f"{_START}(?:{_FRACTION}|{_DECIMAL})")
_LENGTH = r"(\d{1,9}(?:\.\d{1,9})?) ?"
_COMPOUND = re.compile(
    rf"(?<![\w.]){_LENGTH}m(?:et(?:er|re)s?)?(?![a-z])[. ]*(?:and )?"
    rf"{_LENGTH}(?:cm|centimet(?:er|re)s?)\b"
)
# A longer numeral is read as a binary fraction, which bounds the time that it takes.
_LONGEST = 400


def exact(number: str | float | Fraction) -> Fraction | None:
    """Return the number that a decimal numeral means; None for other text and for infinities.

    A float means the decimal that it is printed as.

    Example:
        >>> str(exact("2.20")), str(exact(0.1)), exact("two"), exact("inf")
        ('11/5', '1/10', None, None)
    """
    if isinstance(number, Fraction):
        return number
    text = str(number).strip()
    try:
        value = float(text)
    except ValueError:
        return None
    if value != value or value in (float("inf"), -float("inf")):
        return None
    # A numeral whose float is 0 can have an exponent that is too large to expand.
    return Fraction(value) if value == 0 or len(text) > _LONGEST else Fraction(text)


def join_metres(text: str) -> str:
    """Return a lower-case text in which metres followed by centimetres are one number of metres.

    Example:
        >>> join_metres("about 2 m 50 cm")
        'about 2.5 m'
    """
    return _COMPOUND.sub(
        lambda found: f"{(Decimal(found[1]) + Decimal(found[2]) / 100).normalize():f} m", text
    )


def parse_number(text: str) -> Fraction | None:
    """Return the first number in a text, exactly; None without one.

    Digits come before words, wherever they are. A comma between a digit and exactly three digits
    separates thousands; other commas are points. Metres followed by centimetres are one number of
    metres; no other unit is converted. Words go up to thousands; "none" is 0, and so is "no" before
    what is counted.

    Example:
        >>> [str(parse_number(text)) for text in ("about 2.5 m", "twenty-five", "no chairs", "-")]
        ['5/2', '25', '0', 'None']
    """
    # "2½" is two and a half: NFKC alone would make it 21/2.
    text = re.sub("[\u00bc-\u00be\u2150-\u215e]", r" \g<0>", text)
    text = unicodedata.normalize("NFKC", text).lower()
    text = text.replace("\u2044", "/").replace("\u2212", "-")
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text).replace(",", ".")
    found = _NUMBER.search(join_metres(text))
    if found is None:
        return _first_in_words(re.findall(r"[a-z]+", text))
    if found["decimal"]:
        return exact(found["decimal"])
    whole, top, bottom = (exact(found[name] or "0") for name in ("whole", "top", "bottom"))
    if whole is None or top is None or not bottom:
        return None
    return whole + top / bottom


def first_token(text: str) -> Fraction | None:
    """Return the first word of a text as a number; None where it is none.

    The word ends at the first space; full stops behind it are dropped.

    Source: the parser of Yang et al. 2024 (VSI-Bench).

    Example:
        >>> str(first_token("2.5 m")), first_token("about 2.5 m"), first_token("two")
        ('5/2', None, None)
    """
    return exact(text.split(" ")[0].rstrip("."))


def _first_in_words(words: Sequence[str]) -> Fraction | None:
    """Return the first number that words spell, such as "two hundred and five"; None without."""
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        counts = following and following not in _VALUE and following not in _NOT_COUNTED
        if word == "none" or (word == "no" and counts):
            return Fraction(0)
        if word in _VALUE or word in ("hundred", "thousand"):
            return _spelled(words[place:])
    return None


def _spelled(words: Sequence[str]) -> Fraction:
    """Return the number that some words start with."""
    thousands, group, last = 0, 0, ""
    for place, word in enumerate(words):
        value = _VALUE.get(word)
        if value is not None and (last in ("", "large") or (last == "tens" and 0 < value < 10)):
            group, last = group + value, "tens" if value >= 20 else "ones"
        elif word == "hundred" and group < 100 and last != "large":
            group, last = 100 * max(group, 1), "large"
        elif word == "thousand" and not thousands:
            thousands, group, last = 1000 * max(group, 1), 0, "large"
        elif not (word == "and" and last == "large" and words[place + 1 : place + 2] in _ADDED):
            return thousands + group + _behind(words[place:])
    return Fraction(thousands + group)


def _behind(words: Sequence[str]) -> Fraction:
    """Return the value of "point five" or "and a half" at the start of some words, else 0."""
    if list(words[:3]) == ["and", "a", "half"]:
        return Fraction(1, 2)
    digits = ""
    for word in words[1:] if words[0] == "point" else ():
        if word not in ONES[:10]:
            break
        digits += str(_VALUE[word])
    return Fraction(int(digits or 0), 10 ** len(digits))
