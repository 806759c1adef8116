"""Which objects a sentence mentions, and in which order."""

from g2vlm.scenes.language.mention_parser import Mention, mentioned

ROOM = [
    {"index": 1, "class": "television", "colour": "black"},
    {"index": 3, "class": "sofa", "colour": "beige"},
    {"index": 4, "class": "sofa", "colour": "grey"},
    {"index": 6, "class": "coffee table", "colour": "brown"},
    {"index": 8, "class": "table", "colour": "brown"},
]


def test_objects_come_in_the_order_of_the_sentence():
    text = "If I stand by the beige sofa and face the television, is the coffee table to my left?"
    assert mentioned(text, ROOM) == [
        Mention([3], "beige"),
        Mention([1], ""),
        Mention([6], ""),
    ]


def test_colour_tells_objects_of_a_class_apart_and_a_plural_means_all():
    assert mentioned("Is the grey couch nearer to the brown table than the beige couch?", ROOM) == [
        Mention([4], "grey"),
        Mention([8], "brown"),
        Mention([3], "beige"),
    ]
    assert mentioned("How many sofas are there?", ROOM) == [Mention([3, 4], "")]


def test_a_colour_that_is_not_said_before_the_noun_may_be_of_it_or_not():
    assert mentioned("the sofa of grey colour", ROOM) == [Mention([3, 4], None)]


def test_what_only_tells_another_by_its_place_is_no_part_of_a_comparison():
    text = "Is the beige sofa near the television larger than the table on the coffee table?"
    assert [one.objects for one in mentioned(text, ROOM)] == [[3], [8]]
    text = "Is the beige sofa near the television?"
    assert [one.objects for one in mentioned(text, ROOM)] == [[3], [1]]
    assert [one.objects for one in mentioned("the table near the brown table", ROOM)] == [[8]]


def test_what_something_stands_on_is_part_of_the_question():
    text = "Which of the two is on the brown table: a television or a coffee table?"
    assert [one.objects for one in mentioned(text, ROOM)] == [[8], [1], [6]]


def test_a_noun_of_two_words_is_one_noun():
    text = "Is the beige sofa near the coffee table?"
    assert [one.objects for one in mentioned(text, ROOM)] == [[3], [6]]
    assert [one.objects for one in mentioned("coffee table", ROOM)] == [[6]]


def test_what_is_said_twice_or_is_not_there_is_passed_over():
    assert mentioned("Is the sofa, that sofa, near a lamp?", ROOM) == [Mention([3, 4], "")]
    assert mentioned("How large is this room?", ROOM) == []
