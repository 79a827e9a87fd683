"""Networks as short specs."""
