# From a clone to the page: `make all`. From a clone to tested claims: `make test`. `make help` lists the rest.
#
# A stage is a command that reads files and writes files; its target is the file that it writes last. plan/<stage>.json
# records what it reads. code/onepage/runs/graph.py runs first, and rewrites that file only when the content changes.
# Checkpoints are not targets: an interrupted stage runs again and resumes.

MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := bash
.SHELLFLAGS := -peu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR .NOTPARALLEL .SUFFIXES .SECONDEXPANSION:
unexport TEXT FILE # any text: for each $$(shell), make 4.4 would expand exported variables, and run what they hold

ifeq ($(filter 4% 5% 6%,$(MAKE_VERSION)),)
$(error GNU make 4 or newer is required, this is $(MAKE_VERSION); on macOS: brew install make, then gmake all)
endif

# ---- Settings: each is a row of code/onepage/runs/settings.py, with its default, allowed values and help
quoted = '$(subst ','\'',$1)'
NAMES := $(shell sed -n 's/^    Setting."\([A-Z_]*\)".*/\1/p' code/onepage/runs/settings.py)
GIVEN := $(foreach n,$(NAMES),$(if $(filter-out undefined default,$(origin $n)),$(call quoted,$n=$(value $n))))
INHERITED := $(foreach n,$(NAMES),$(if $(findstring environment,$(origin $n)),$n))
OTHERS := $(foreach n,$(filter-out $(NAMES),$(.VARIABLES)),$(if $(findstring command,$(origin $n)),$n))
FLAGS := --flags=$(filter-out --%,$(firstword -$(MAKEFLAGS))) '--inherited=$(if $(MAKE_RESTARTS),,$(INHERITED))' \
  $(call quoted,--others=$(OTHERS))
ANY_PYTHON := $(firstword $(realpath $(or $(VENV),.venv)/bin/python) $(PYTHON) python3)
GRAPH := $(ANY_PYTHON) -SEc 'import sys; sys.path[0] = "code"; from onepage.runs.graph import main; main(sys.argv[1:])'
# Prints the settings, TASKS, PLANS, RUNS (every seed), SHOWN (the first of each task), RUN_<task>, and what is stale
PRINTED := $(shell $(GRAPH) $(call quoted,$(MAKECMDGOALS)) $(FLAGS) $(GIVEN) || echo '$$(error $(ANY_PYTHON) \
  cannot run code/onepage/runs/graph.py; Python 3.11 or newer is required: PYTHON=python3.11 \
  $(patsubst %,(% is from the environment),$(filter PYTHON VENV,$(INHERITED))))')
define newline


endef
$(eval $(subst @;@,$(newline),$(PRINTED)))

# The caller's variables must not change how Python and bash start; terminal/environment.py handles all others
unexport $(filter PYTHON% PYTEST_% MYPY% RUFF_% BASH% SHELLOPTS RANK WORLD_SIZE TORCHELASTIC_RUN_ID,$(.VARIABLES))
export PYTHONPATH := $(CURDIR)/code
export PYTHONHASHSEED := 0
export LC_ALL := C.UTF-8
# glibc keeps freed memory, in huge pages; otherwise each update requests the pages of its arrays again
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:$\
  glibc.malloc.trim_threshold=100000000000:glibc.malloc.top_pad=67108864
export STRICT LOG
# A sentence or a file name can hold any character: make never expands it, the shell reads it from the environment
export SENTENCE := $(value TEXT)
export IMAGE := $(value FILE)

PY := $(VENV)/bin/python
ONEPAGE := $(PY) -m onepage
READY := $(VENV)/stamp.json
PAGE_PDF := $(OUT)/report/report.pdf
PLACES := --out $(OUT) --data-dir $(DATA_DIR)
VERIFY := $(SHOWN) $(PLACES)

.PHONY: help all $(TASKS) report test check lint types unit runs setup setup-tex setup-compare bundle doctor data ablate
.PHONY: mutate repro verify provenance reference translate classify export clean train-all
help: ## list the targets and the settings
	@$(GRAPH) --help

