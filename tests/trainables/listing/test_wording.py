from trainables.listing.wording import name_some, shorten


def test_a_list_names_a_few_and_counts_the_others() -> None:
    assert name_some(["a", "b"]) == "a, b"
    assert name_some(list(range(9))) == "0, 1, 2, 3, 4 and 4 more"
    assert name_some([]) == ""


def test_long_texts_are_cut_to_one_short_line() -> None:
    assert shorten("a\nb") == "a b"
    assert len(shorten("x" * 500)) <= 60
