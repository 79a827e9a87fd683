"""Moves that change how a network runs and nothing else: runtime, precision, settings, regions."""
