"""Detectors of visible faults, one family a file; `detect.detect` runs them all."""
