"""Which backbones to try first on a new image set, by how they did on others."""
