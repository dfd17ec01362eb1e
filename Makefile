# Each target calls cli.py; see `python cli.py --help`.
# Variables: DATASET, DATA, RUNS, DETECTOR (of stage one: a trained one, a weights file or shipped), RECIPE (of stage two),
# SPLIT, PYTHON.
PYTHON ?= python3
VENV ?= .venv
DATASET ?= vehicleid
DATA ?= $(or $(VEHICLE_DATA),data)
RUNS ?= runs
DETECTOR ?=
RECIPE ?=
SPLIT ?=
READY := $(VENV)/.ready
CRASHES := tests/faults/detect/test_crash.py
PGAN := $(VENV)/bin/python cli.py
WHERE := --dataset $(DATASET) --data-root $(DATA) --runs $(RUNS)
DEMO := --dataset synthetic --data-root $(DATA) --runs $(RUNS)

.PHONY: help setup demo detect train evaluate report bench test soak lint format

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*##/\t/' | expand -t 12

setup: $(READY)  ## Create .venv with all packages

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON): the pinned packages need Python 3.11 to 3.13; choose one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	# MMEngine depends on the OpenCV that needs libGL; both share the folder cv2, so keep the headless one only
	$(VENV)/bin/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --no-deps opencv-python-headless
	$(PGAN) doctor
	touch $(READY)

demo: $(READY)  ## Everything on synthetic vehicles: both stages, a score and a report
	$(PGAN) synth --data-root $(DATA) --preview
	$(PGAN) parts train $(DEMO) --recipe demo
	$(PGAN) detect $(DEMO) --detector demo
	$(PGAN) train $(DEMO) --recipe demo
	$(PGAN) evaluate $(DEMO) --recipe demo --untrained
	$(PGAN) report $(DEMO) --recipe demo

detect: $(READY)  ## Stage one: part boxes of DATASET into RUNS/DATASET/parts.h5
ifeq ($(DATASET),synthetic)  # needs no data: render what is missing
	$(PGAN) synth --data-root $(DATA)
endif
	$(PGAN) detect $(WHERE) $(if $(DETECTOR),--detector $(DETECTOR))

train: $(READY)  ## Stage two: train RECIPE on DATASET
	$(PGAN) train $(WHERE) $(if $(RECIPE),--recipe $(RECIPE))

evaluate: $(READY)  ## Score RECIPE, or the newest run, on DATASET
	$(PGAN) evaluate $(WHERE) $(if $(RECIPE),--recipe $(RECIPE)) $(if $(SPLIT),--split $(SPLIT))

report: $(READY)  ## Write the HTML report of RECIPE, or of the newest run, on DATASET
	$(PGAN) report $(WHERE) $(if $(RECIPE),--recipe $(RECIPE)) $(if $(SPLIT),--split $(SPLIT))

bench: $(READY)  ## Speed and memory as ratios
	KINETO_LOG_LEVEL=5 OMP_WAIT_POLICY=PASSIVE $(VENV)/bin/python -m benchmarks  # as cli.py does

test: $(READY)  ## Run the tests
	$(VENV)/bin/python -m pytest --ignore=$(CRASHES)
	$(VENV)/bin/python -m pytest $(CRASHES)  # in a process of its own, because it kills processes

soak: $(READY)  ## Kill, starve and damage runs for up to 20 minutes; print a table
	PYTHONPATH=tests OMP_WAIT_POLICY=PASSIVE $(VENV)/bin/python -m soak

lint: $(READY)  ## Check format, style and types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(READY)  ## Format the code
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
