# make demo     train a translation model on embedded data, export it, and translate a sentence with the SavedModel
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

# Made up here, and none of the sentences that the model was trained on.
SENTENCE := Last week the tired sister did not throw away the old newspapers that a clever neighbour gave her.

demo: .venv/installed
	$(BIN)/unroll train translation --preset=demo --workdir=runs/demo
	$(BIN)/unroll evaluate --workdir=runs/demo
	$(BIN)/unroll export --workdir=runs/demo --output=exports/demo
	@sentence="$(SENTENCE)"; \
	if [ -t 0 ]; then \
	    printf 'A sentence like this, or Enter to take it: %s\n> ' "$$sentence"; \
	    read -r typed; sentence="$${typed:-$$sentence}"; \
	fi; \
	$(BIN)/unroll predict --model=exports/demo --n_best=3 --plot=exports/demo-alignment.png "$$sentence"
	@echo "Where the model looked: exports/demo-alignment.png"

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf runs exports build dist *.egg-info .pytest_cache .ruff_cache
