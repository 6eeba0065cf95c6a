"""The report: one HTML file with sliders, which computes the formulas of options.toml itself."""

from lambda_llm.cost.report.page import ReportError, page, write

__all__ = ["ReportError", "page", "write"]
