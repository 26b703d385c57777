"""Statistics of a handful of seeds, as pure functions of a sample: a file for each question.

docs/statistics.md explains every number in plain words, with formula, source and assumptions.
"""

from orchestrator.answer.statistics.summary import Summary, paired, summarise

__all__ = ["Summary", "paired", "summarise"]
