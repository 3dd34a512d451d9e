import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainables.models.tracing import frontier_nodes, suffix_node_names, trace


class DropoutModel(nn.Module):
    """A frozen layer, dropout applied in one of five ways, and a head that trains."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.body, self.head, self.drop = nn.Linear(4, 4), nn.Linear(4, 2), nn.Dropout(0.3)
        self.body.requires_grad_(False)
        self.pretrained_cfg = {"classifier": "head"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        match self.way:
            case "positional argument":
                x = F.dropout(x, 0.3, self.training)
            case "keyword argument":
                x = F.dropout(x, p=0.3, training=self.training)
            case "default argument":
                x = F.dropout(x) if self.training else x
            case "module":
                x = self.drop(x)
            case "attention":
                x = F.scaled_dot_product_attention(x, x, x, None, 0.3 if self.training else 0.0)
        return self.head(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "way", ["positional argument", "keyword argument", "default argument", "module", "attention"]
)
def test_dropout_is_after_the_cut_however_it_is_applied(way: str) -> None:
    model = DropoutModel(way)
    training = trace(model.train())
    (border,) = frontier_nodes(training, suffix_node_names(training, model))
    assert border.name == "body"
    evaluating = trace(model.eval())
    (border,) = frontier_nodes(evaluating, suffix_node_names(evaluating, model))
    assert border.name != "body" or way == "default argument"


def test_dropout_with_rate_zero_is_before_the_cut() -> None:
    model = DropoutModel("module")
    model.drop.p = 0.0
    graph = trace(model.train())
    (border,) = frontier_nodes(graph, suffix_node_names(graph, model))
    assert border.name == "drop"
