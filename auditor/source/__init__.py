"""The source witness: what the code can do, by data flow from validation tokens to updates and to scores."""

from auditor.source.analysis import analyse

__all__ = ["analyse"]
