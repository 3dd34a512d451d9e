"""What a sweep found, for people: ``report.html``, and pictures in TensorBoard."""

from search.report.report import write_report
from search.report.tensorboard_figures import draw_best

__all__ = ["draw_best", "write_report"]
