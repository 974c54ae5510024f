# Each target sets up .venv by itself: Python 3.10 or later and make are all that a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Made when the set-up is complete; older than the files it depends on, it is made anew.
STAMP := $(VENV)/.set-up
TYPES := build/types

.PHONY: demo test lessons bench lint types clean

demo: $(STAMP)
	$(BIN)/mixdvae demo -o out/demo --overwrite

test: lint types
	$(BIN)/python -m pytest -n 2
	if ls notebooks/*.ipynb >/dev/null 2>&1; then $(BIN)/python -m pytest -n 2 --nbmake notebooks; fi

# Runs the notebooks and keeps their outputs.
lessons: $(STAMP)
	$(BIN)/python -m pytest -n 2 --nbmake --overwrite notebooks

# Quality needs a folder of MOTChallenge sequences: make bench DATA=folder
bench: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/track_speed.py
	if [ -n "$(DATA)" ]; then $(BIN)/mixdvae bench mot "$(DATA)" -T 60 120 240 -o out/bench --overwrite; fi

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy follows folders, not the mapping of models/ and guides/ to pyro_mixdvae.models and .guides in pyproject.toml:
# a tree of links shows it the packages as they are when installed.
types: $(STAMP)
	rm -rf $(TYPES)
	mkdir -p $(TYPES)/pyro_mixdvae
	ln -s $(CURDIR)/pyro_mixdvae/* $(CURDIR)/models $(CURDIR)/guides $(TYPES)/pyro_mixdvae/
	MYPYPATH=$(TYPES) $(BIN)/mypy -p pyro_mixdvae

clean:
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
