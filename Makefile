# Each target sets up what it needs in .venv by itself; only python3 (3.11 or newer), its pip and make are assumed.
# PYTHON=python3.12 chooses another interpreter, ARGS="..." is passed on to the command.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# What the fastMRI oracle imports beside the packages that are here anyway.
ORACLES := fastmri runstats pandas requests certifi charset-normalizer idna urllib3
WEIGHTS := src/invrim/weights/brain.safetensors
CHECKED := src tests benchmarks recipes docs examples
# deepinv brings torchvision, whose build on PyPI not every torch can load: away from everything else.
DEEPINV := .venv-deepinv
# Ray brings pyarrow and a server of its own.
RAY := .venv-ray

.PHONY: help demo test test-deepinv test-ray check bench table instruments weights clean
.DELETE_ON_ERROR:

help:
	@echo "make demo      install, then the whole story on this machine   (ARGS=\"--minutes 1\" for a short one)"
	@echo "make test      install, then all tests                         (ARGS=\"tests/laws\" for some)"
	@echo "make test-deepinv    install deepinv into an environment of its own, then test the adapter"
	@echo "make test-ray        install Ray into an environment of its own, then test reconstruction on a cluster"
	@echo "make check     style, types, and who may import whom"
	@echo "make bench     measure memory, time, quality and stability; writes benchmarks/results/*.json"
	@echo "make instruments     train and score the examples: deconvolution and tomography (an hour)"
	@echo "make table     train every model for the same time, score them on unseen scans (40 minutes on 2 cores)"
	@echo "make weights   make the training data and train the weights that ship (hours without a GPU)"
	@echo "make clean     remove the virtual environment and everything that tools left behind; runs/ stays"

demo: $(VENV)/.run
	$(BIN)/invrim demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

test-deepinv: $(DEEPINV)/.dev
	$(DEEPINV)/bin/python -m pytest tests/interop $(ARGS)

test-ray: $(RAY)/.dev
	$(RAY)/bin/python -m pytest tests/reconstruction/test_on_ray.py $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/depth.py
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/heap.py
	$(BIN)/python benchmarks/budget.py
	$(BIN)/python benchmarks/tiles.py
	$(BIN)/python benchmarks/drift.py
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/stability.py
	$(BIN)/python benchmarks/stability_figure.py
	$(BIN)/python benchmarks/volume.py
	$(BIN)/python benchmarks/shards.py
	$(BIN)/python benchmarks/planner.py
	$(BIN)/python benchmarks/nufft.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/scaling_figure.py
	$(BIN)/python docs/fill_tables.py

instruments: $(VENV)/.dev
	$(BIN)/python examples/deconvolution.py
	$(BIN)/python examples/tomography.py
	$(BIN)/python docs/fill_tables.py

table: $(VENV)/.run
	$(BIN)/python recipes/brain_data.py
	$(BIN)/python benchmarks/models.py models --jobs 2
	$(BIN)/python benchmarks/models.py steps --updates 500 --jobs 2
	$(BIN)/python benchmarks/steps_figure.py
	$(BIN)/python docs/fill_tables.py

weights: $(VENV)/.run
	$(BIN)/python recipes/brain_data.py
	rm -rf runs/brain runs/brain-further
	$(BIN)/invrim train --config recipes/brain.yaml
	$(BIN)/invrim train --config recipes/brain_further.yaml
	cp runs/brain-further/weights.safetensors $(WEIGHTS).part
	mv $(WEIGHTS).part $(WEIGHTS)

clean:
	rm -rf $(VENV) $(DEEPINV) $(RAY) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(CHECKED) -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first, alone, and by exact version: a range takes the newest build, which on a machine without a GPU brings
# gigabytes of CUDA libraries even where pip is configured to offer a CPU build of this version.
$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("invrim needs Python 3.11 or newer, got " + sys.version.split()[0] + \
	    ". Name another one: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): torch (some hundred megabytes), then the rest ..."
	@$(PIP) $$(grep '^torch==' constraints.txt)
	@$(PIP) --editable '.[bart]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "installing the test tools into $(VENV) ..."
	@$(PIP) --editable '.[dev,bart,dicom,nufft,raw]'
	@$(PIP) --no-deps $(ORACLES)
	@touch $@

$(DEEPINV)/.dev: pyproject.toml constraints.txt
	@test -x $(DEEPINV)/bin/python || $(PYTHON) -m venv $(DEEPINV)
	@echo "installing into $(DEEPINV): torch, deepinv and the test tools ..."
	@$(subst $(BIN),$(DEEPINV)/bin,$(PIP)) $$(grep '^torch==' constraints.txt)
	@$(subst $(BIN),$(DEEPINV)/bin,$(PIP)) --editable '.[deepinv]' pytest pytest-timeout
	@touch $@

$(RAY)/.dev: pyproject.toml constraints.txt
	@test -x $(RAY)/bin/python || $(PYTHON) -m venv $(RAY)
	@echo "installing into $(RAY): torch, Ray and the test tools ..."
	@$(subst $(BIN),$(RAY)/bin,$(PIP)) $$(grep '^torch==' constraints.txt)
	@$(subst $(BIN),$(RAY)/bin,$(PIP)) --editable '.[ray]' pytest pytest-timeout
	@touch $@
