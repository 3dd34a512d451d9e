import torch

from trainables.inference import Ensemble


def test_an_ensemble_predicts_the_weighted_mean_of_its_members_probabilities() -> None:
    torch.manual_seed(0)
    members = [torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)]
    images = torch.rand(5, 4)
    with torch.inference_mode():
        probabilities = Ensemble(members, [0.75, 0.25])(images).softmax(dim=1)
        mean = 0.75 * members[0](images).softmax(dim=1) + 0.25 * members[1](images).softmax(dim=1)
    torch.testing.assert_close(probabilities, mean)


def test_a_member_with_a_probability_of_zero_does_not_veto_a_class() -> None:
    sure = torch.nn.Linear(1, 2)
    with torch.no_grad():
        sure.weight.zero_()
        sure.bias.copy_(torch.tensor([200.0, -200.0]))
        unsure = torch.nn.Linear(1, 2)
        for parameter in unsure.parameters():
            parameter.zero_()
        probabilities = Ensemble([sure, unsure], [0.5, 0.5])(torch.rand(1, 1)).softmax(dim=1)
    torch.testing.assert_close(probabilities, torch.tensor([[0.75, 0.25]]))
