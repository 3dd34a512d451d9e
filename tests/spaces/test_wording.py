from spaces.wording import counted, name_some, shorten


def test_a_list_names_a_few_and_counts_the_others() -> None:
    assert name_some(["a", "b"]) == "a, b"
    assert name_some(list(range(9))) == "0, 1, 2, 3, 4 and 4 more"
    assert name_some([]) == ""


def test_long_texts_are_cut_to_one_short_line() -> None:
    assert shorten("a\nb") == "a b"
    assert len(shorten("x" * 500)) <= 60


def test_a_count_has_its_noun_in_the_singular_or_plural() -> None:
    assert counted(1, "trial") == "1 trial"
    assert counted(0, "trial") == "0 trials"
    assert counted(2, "class", "classes") == "2 classes"
