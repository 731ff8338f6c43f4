# make demo     train a translation model on embedded data, export it, and translate a sentence with the SavedModel
# make test     lint, type checks and the whole test suite
# make benchmarks   measure training steps against stock Keras and PyTorch, and write docs/speed.md
# All set up .venv first; with PYTHON=python3.12, say, they set up .venv.12 and use it.

PYTHON ?= python3
VENV := .venv$(patsubst python3%,%,$(notdir $(PYTHON)))
BIN := $(VENV)/bin

.PHONY: demo test format benchmarks clean

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

# A new sentence: the training part does not contain it.
SENTENCE := Last week the tired sister did not throw away the old newspapers that a clever neighbour gave her.

demo: $(VENV)/installed
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
	@echo "To try it in a browser: $(BIN)/unroll serve"

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Of PyTorch the build for CPUs.
benchmarks: $(VENV)/installed
	$(BIN)/pip install --quiet --extra-index-url https://download.pytorch.org/whl/cpu --editable '.[benchmarks]'
	$(BIN)/python benchmarks/speed.py

clean:
	rm -rf runs exports build dist *.egg-info .pytest_cache .ruff_cache
