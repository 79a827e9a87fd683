"""Our own runtime: the whole network as one C file, compiled where it runs."""
