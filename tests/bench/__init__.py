"""Benchmarks: `pytest -m bench -s FILE` prints figures and judges none.

Each also has a short form that runs with the suite: the same code on something small, whose results must be
equal, so that none of them rots.
"""
