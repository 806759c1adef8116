"""The closed list of object classes, their words, and what each can do."""

from __future__ import annotations

CLASSES: tuple[str, ...] = (
    "armchair",
    "bag",
    "bed",
    "bedside table",
    "bench",
    "bookcase",
    "bottle",
    "bowl",
    "box",
    "cabinet",
    "ceiling light",
    "chair",
    "coffee table",
    "computer",
    "desk",
    "fireplace",
    "kitchen appliance",
    "lamp",
    "oven",
    "piano",
    "plant",
    "radiator",
    "refrigerator",
    "rug",
    "sink",
    "sofa",
    "speaker",
    "stool",
    "table",
    "television",
    "toy",
    "trash can",
    "vase",
    "wall light",
    "wardrobe",
    "washing machine",
)

# What the labels of a captured room can say; all else in it has no name.
CAPTURED_CLASSES = ("bed", "cabinet", "lamp", "plant", "sofa", "table", "television")

# Synonyms, most of them from the catalog's tags.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "sofa": ("couch",),
    "television": ("TV",),
    "refrigerator": ("fridge",),
    "bookcase": ("bookshelf",),
    "wardrobe": ("closet",),
    "trash can": ("waste bin",),
    "rug": ("carpet",),
    "bedside table": ("nightstand",),
    "plant": ("potted plant",),
    "radiator": ("heater",),
    "oven": ("cooker",),
    "ceiling light": ("ceiling lamp",),
    "wall light": ("wall lamp",),
    "speaker": ("loudspeaker",),
    "cabinet": ("cupboard",),
}

KINDS: tuple[str, ...] = ("living", "bedroom", "office", "kitchen", "dining")
KIND_NAMES: dict[str, str] = {
    "living": "living room",
    "bedroom": "bedroom",
    "office": "office",
    "kitchen": "kitchen",
    "dining": "dining room",
    # Captured rooms alone; no drawn one is of these kinds.
    "music": "music room",
    "meeting": "meeting room",
}

SEATS = frozenset({"chair", "armchair", "sofa", "bench", "stool"})
SCREENS = frozenset({"television", "computer"})

# What blocks a view: solid bodies, as opposed to things on thin legs.
OPAQUE = frozenset(
    {
        "armchair",
        "bed",
        "bedside table",
        "bookcase",
        "box",
        "cabinet",
        "fireplace",
        "oven",
        "piano",
        "refrigerator",
        "sofa",
        "wardrobe",
        "washing machine",
    }
)


def plural(word: str) -> str:
    """Return the plural of a class name or synonym.

    >>> plural("bench"), plural("box"), plural("bookshelf"), plural("toy")
    ('benches', 'boxes', 'bookshelves', 'toys')
    """
    if word.endswith(("ch", "x", "s")):
        return word + "es"
    if word.endswith("shelf"):
        return word[:-1] + "ves"
    return word + "s"


def article(word: str) -> str:
    """Return `word` with its indefinite article.

    >>> article("oven"), article("brown bed")
    ('an oven', 'a brown bed')
    """
    return ("an " if word[0] in "aeiou" else "a ") + word
