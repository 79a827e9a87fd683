"""Places where things run: the local machine first."""

from taut.devices.local import default_threads, local_device

__all__ = ["default_threads", "local_device"]
