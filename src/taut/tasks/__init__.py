"""Tasks: data, losses and metrics by which networks are judged."""
