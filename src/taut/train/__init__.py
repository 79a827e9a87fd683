"""The one training loop, distillation losses, and the store of trained nets."""
