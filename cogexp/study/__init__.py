"""From many records to a decision. `load(dir)` gives the rows, `pick(study, query)` the recommendation."""

from cogexp.study.pick import Choice, Query, pick
from cogexp.study.table import Row, Study, load, study_of

__all__ = ["Choice", "Query", "Row", "Study", "load", "pick", "study_of"]
