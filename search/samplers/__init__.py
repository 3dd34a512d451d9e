"""What proposes points: a name to an Optuna sampler, and our own."""
