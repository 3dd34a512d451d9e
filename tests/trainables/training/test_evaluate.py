import numpy as np
import torch

from spaces import TrialParams
from trainables.data import ImageSet
from trainables.inputs import FeatureLoader
from trainables.models import Preprocessing, Weights, build_model, unsplit
from trainables.training import logits_of


def test_logits_are_in_order_and_independent_of_the_batch_size(
    val_set: ImageSet,
    params: TrialParams,
    untrained: Weights,
) -> None:
    model = build_model(params, untrained, 3)
    torch.nn.init.normal_(model.classifier.weight)
    preprocessing = Preprocessing.of("test_efficientnet")
    inputs = FeatureLoader(val_set, unsplit(model, 32), preprocessing, device=torch.device("cpu"))
    together = logits_of(model, inputs)
    inputs.batch_size = 5
    assert together.shape == (len(val_set), 3)
    assert np.allclose(together, logits_of(model, inputs), atol=1e-5)
