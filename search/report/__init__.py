"""What a sweep found, as one page for people: ``report.html``."""

from search.report.report import write_report

__all__ = ["write_report"]
