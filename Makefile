# make demo     train on embedded data, export, and classify sentences with the SavedModel
# make test     lint and the whole test suite
# Both set up .venv first.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test format clean

.venv/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test]'
	# Editors and type checkers do not follow the editable install's mapping; they can be pointed at this link.
	mkdir -p .types && ln -sfn .. .types/unroll
	touch $@

demo: .venv/installed
	$(BIN)/unroll train sentiment --preset=demo --workdir=runs/demo
	$(BIN)/unroll evaluate --workdir=runs/demo
	$(BIN)/unroll export --workdir=runs/demo --output=exports/demo
	$(BIN)/unroll predict --model=exports/demo \
	    "The plot is dull at first, but I adored the ending." \
	    "Nobody could call this kettle good." \
	    "My neighbour told me that the film was terrible; I found nothing of the kind."

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf runs exports build dist *.egg-info .pytest_cache .ruff_cache
