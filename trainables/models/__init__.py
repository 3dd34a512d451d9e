"""timm backbones: weights, heads, what of them is frozen, and how fast they compute."""
