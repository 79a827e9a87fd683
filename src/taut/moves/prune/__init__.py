"""Structured channel pruning: groups, importance, cutting, reconstruction, and the move made of them."""
