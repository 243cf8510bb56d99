# `make demo` and `make test` set themselves up: the first of them to run creates $(VENV).
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test lint type format package clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	touch $@

demo: $(INSTALLED)
	$(BIN)/srvp-world demo --out runs/demo

test: lint type
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(INSTALLED)
	$(BIN)/mypy -p srvp_world

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds sdist -> wheel and uses the wheel as a stranger would: new environment, another folder.
package: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build
	away=$$(mktemp -d) && trap 'rm -rf "$$away"' EXIT && \
	$(PYTHON) -m venv "$$away/venv" && \
	"$$away/venv/bin/python" -m pip install -c constraints.txt dist/*.whl && \
	cp .ci/check_wheel.py "$$away" && cd "$$away" && venv/bin/python check_wheel.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