# ---- The graph: plan -> model.pt -> metrics.json -> seeds.json, figures.json -> report.pdf
all: $(PAGE_PDF) ## everything: environment, data, training, figures, the page, the claims
	$(finished)
	@echo "The page: $(abspath $(PAGE_PDF))"
$(TASKS): %: $(OUT)/figures/%/figures.json
	$(finished)
report: $(PAGE_PDF) ## draw and render the page from existing runs; train nothing
	@echo "The page: $(abspath $(PAGE_PDF))"
runs: $(RUNS:%=%/metrics.json)
	$(finished)

$(READY): # if it differs from env/, graph.py sets RENEWS: it is made again, then the plans
	@$(PYTHON) env/setup.py --venv $(VENV) --torch $(TORCH)
$(PLANS): $(if $(RENEWS),,|) $(READY)
	@$(ONEPAGE) plan $(firstword $(subst -, ,$(notdir $@))) $(WORDS)
$(ENGINE_MK): | $(READY)
	@$(ONEPAGE) engine --wanted $(PDF_ENGINE) --write $@
include $(if $(filter 5,$(MAKE_RESTARTS)),$(error the plans change each time; remove $(PLANS)),$(INCLUDED))

ifdef TRAINS
ifndef SEVERAL
$(RUNS:%=%/model.pt): %/model.pt: %/plan/train.json | $(PLANS)
	@$(ONEPAGE) train $*
$(RUNS:%=%/metrics.json): %/metrics.json: %/model.pt %/plan/evaluate.json
	@$(ONEPAGE) evaluate $*
else
# One command, in which a failed seed does not stop the others: the page shows the finished seeds, then make fails
$(UNFINISHED:%=%/metrics.json): train-all
	@:
train-all: | $(PLANS)
	@$(ONEPAGE) train-all --jobs $(JOBS) $(SHOWN:%=--shown %) $(RUNS)
finished = $(if $(UNFINISHED),@$(ONEPAGE) train-all --check $(RUNS))
endif
endif
# graph.py prints the other prerequisites: the metrics of all seeds
$(addsuffix seeds.json,$(dir $(SHOWN))): %/seeds.json: %/plan/seeds.json
	@$(ONEPAGE) seeds $(filter $*/%,$(SHOWN))
$(TASKS:%=$(OUT)/figures/%/figures.json): $(OUT)/figures/%/figures.json: $(OUT)/figures/%/plan/draw.json \
  $$(RUN_$$*)/metrics.json $$(dir $$(RUN_$$*))seeds.json
	@$(ONEPAGE) draw $(RUN_$*) --figures $(@D)
$(PAGE_PDF): $(OUT)/report/plan/render.json $(DRAWN)
	@$(ONEPAGE) render --out $(OUT) --engine $(ENGINE) --paper $(PAPER) $(PAGE)
	@$(ONEPAGE) verify $(VERIFY) || true

# ---- Tests, a process for each core, and checks of results
TESTS = $(PY) -m pytest -n auto --dist loadfile
test: check runs ## make check; train the quick profile if there is no run; run the slow tests, check the claims
	@$(ONEPAGE) verify $(VERIFY) --runs-only
	@CLAIMED_RUNS="$(SHOWN)" CLAIMED_DATA=$(DATA_DIR) CLAIMED_OUT=$(OUT) $(TESTS) -m "slow or claims" $(PYTEST)
check: lint types unit ## lint, types and the quick tests
lint types unit: $(READY)
lint:
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) $(VENV)/bin/lint-imports --no-cache
types: ; @$(PY) -m mypy
unit: ; @$(TESTS) -m "not slow and not claims" $(PYTEST)
mutate: $(READY); @$(PY) tests/support/mutate.py $$IMAGE ## mutation test of the modules in FILE="mt/search cls/scores"

