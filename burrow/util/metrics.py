"""Metrics by the module name that code written for Ray uses; exported nowhere."""

from burrow_jupyter.api.util.metrics import Counter, Gauge, Histogram

__all__ = ("Counter", "Gauge", "Histogram")
