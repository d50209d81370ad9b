"""HTML reports and figures of fitted models.

This package only reads the files of a result folder and writes files next to them. It needs
neither Spark nor what fits models, so a report can be rebuilt on a machine that has no JVM.
"""

from w261reg.report.page import figures_of, write_combined_report, write_report
from w261reg.report.text import summary_rows

__all__ = ["figures_of", "summary_rows", "write_combined_report", "write_report"]
