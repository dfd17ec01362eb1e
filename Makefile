# Each target calls cli.py; see `python cli.py --help`. `make help` lists the targets and the variables.
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
DATASET ?= vehicleid
DATA ?= $(or $(VEHICLE_DATA),data)
RUNS ?= runs
DETECTOR ?=
RECIPE ?=
SET ?=
NAME ?=
SPLIT ?=

# What each variable is, for `make help`
VARIABLES := PYTHON VENV TORCH_INDEX DATASET DATA RUNS DETECTOR RECIPE SET NAME SPLIT
PYTHON_IS := setup: the Python, 3.11 to 3.13
VENV_IS := setup: folder of the packages
TORCH_INDEX_IS := setup: package index for PyTorch without CUDA, see docs/install.md
DATASET_IS := all stages: data set, as --dataset; evaluate, report: by default that of the run
DATA_IS := all stages: folder of the data sets; the environment variable VEHICLE_DATA is its default
RUNS_IS := all stages: folder for all output
DETECTOR_IS := detect: a detector by name, a weights file or shipped; default: the one trained last, or shipped
RECIPE_IS := train: a preset or a YAML file; default: pgan on a GPU, pgan_small on a CPU
SET_IS := train: changes of the recipe, such as SET="lambda=1 parts=6"
NAME_IS := train: name of the run, default: the recipe; evaluate, report: the run, default: RECIPE, or the newest
SPLIT_IS := evaluate, report: small, medium, large, test, track or all; default: the largest

READY := $(VENV)/.ready
CRASHES := tests/faults/detect/test_crash.py
PGAN := $(VENV)/bin/python cli.py
WHERE := --dataset $(DATASET) --data-root $(DATA) --runs $(RUNS)
DEMO := --dataset synthetic --data-root $(DATA) --runs $(RUNS)
# of a trained run: without NAME, DATASET and DATA it is the newest, on its own data
given = $(if $(filter file,$(origin $(1))),,$(2) $($(1)))
RUN = --runs $(RUNS) $(call given,DATASET,--dataset) $(call given,DATA,--data-root) $(addprefix --run ,$(or $(NAME),$(RECIPE)))

.PHONY: help setup demo detect train evaluate report bench test soak lint format

help:  ## List the targets and the variables
	@echo 'Usage: make TARGET [VARIABLE=VALUE ...]'
	@echo
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*##/  \1\t/' | expand -t 14
	@echo
	@echo 'Variables and their values now:'
	@$(foreach one,$(VARIABLES),printf '  %-12s%-12s%s\n' '$(one)' '$(or $($(one)),-)' '$($(one)_IS)';)

setup: $(READY)  ## Create .venv with all packages

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON): the pinned packages need Python 3.11 to 3.13; choose one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(if $(TORCH_INDEX),$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --index-url $(TORCH_INDEX) torch torchvision)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	# MMEngine depends on the OpenCV that needs libGL; both share the folder cv2, so keep the headless one (docs/install.md)
	$(VENV)/bin/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --no-deps opencv-python-headless
	$(PGAN) doctor
	touch $(READY)

demo: $(READY)  ## Everything on synthetic vehicles: both stages, a score and a report
	$(PGAN) synth --data-root $(DATA) --preview
	$(PGAN) parts train $(DEMO) --recipe demo
	$(PGAN) detect $(DEMO) --detector demo
	$(PGAN) train $(DEMO) --recipe demo
	$(PGAN) evaluate $(DEMO) --run demo --untrained
	$(PGAN) report $(DEMO) --run demo

detect: $(READY)  ## Stage one: part boxes of DATASET into RUNS/DATASET/parts.h5
ifeq ($(DATASET),synthetic)  # needs no data: render what is missing
	$(PGAN) synth --data-root $(DATA)
endif
	$(PGAN) detect $(WHERE) $(addprefix --detector ,$(DETECTOR))

train: $(READY)  ## Stage two: train RECIPE, changed by SET, on DATASET as the run NAME
	$(PGAN) train $(WHERE) $(addprefix --recipe ,$(RECIPE)) $(foreach one,$(SET),--set '$(one)') $(addprefix --name ,$(NAME))

evaluate: $(READY)  ## Score the run NAME, or the newest
	$(PGAN) evaluate $(RUN) $(addprefix --split ,$(SPLIT))

report: $(READY)  ## Write the HTML report of the run NAME, or of the newest
	$(PGAN) report $(RUN) $(addprefix --split ,$(SPLIT))

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