verify: $(READY) ## recompute every claim of report/claims.toml from predictions and data; check pictures and page
	@$(ONEPAGE) verify $(VERIFY) $(if $(REF),--ref $(call quoted,$(REF))) --mirror $(call quoted,$(DATA_MIRROR))
repro: runs ## train and evaluate a second time in another folder, and compare every bit
	@$(ONEPAGE) repeat $(SHOWN)
provenance: $(READY) ## show which run FILE comes from, and whether that run is unchanged on disk
	@$(ONEPAGE) provenance --out $(OUT) "$${IMAGE:?FILE is not given; make provenance FILE=figures/cls/curves_cls.png}"
reference: $(PAGE_PDF) ## verify these runs and their page, and keep them in report/reference/NAME
	@$(ONEPAGE) reference $(call quoted,$(NAME)) $(PAGE) $(PLACES)
ablate: $(PLANS) ## train variants that each lack a part: shortcuts, causal mask, several heads; score on validation
	@$(foreach run,$(SHOWN),$(ONEPAGE) ablate $(run) --out $(OUT);)

# ---- Trained models, and the machine
translate: $(READY) ## translate TEXT, or standard input, one sentence per line
	@$(ONEPAGE) translate --out $(OUT) $(MODEL:%=--model %) $(if $(value TEXT),--text "$$SENTENCE")
classify: $(READY) ## classify the image FILE
	@$(ONEPAGE) classify --out $(OUT) $(MODEL:%=--model %) -- "$${IMAGE:?FILE is not given; make classify FILE=photo.jpg}"
export: $(READY) ## export the last evaluated model of each task, with a card, to OUT/export
	@$(ONEPAGE) export --out $(OUT)
setup: ## install the pinned and hashed packages of env/ in a virtual environment
	@$(PYTHON) env/setup.py --venv $(VENV) --torch $(TORCH)
setup-tex: ## install LaTeX and poppler with apt (root); without them, typst typesets the page
	@$(PYTHON) env/setup.py --tex && rm -f $(OUT)/runs/.plan/engine-*.mk
setup-compare: $(READY) ## install the other programs that some tests and benchmarks compare with this project
	@$(PYTHON) env/compare.py --venv $(VENV)
doctor: $(READY) ## check this machine: Python, torch, cores, arithmetic, memory, disk, TeX, data sources
	@$(ONEPAGE) doctor $(WORDS)
data: $(READY) ## fetch and verify the data sets, or generate stand-ins; plan the runs again
	@$(foreach task,$(TASKS),$(ONEPAGE) plan --again $(task) $(WORDS);)
bundle: $(READY) ## pack wheels and real data in OUT/bundle, for a machine without a network
	@$(PY) env/bundle.py --venv $(VENV) --torch $(TORCH) --folder $(OUT)/bundle/wheels
	@$(ONEPAGE) pack --to $(OUT)/bundle $(WORDS)
clean: ## remove the figures and the page; keep data and runs
	@rm -rf $(TASKS:%=$(OUT)/figures/%/*) $(OUT)/report/report.* $(OUT)/report/page.png

# ---- Benchmarks: leave the machine idle meanwhile. (In a recipe line, ## begins a comment of the shell.)
.PHONY: bench-cls bench-mt bench-gpu bench-scale
BENCH = $(ONEPAGE) bench $(@:bench-%=%) $(SHOWN) --out $(OUT)
bench-cls: $(PLANS) ## compare the training of ResNet-18 with a plain loop: rates, memory, time to 80 %
	@$(BENCH) --minutes $(BENCH_MINUTES) $(BENCH_RUN:%=--run %)
bench-mt: $(PLANS); @$(BENCH) $(BENCH_RUN:%=--run %) ## compare translation and training with other programs
bench-gpu: $(PLANS); @$(BENCH) ## measure an update of each task: time, kernels, share of the peak, cost of determinism
bench-scale: $(PLANS); @$(BENCH) ## measure the training of ResNet-18 in 1, 2, 4 ... processes
