"""Errors a person sees are one line with what was given, the rule and the way out."""

from __future__ import annotations

import pytest

from taut.core.errors import BadInput, EnvironmentFailed, Exit, TautError


@pytest.mark.parametrize(("kind", "code"), [(BadInput, 2), (EnvironmentFailed, 6), (TautError, 1)])
def test_error_is_one_line_with_its_exit_code(kind: type[TautError], code: int) -> None:
    error = kind("file 'a\nb'", "breaks\r\n a rule", "do\tthis")
    assert str(error) == "file 'a b': breaks a rule; do this"
    assert error.exit_code == code


def test_exit_codes_are_those_of_the_documentation() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "YES": 0,
        "BUG": 1,
        "BAD_INPUT": 2,
        "NO": 3,
        "UNDECIDED": 4,
        "MODELLED": 5,
        "ENVIRONMENT": 6,
    }
