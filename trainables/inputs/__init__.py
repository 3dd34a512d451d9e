"""What a trainable part is fed: augmented views of images, as pixels or kept features."""
