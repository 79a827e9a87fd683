"""Taut makes neural networks run inside a budget, and proves it."""
