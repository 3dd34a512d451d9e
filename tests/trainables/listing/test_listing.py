from trainables.listing.listing import natural_key, single_class_error


def test_numbers_in_names_sort_by_value() -> None:
    assert sorted(["10", "9", "a2", "a10", "b"], key=natural_key) == ["9", "10", "a2", "a10", "b"]


def test_names_with_equal_numbers_have_a_fixed_order() -> None:
    assert natural_key("01") != natural_key("1")
    assert sorted({"1", "01", "001"}, key=natural_key) == ["001", "01", "1"]


def test_a_single_class_is_named_in_the_error() -> None:
    assert str(single_class_error("cat")).startswith("Only one class was found (cat);")
