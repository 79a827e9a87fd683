"""Fewer bits: quantizers, calibration, placement, static and dynamic int8, weight-only, and training for it."""
