"""Fewer bits: quantizers, calibration, placement, static and dynamic int8, weights alone, and training."""
