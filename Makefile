# Each target is a thin call; `python cli.py --help` tells the rest. Variables: DATASET, DATA, RUNS, RECIPE, PYTHON.
PYTHON ?= python3
VENV ?= .venv
DATASET ?= vehicleid
DATA ?= data
RUNS ?= runs
RECIPE ?= pgan
SPLIT ?=
READY := $(VENV)/.ready
PGAN := $(VENV)/bin/python cli.py
WHERE := --dataset $(DATASET) --data-root $(DATA) --runs $(RUNS)
DEMO := --dataset synthetic --data-root $(DATA) --runs $(RUNS)/demo

.PHONY: help setup demo detect train evaluate report bench test lint format

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*##/\t/' | expand -t 12

setup: $(READY)  ## Make .venv with everything in it

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	# MMEngine asks for the OpenCV that needs libGL; both flavours share the folder cv2, so only one may stay
	$(VENV)/bin/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --no-deps opencv-python-headless
	$(PGAN) --version
	touch $(READY)

demo: $(READY)  ## The whole job on synthetic vehicles, both stages, a score and a page
	$(PGAN) demo --data-root $(DATA) --runs $(RUNS)

detect: $(READY)  ## Stage one: part boxes of DATASET into RUNS/DATASET/parts.h5
	$(PGAN) detect $(WHERE)

train: $(READY)  ## Stage two: train RECIPE on DATASET
	$(PGAN) train $(WHERE) --recipe $(RECIPE)

evaluate: $(READY)  ## Score RECIPE on DATASET
	$(PGAN) evaluate $(WHERE) --recipe $(RECIPE) $(if $(SPLIT),--split $(SPLIT))

report: $(READY)  ## Write the HTML page of RECIPE on DATASET
	$(PGAN) report $(WHERE) --recipe $(RECIPE)

bench: $(READY)  ## Speed and memory as ratios
	KINETO_LOG_LEVEL=5 $(VENV)/bin/python -m benchmarks

test: $(READY)  ## Run the tests
	$(VENV)/bin/python -m pytest

lint: $(READY)  ## Check format, style and types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(READY)  ## Put the code in the project's format
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
