"""``taut devices``: where networks can run."""

from __future__ import annotations


def devices() -> None:
    """Show this device: what identifies it and which runtimes it has."""
    from taut.devices.local import local_device

    device = local_device()
    print(f"{device.name}  {device.processor}  {device.cores} cores  {device.memory_bytes / 2**30:.0f} GiB")
    print(f"  fingerprint  {device.fingerprint}")
    print(f"  features     {' '.join(device.features)}")
    for name, version in device.runtimes.items():
        print(f"  runtime      {name} {version}")
