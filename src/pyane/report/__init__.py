"""Reports of benchmark results: tables, charts and findings, as the community's report has them.

`pyane.report.community.load()` is that report as data.
"""

from __future__ import annotations

from .community import Community, load
from .quantity import Quantity
from .rows import PeakRow, SustainedRow, TrainingRow

__all__ = ["Community", "PeakRow", "Quantity", "SustainedRow", "TrainingRow", "load"]
