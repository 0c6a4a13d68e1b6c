"""The record witness: do logs, submission.json, README and files agree with each other, the rules and the code?

``analyse`` gives the facts; ``executed_lines`` says which print calls a log line proves to have run.
"""

from auditor.record.analyse import analyse, executed_lines

__all__ = ["analyse", "executed_lines"]
