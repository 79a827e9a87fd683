"""C templates specialised to shape and machine, each with a plain reference beside it."""
