"""What a sweep found, for people: ``report.html``, and pictures in TensorBoard."""

from search.report.pictures import draw_best
from search.report.report import write_report

__all__ = ["draw_best", "write_report"]
