"""The search itself: Ray Tune, the study, early stopping, machines and budgets."""
