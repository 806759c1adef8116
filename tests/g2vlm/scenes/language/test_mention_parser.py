"""Which objects a sentence mentions, and in which order."""

from g2vlm.scenes.language.mention_parser import Mention, parse_mentions

ROOM = [
    {"index": 1, "class": "television", "colour": "black"},
    {"index": 3, "class": "sofa", "colour": "beige"},
    {"index": 4, "class": "sofa", "colour": "grey"},
    {"index": 6, "class": "coffee table", "colour": "brown"},
    {"index": 8, "class": "table", "colour": "brown"},
]


def objects_of(text: str) -> list[list[int]]:
    return [mention.objects for mention in parse_mentions(text, ROOM)]


def test_objects_come_in_the_order_of_the_sentence():
    text = "If I stand by the beige sofa and face the television, is the coffee table to my left?"
    assert parse_mentions(text, ROOM) == [
        Mention([3], "beige"),
        Mention([1], ""),
        Mention([6], ""),
    ]


def test_a_colour_selects_objects_of_a_class_and_a_plural_means_all():
    text = "Is the grey couch nearer to the brown table than the beige couch?"
    assert parse_mentions(text, ROOM) == [
        Mention([4], "grey"),
        Mention([8], "brown"),
        Mention([3], "beige"),
    ]
    assert parse_mentions("How many sofas are there?", ROOM) == [Mention([3, 4], "")]


def test_a_colour_elsewhere_in_the_sentence_leaves_the_colour_open():
    assert parse_mentions("the sofa of grey colour", ROOM) == [Mention([3, 4], None)]


def test_an_anchor_is_not_compared():
    text = "Is the beige sofa near the television larger than the table on the coffee table?"
    assert objects_of(text) == [[3], [8]]
    text = "Is the beige sofa near the television?"
    assert objects_of(text) == [[3], [1]]
    assert objects_of("the table near the brown table") == [[8]]


def test_the_support_is_part_of_the_question():
    text = "Which of the two is on the brown table: a television or a coffee table?"
    assert objects_of(text) == [[8], [1], [6]]


def test_a_noun_of_two_words_is_one_noun():
    text = "Is the beige sofa near the coffee table?"
    assert objects_of(text) == [[3], [6]]
    assert objects_of("coffee table") == [[6]]


def test_repeated_and_absent_nouns_are_left_out():
    assert parse_mentions("Is the sofa, that sofa, near a lamp?", ROOM) == [Mention([3, 4], "")]
    assert parse_mentions("How large is this room?", ROOM) == []


def test_an_object_named_by_its_colour_alone_is_found_in_every_class():
    text = "How long is the longest side of the only black object, in centimetres?"
    assert parse_mentions(text, ROOM) == [Mention([1], "black")]
    assert parse_mentions(text.replace("black", "red"), ROOM) == []
