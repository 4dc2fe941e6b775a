"""Reports of benchmark results: tables, charts and findings, in the order of the community's report.

    >>> from pyane.report import build, load
    >>> from pyane.report.markdown import render_markdown
    >>> print(render_markdown(build(community=True)).splitlines()[0])
    # Apple Neural Engine: cross-generation benchmark report

`load()` is that report as data; `read.read_results` reads files, `write.write_report` writes one.
"""

from __future__ import annotations

from .assemble import build
from .community import Community, load
from .document import Document
from .quantity import Quantity
from .rows import PeakRow, SustainedRow, TrainingRow

__all__ = [
    "Community",
    "Document",
    "PeakRow",
    "Quantity",
    "SustainedRow",
    "TrainingRow",
    "build",
    "load",
]
