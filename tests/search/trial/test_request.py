from search.record import Repeat
from search.trial import TrialRequest
from spaces import TrialParams


def test_a_request_passes_through_rays_configuration_unchanged() -> None:
    params = TrialParams(backbone="a", dropout=0.3)
    request = TrialRequest(7, params, Repeat(3, seed=1, rounds=2), True, ("node",))
    config = request.to_ray()
    assert len(config) == 1, "one key, which nobody else reads"
    assert TrialRequest.from_ray(config) == request
