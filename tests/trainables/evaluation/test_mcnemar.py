import numpy as np
import pytest

from trainables.evaluation.mcnemar import McNemarTest


def test_mcnemars_test_is_exact() -> None:
    assert McNemarTest("a", "b", 100, 10, 1).p_value == pytest.approx(2 * (1 + 11) / 2**11)
    assert "10 and only b on 1: a significant difference" in str(McNemarTest("a", "b", 100, 10, 1))
    assert McNemarTest("a", "b", 100, 0, 0).p_value == 1
    assert "right on exactly the same images" in str(McNemarTest("a", "b", 100, 0, 0))


def test_p_values_are_corrected_for_the_number_of_pairs() -> None:
    sentence = str(McNemarTest("a", "b", 100, 10, 1, pairs=6))
    assert "no significant difference (McNemar's exact test, Bonferroni-corrected for" in sentence
    assert "6 pairs, p = 0.07)" in sentence


def test_only_images_on_which_one_model_is_right_count() -> None:
    right, also_right = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 1, 0], bool)
    assert McNemarTest.of("a", "b", right, also_right) == McNemarTest("a", "b", 5, 2, 1)
