"""What a setting costs before it runs: memory by stage, compute, relative time, and the settings that fit.

Closed forms, standard library only. `cogexp.plan.exact` traces the same figures with torch's fake tensors.
"""

from cogexp.plan.fit import Plan, plan
from cogexp.plan.settings import Suggestion

__all__ = ["Plan", "Suggestion", "plan"]
