"""The page of operators: what the compiler computes, which attributes it honours, what it refuses.

``python -m taut.runtimes.aot.operators > docs/operators.md`` writes it anew.
"""

from __future__ import annotations

from taut.runtimes.aot.ops import rules
from taut.runtimes.aot.ops.contract import contract_of

_OPENING = """# Operators that aot compiles

{count} operators of ONNX, opset 7 and later, with fixed shapes. A node with anything that its row does not
have is refused: an attribute that is not listed, a type that C does not compute with (float16, text), an
output that no kernel makes. onnxruntime then computes it, and what is left of the graph is compiled in
segments; a graph of which nothing is left is refused with the name of a node. What follows from constants
alone is computed beforehand.

This page is written by `python -m taut.runtimes.aot.operators`.

| Operator | Attributes | Refused |
|---|---|---|
"""


def page() -> str:
    """Return the page as Markdown."""
    names = sorted(rules())
    rows = [
        f"| {name} | {' '.join(sorted(contract_of(name).attributes))} | {contract_of(name).refused} |\n"
        for name in names
    ]
    return _OPENING.format(count=len(names)) + "".join(rows)


if __name__ == "__main__":
    print(page(), end="")
