# make demo · make test · make check · make bench · make evidence; each creates .venv by itself.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench evidence lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/ready: pyproject.toml .ci/requirements.txt .ci/setup
	@PYTHON="$(PYTHON)" bash .ci/setup $(VENV)

demo: $(VENV)/ready ## simulate the Hải Phòng peak hour, then load a stand-in portal for a minute
	@$(RUN)/hoso run peak-hour
	@$(RUN)/hoso load minute || [ $$? = 4 ]

test: $(VENV)/ready ## unit, theory, golden, metamorphic and system tests, on two processes
	@$(RUN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/ready ## format, lint, types and architecture
	@$(RUN)/ruff format --check .
	@$(RUN)/ruff check .
	@$(RUN)/mypy
	@$(RUN)/lint-imports

format: $(VENV)/ready ## let ruff lay out the code
	@$(RUN)/ruff format .
	@$(RUN)/ruff check --fix .

bench: $(VENV)/ready ## speed and memory, as ratios measured side by side
	@$(RUN)/python .ci/bench $(BENCH)

evidence: $(VENV)/ready ## the longer checks that `make test` leaves out
	@$(RUN)/pytest -m slow

lock: $(VENV)/ready ## resolve the pinned requirements again
	@$(RUN)/pip install -q uv
	@$(RUN)/uv pip compile -q --universal --python-version 3.11 --all-extras --group dev --no-header \
		--no-emit-index-url pyproject.toml -o .ci/requirements.txt

clean: ## remove the environment and the caches
	@rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
