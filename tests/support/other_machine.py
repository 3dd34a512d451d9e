"""Another machine: the second raylet of the cluster. Its disk is the same, its identity is not."""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def elsewhere(function: Any) -> Any:
    """A function as a task that runs on a machine that is not the driver's."""
    here = ray.get_runtime_context().get_node_id()
    other = next(node["NodeID"] for node in ray.nodes() if node["NodeID"] != here)
    there = NodeAffinitySchedulingStrategy(other, soft=False)
    return ray.remote(num_cpus=0)(function).options(scheduling_strategy=there)
