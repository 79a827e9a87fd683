"""Is what ``taut fit`` returns faster than everything that a knowledgeable user would try by hand?

Measures latency and quality of the artifact beside onnxruntime (default, best options, static and dynamic
int8), OpenVINO (float32, its default, NNCF int8) and, where a net can be trained, torch-pruning and further
training with Taut's own recipe and steps; all lines in turns in this run, in processes of their own. Why it
matters: minutes of search must beat trying the others' defaults by hand. The limit: operations at the
processor's peak in a line's precision; for small networks the call itself (some 5 us in onnxruntime, 23 us in
OpenVINO's Python binding).

    python benchmarks/fit_vs_peers.py --models gtcrn --search-time 10m --out runs/fit_vs_peers

Prints a table and a verdict per network; the last line is one JSON object. ``--out`` keeps prepared files,
Taut's runs and ``results.json``: called again, it goes on where it was cut, and measures a finished network
anew only if something that decides its result has changed or ``results.json`` was removed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contest.compare import Settings, compare, identity, open_case
from contest.results import Results, section, summary
from models import MODELS
from models.base import benchmark_cache
from taut.core.errors import Exit, TautError
from taut.devices.local import default_threads


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    models: Sequence[str]
    settings: Settings


def main() -> int:
    """Compare on every network asked for; one that cannot be compared is an entry with its error."""
    request = read_request(sys.argv[1:])
    request.settings.out.mkdir(parents=True, exist_ok=True)
    results = Results(request.settings.out / "results.json")
    exit_code = Exit.YES
    for name in request.models:
        try:
            _compare_one(name, request.settings, results)
        except TautError as error:
            say(f"{name}: {error}")
            results.put(name, {"error": str(error)})
            exit_code = error.exit_code
    print(json.dumps(summary(results.sections(), request.models)))
    return int(exit_code)


def read_request(words: Sequence[str]) -> Request:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(MODELS), help="separated by commas; default: all")
    parser.add_argument("--search-time", default="10m", help="of taut fit, for each network")
    parser.add_argument("--out", type=Path, default=Path("runs/fit_vs_peers"))
    parser.add_argument("--threads", type=int, default=default_threads(), help="of every line alike")
    given = parser.parse_args(words)
    names = given.models.split(",")
    if unknown := sorted(set(names) - set(MODELS)):
        parser.error(f"--models {unknown[0]!r} is none of {', '.join(MODELS)}")
    settings = Settings(given.out.resolve(), given.search_time, given.threads)
    return Request(names, settings)


def _compare_one(name: str, settings: Settings, results: Results) -> None:
    say(f"{name}: preparing the network and its inputs")
    subject = MODELS.load(name)(benchmark_cache())
    case = open_case(subject, settings)
    key = identity(subject, case, settings)
    known = results.find(name, key)
    if known is not None:
        say(f"{name}: finished on {known['date']}; remove {results.file} to measure it again")
        return
    begin = time.monotonic()
    comparison, fit = compare(subject, case, settings, say)
    wall_s = time.monotonic() - begin
    results.put(name, section(key, comparison, fit, settings.threads, wall_s))
    print(comparison.describe(), flush=True)


def say(what: str) -> None:
    """Report progress on standard error; standard output is the result's."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
