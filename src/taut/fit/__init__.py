"""The main job: preflight, loop, ledger, result.

``taut.fit`` names both this package and the function that people call, so the package itself is callable:
``taut.fit(model, task, budget="p50<=2ms, drop<=1")`` is ``taut.fit.api.fit``.
"""

from __future__ import annotations

import sys
import types
from typing import Any


class _CallablePackage(types.ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from taut.fit.api import fit

        return fit(*arguments, **options)


sys.modules[__name__].__class__ = _CallablePackage
