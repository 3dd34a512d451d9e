import torch
from torch import fx, nn

from trainables.models.boundary import Boundary
from trainables.models.split_graphs import graph_module, prefix_graph, suffix_graph


class Model(nn.Module):
    """A frozen layer, a use of the batch size, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.unused, self.head = nn.Linear(4, 6), nn.Linear(4, 4), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return self.head(y.reshape(x.size(0), 2, 3).sum(1))  # type: ignore[no-any-return]


def test_prefix_and_suffix_equal_the_whole_model_at_any_batch_size() -> None:
    model = Model()
    graph = fx.Tracer().trace(model)
    frontier = ["size", "body"]
    suffix_nodes = {"reshape", "sum_1", "head", "output"}
    prefix = graph_module(model, prefix_graph(graph, frontier))
    probes = [torch.rand(n, 4) for n in (2, 3)]
    boundary = Boundary.of(*(prefix(probe) for probe in probes))
    assert boundary.kinds == ("batch", "feature")
    suffix = graph_module(model, suffix_graph(graph, suffix_nodes, frontier, boundary))
    images = torch.rand(5, 4)
    features = boundary.features(prefix(images))
    torch.testing.assert_close(suffix(*features), model(images))


def test_a_split_graph_has_only_the_modules_that_it_runs() -> None:
    model = Model()
    graph = fx.Tracer().trace(model)
    prefix = graph_module(model, prefix_graph(graph, ["body"]))
    assert [name for name, _ in prefix.named_children()] == ["body"]
    assert prefix.body is model.body
