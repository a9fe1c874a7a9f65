"""The inside of a model at a setting: shape tables of every stage, and two settings compared."""

from cogexp.inspect.row import PARTS, Row
from cogexp.inspect.shapes import shapes

__all__ = ["PARTS", "Row", "shapes"]
