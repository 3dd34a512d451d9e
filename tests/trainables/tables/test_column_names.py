from trainables.tables.column_names import column_words, is_id_name, is_image_name, named_like


def test_names_of_columns_are_read_as_words() -> None:
    assert column_words("imageID") == column_words("image_id") == ["image", "id"]
    assert is_id_name("ImageID") and is_id_name("image-id") and not is_id_name("identity")
    assert is_image_name("Image Path") and not is_image_name("pathology")
    assert named_like("is valid", {"is_valid"})
