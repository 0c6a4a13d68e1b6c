"""Scale-down: from a submission to a toy plan that a laptop runs in seconds. Host side: no torch, nothing executed."""

from auditor.behaviour.scale.model import Change, Failure, Frame, Plan
from auditor.behaviour.scale.plan import plan
from auditor.behaviour.scale.retry import retry

__all__ = ["Change", "Failure", "Frame", "Plan", "plan", "retry"]
