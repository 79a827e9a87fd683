"""Taut against its peers on one network: fit, time in turns, judge, prove, and the table of it."""
