"""How the score is counted: byte tables and their use, native code, the model's causality, text normalisation."""

from auditor.source.metric.gather import analyse_metric

__all__ = ["analyse_metric"]
