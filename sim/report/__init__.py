"""The report: one HTML file that answers in words first, then shows why."""

from sim.report.report import write_report

__all__ = ["write_report"]
