"""Learning from the original: what cutting and rounding lost is recovered by training."""
