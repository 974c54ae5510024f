# Each target sets up .venv by itself: Python 3.10 or later and make are all that a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Made when the set-up is complete; older than the files it depends on, it is made anew.
STAMP := $(VENV)/.set-up
TYPES := build/types

.PHONY: demo kernels test slow lessons docs fuzz soak bench lint types lowest pythons audit clean

demo: $(STAMP)
	$(BIN)/mixdvae demo -o out/demo --overwrite

# Side by side: mypy is one process, and the longest kernels are one at the end.
test: lint
	$(MAKE) -j 2 types kernels
	$(BIN)/python -m pytest -n 2 -m "not slow"

# Compiled side by side: two processes of pytest would each wait for the same.
kernels: $(STAMP)
	$(BIN)/python tests/kernels.py

# What takes minutes: wheels, killed processes, every combination of parts; and all lessons as they stand.
slow: kernels
	$(BIN)/python -m pytest -n 2 -m slow
	$(BIN)/python -m pytest -n 2 --nbmake notebooks

# Runs the notebooks and keeps their outputs.
lessons: $(STAMP)
	$(BIN)/python -m pytest -n 2 --nbmake --overwrite notebooks

# The site, in build/site, from the documents, the notebooks as they are in git, and the code; and a browser on it.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/site
	$(BIN)/python -m pytest tests/site

# Hostile inputs, new ones each time: about an hour. A failure prints how to try the same again.
EXAMPLES ?= 600
fuzz: $(STAMP)
	FUZZ_EXAMPLES=$(EXAMPLES) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests/fuzz

# Long and rude: a million frames of live tracking, an hour of sound, two thousand runs that are killed.
soak: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/live_soak.py --frames 1000000
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/sound_soak.py --seconds 3600
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/killed_runs.py --runs 500

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

# Imports and a short track with the lowest versions that pyproject.toml admits. Of PyTorch the newest of constraints.txt
# stands in, as older builds hold GPU libraries of gigabytes: make lowest TORCH=torch takes its lowest too.
lowest:
	rm -rf build/lowest
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet --no-deps -e .
	grep '^torch==' constraints.txt > build/lowest.txt
	if [ -n "$(TORCH)" ]; then : > build/lowest.txt; fi
	build/lowest/bin/python tests/lowest.py $(TORCH) >> build/lowest.txt
	build/lowest/bin/python -m pip install --quiet -c build/lowest.txt -e .
	build/lowest/bin/python tests/short_track.py
	rm -rf build/lowest

# The same on each Python that is there, with the versions of constraints.txt; PYTHONS may hold paths. With pyenv:
# PYENV_VERSION=3.10.13:3.13.0 make pythons
PYTHONS ?= python3.10 python3.11 python3.12 python3.13
pythons:
	for python in $(PYTHONS); do \
	    if ! "$$python" -c "" 2>/dev/null; then echo "$$python is not here"; continue; fi; \
	    rm -rf build/python && "$$python" -m venv build/python \
	    && build/python/bin/python -m pip install --quiet -c constraints.txt -e . \
	    && build/python/bin/python tests/short_track.py && rm -rf build/python || exit 1; \
	done

# Known vulnerabilities of what is installed, by PyPI's database; fails where that cannot be asked. A local build, as
# torch 2.13.0+cpu, is looked up as its release.
audit: $(STAMP)
	test -x build/audit/bin/pip || $(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	$(BIN)/python -m pip freeze --all --exclude pyro-mixdvae | sed 's/+[a-z0-9.]*$$//; s/ @ .*//' > build/audit.txt
	build/audit/bin/pip-audit --strict --disable-pip --no-deps -r build/audit.txt

clean:
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
