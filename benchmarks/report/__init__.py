"""Results as a page: tables and pictures made from benchmarks/results/*.json and nothing else."""

from benchmarks.report.page import render

__all__ = ["render"]
