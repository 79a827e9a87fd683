"""A model's file is read whole, once it is known to be a file of bearable size."""

from __future__ import annotations

import stat
from pathlib import Path

from taut.core.errors import BadInput

SIZE_BOUND_BYTES = 2**31
"""Of a file and of its external data together: what one protobuf message, and so one artifact, can hold"""


def read_model_file(path: Path, suffix: str, again: str) -> bytes:
    """Return a file's content, at least one byte. Raises BadInput for what is no regular file up to 2 GiB.

    ``suffix`` names what is wanted (``.onnx``), ``again`` the way out of an empty file.
    """
    _refuse_special(path, suffix, again)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(str(path), f"cannot be read ({error.strerror})", "check its permissions") from error


def _refuse_special(path: Path, suffix: str, again: str) -> None:
    way_out = f"give the path of the {suffix} file"
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise BadInput(str(path), "does not exist", way_out) from error
    except (OSError, ValueError) as error:
        raise BadInput(str(path), f"cannot be read ({error})", way_out) from error
    if stat.S_ISDIR(status.st_mode):
        raise BadInput(str(path), "is a folder", f"give the {suffix} file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(str(path), "is not a regular file", way_out)
    if status.st_size == 0:
        raise BadInput(str(path), "is empty", again)
    if status.st_size > SIZE_BOUND_BYTES:
        raise BadInput(str(path), f"has {status.st_size} bytes", "the bound is 2 GiB")
