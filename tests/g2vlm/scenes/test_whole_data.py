"""Every scene and sentence of data/ against the checks that the other tests make on a few."""

from __future__ import annotations

import pytest

from g2vlm.scenes.assets.catalog import read_models
from metrics.files import read_lines
from tests.g2vlm.scenes.conftest import Drawn
from tests.g2vlm.scenes.language import test_language, test_sentences
from tests.g2vlm.scenes.layout import test_facing, test_first_view, test_recipes
from tests.paths import REPOSITORY

DATA = REPOSITORY / "data"
CHECKS = (
    test_recipes.test_nothing_interpenetrates_by_more_than_a_centimetre,
    test_recipes.test_everything_is_inside_and_stands_on_something,
    test_recipes.test_cameras_stand_in_free_places,
    test_recipes.test_training_models_and_held_models_never_meet,
    test_recipes.test_twins_pair_up,
    test_language.test_sides_follow_the_dominant_axis,
    test_language.test_near_larger_and_facing_follow_their_formulas,
    test_language.test_on_and_under_are_the_support,
    test_language.test_extreme_references_hold_with_their_margin,
    test_language.test_side_references_have_one_answer,
    test_language.test_between_references_have_one_answer,
    test_language.test_counted_references_have_the_most_things_on_or_near_them,
    test_language.test_subsets_of_references_match_their_targets,
    test_language.test_no_absence_number_or_order_where_another_class_goes_by_the_name,
    test_first_view.test_sides_agree_with_the_first_view,
    test_first_view.test_a_named_door_or_window_is_in_view,
    test_language.test_near_never_relates_an_object_to_its_support,
    test_facing.test_what_is_faced_stands_on_the_floor,
    test_language.test_nothing_is_asked_twice_of_a_scene,
    test_language.test_every_scene_has_its_sentences,
    test_language.test_answers_are_true_and_among_the_choices,
    test_language.test_phrases_hold_of_something_in_their_scene,
    test_sentences.test_every_sentence_reads_back_as_true,
)


@pytest.fixture(scope="session")
def whole() -> Drawn:
    """All scenes of data/; these checks need no estimated pixels."""
    recipes, language = (list(read_lines(DATA / f"{n}.jsonl")) for n in ("scenes", "language"))
    return Drawn(read_models(DATA / "models.csv"), recipes, [], language)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_all_scenes(check, whole):
    check(whole)
