# Needs Python 3.11 or newer and make, nothing else. Everything is installed into .venv, once.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
BENCH_READY := .venv/bench-ready
TESTS ?= tests
TORCH := torch==2.13.0

.PHONY: demo test lint bench check clean

# Trains a small net on scikit-learn's digits and fits it to half its latency; under 4 minutes.
# A missed budget (exit code 3, on a busy machine) is a result too, with its report.
demo: $(READY)
	rm -rf runs/demo
	$(BIN)/taut fit taut:digits-cnn --data digits --budget "p50<=50%, drop<=1" --search-time 140s --out runs/demo || test $$? -eq 3

test: $(READY)
	$(BIN)/python -m pytest $(TESTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Taut and its peers on real networks, interleaved in one run; long, and best on a quiet machine.
bench: $(BENCH_READY)
	$(BIN)/python benchmarks/fit_vs_peers.py

# What CI runs.
check: lint test

clean:
	rm -rf .venv runs/demo

# torch is named in every pip command: left to a dependency, pip takes a newer build of several gigabytes.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Taut needs Python 3.11 or newer: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(TORCH) -e '.[train,openvino,dev]' -c constraints.txt
	touch $@

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet $(TORCH) -e '.[train,openvino,dev,peers,hf]' -c constraints.txt
	touch $@
