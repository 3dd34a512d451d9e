"""Second machine for tests: the test cluster's other node, which shares this machine's disk."""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def elsewhere(function: Any) -> Any:
    """Make a function a Ray task that runs on the other node, not on the driver's."""
    here = ray.get_runtime_context().get_node_id()
    other = next(node["NodeID"] for node in ray.nodes() if node["NodeID"] != here)
    there = NodeAffinitySchedulingStrategy(other, soft=False)
    return ray.remote(num_cpus=0)(function).options(scheduling_strategy=there)
