"""A search space in which a range and a parameter depend on others."""

from spaces import SearchSpace

CONDITIONAL = SearchSpace.from_table(
    {
        "backbone": {"choices": ["a", "b"]},
        "optimizer": {"choices": ["adamw", "sgd"]},
        "learning_rate": {
            "low": 1e-4,
            "high": 1e-2,
            "log": True,
            "cases": [{"when": {"optimizer": "sgd"}, "low": 1e-2, "high": 1.0, "log": True}],
        },
        "drop_path": {"when": {"backbone": "b"}, "low": 0, "high": 0.3},
    },
    name="conditional",
)
