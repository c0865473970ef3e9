# From a clone to the page: `make all`. From a clone to tested claims: `make test`. `make help` lists the rest.
#
# Each stage is a command that reads files and writes files; a target is the file a stage writes last. What decides
# whether a stage runs is content: code/onepage/runs/stamps.py rewrites a stage's stamp only when something the stage reads
# has changed. Checkpoints are not targets: an interrupted stage is simply run again and goes on.

MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help

ifeq ($(filter 4% 5% 6%,$(MAKE_VERSION)),)
$(error GNU make 4 or newer is needed, this is $(MAKE_VERSION); on macOS: brew install make, then gmake all)
endif

# Variables a user may set, on the command line or in the environment
PROFILE ?= auto
SEED ?= 0
SEEDS ?=
DATA ?= auto
DATA_MIRROR ?=
BUNDLE ?=
SRC ?= en
TGT ?= de
DEVICE ?= auto
THREADS ?= 0
RECIPE ?=
BUDGET_MIN ?= 0
NPROC ?= 1
TORCHRUN ?=
JOBS ?= 1
PDF_ENGINE ?= auto
PAPER ?= a4
TORCH ?= auto
PYTHON ?= python3
OUT ?= .
DATA_DIR ?= data
VENV ?= .venv
STRICT ?= 0
REF ?=
NAME ?=
FILE ?=
BENCH_RUN ?=
BENCH_MINUTES ?= 5
TEXT ?=
PYTEST ?=

single = $(if $(word 2,$($1)),$(error $1="$($1)": a value with spaces cannot be used; choose one without))
$(foreach variable,PROFILE SEED DATA DATA_MIRROR BUNDLE SRC TGT DEVICE THREADS RECIPE PDF_ENGINE PAPER TORCH PYTHON OUT DATA_DIR VENV STRICT BUDGET_MIN NPROC JOBS BENCH_RUN BENCH_MINUTES,$(call single,$(variable)))
ifneq ($(shell [[ "$(SEED)$(THREADS)" =~ ^[0-9]+$$ ]] && echo ok),ok)
$(error SEED="$(SEED)", THREADS="$(THREADS)": both must be whole numbers, 0 or more)
endif
ifneq ($(shell [[ "$(BUDGET_MIN)" =~ ^[0-9]+(,[0-9]+)?$$ ]] && echo ok),ok)
$(error BUDGET_MIN="$(BUDGET_MIN)": must be whole numbers, 0 or more: one for both tasks, or as 60,90 for cls and mt)
endif
ifneq ($(BUNDLE),)
ifeq ($(wildcard $(BUNDLE)/wheels/wheels.json),)
$(error BUNDLE=$(BUNDLE) is no folder that make bundle has made)
endif
export PIP_NO_INDEX := 1
export PIP_FIND_LINKS := $(abspath $(BUNDLE)/wheels)
ifeq ($(DATA_MIRROR),)
override DATA_MIRROR := $(BUNDLE)
endif
endif
# minutes for cls, for mt
comma := ,
BUDGETS := $(subst $(comma), ,$(BUDGET_MIN))
BUDGET_CLS := $(firstword $(BUDGETS))
BUDGET_MT := $(lastword $(BUDGETS))
ifneq ($(shell [[ "$(NPROC) $(JOBS)" =~ ^[1-9][0-9]{0,3}\ [1-9][0-9]{0,3}$$ ]] && echo ok),ok)
$(error NPROC="$(NPROC)", JOBS="$(JOBS)": both must be whole numbers, 1 or more)
endif
ifneq ($(filter-out 0,$(BUDGETS)),)
ifneq ($(filter-out 1,$(NPROC))$(strip $(TORCHRUN)),)
$(error BUDGET_MIN=$(BUDGET_MIN) is laid out for one process; leave out BUDGET_MIN, or NPROC and TORCHRUN)
endif
endif
ifneq ($(filter-out 1,$(JOBS)),)
ifneq ($(filter-out 1,$(NPROC))$(strip $(TORCHRUN)),)
$(error JOBS=$(JOBS) gives each seed one device; leave out JOBS, or NPROC and TORCHRUN)
endif
endif
ifeq ($(filter a4 letter,$(PAPER)),)
$(error PAPER="$(PAPER)" is neither a4 nor letter; choose one)
endif
# The seeds to train: SEEDS, with spaces or commas between them, else SEED. The first is the one that pictures show.
EVERY_SEED := $(or $(strip $(subst $(comma), ,$(SEEDS))),$(SEED))
ifneq ($(SEEDS),)
ifneq ($(shell [[ "$(EVERY_SEED)" =~ ^((0|[1-9][0-9]*)( |$$))+$$ ]] && echo ok),ok)
$(error SEEDS="$(SEEDS)": must be whole numbers, 0 or more, with spaces or commas between them: SEEDS="0 1 2")
endif
ifneq ($(words $(EVERY_SEED)),$(words $(sort $(EVERY_SEED))))
$(error SEEDS="$(SEEDS)": a seed stands there twice; give each once)
endif
ifeq ($(filter $(firstword $(EVERY_SEED)),$(SEED))$(filter file default undefined,$(origin SEED)),)
$(error SEED=$(SEED) and SEEDS="$(SEEDS)": the first of SEEDS is the one shown; give SEEDS alone)
endif
override SEED := $(firstword $(EVERY_SEED))
endif

# No setting of the caller's shell may change a number, hide byte code, or send Python elsewhere
export PYTHONPATH := $(CURDIR)/code
export PYTHONHASHSEED := 0
export CUBLAS_WORKSPACE_CONFIG := :4096:8
export LC_ALL := C.UTF-8
# glibc: memory that was freed is kept, and lies in huge pages. Else each update asks for its arrays' pages anew
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000:glibc.malloc.top_pad=67108864
export STRICT
# A sentence, and the name of an image, is anything: make never expands it, the shell finds it in the environment
unexport TEXT FILE
export SENTENCE := $(value TEXT)
export IMAGE := $(value FILE)
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME SACREBLEU_SEED
PY := $(VENV)/bin/python
ONEPAGE := $(PY) -m onepage
READY := $(VENV)/stamp.json

# Several processes a training, by torchrun; its options are one text for the shell, whatever stands in them
quoted = '$(subst ','\'',$1)'
RANKS := $(if $(filter-out 1,$(NPROC))$(strip $(TORCHRUN)),--processes $(NPROC) --torchrun $(call quoted,$(TORCHRUN)))
# With JOBS each training and each evaluation takes a GPU for itself, and waits where none is free
OWN_GPU := $(if $(filter-out 1,$(JOBS)),--own-gpu)

# What the goals asked for need: both tasks, one, or none
GOALS := $(or $(MAKECMDGOALS),help)
NEED_CLS := $(filter all cls runs repro report verify claims reference,$(GOALS))
NEED_MT := $(filter all mt bench-mt runs repro report verify claims reference,$(GOALS))
NEED_PAGE := $(filter all report reference,$(GOALS))
TRAINS := $(filter all cls mt runs repro,$(GOALS))
ifneq ($(RECIPE),)
ifneq ($(filter-out cls mt bench-cls bench-mt bench-scale,$(GOALS)),)
$(error RECIPE=$(RECIPE) is for one task: make cls RECIPE=... or make mt RECIPE=...)
endif
endif

# Decided once, before any training, by the data stage: which set, which profile, which PDF engine
PLANS := $(OUT)/runs/.plan
KEY := $(PROFILE)-$(DATA)-$(DEVICE)-$(THREADS)$(if $(RECIPE),-$(subst /,_,$(RECIPE)))
PLAN_CLS := $(PLANS)/cls-$(KEY)$(if $(filter-out 0,$(BUDGET_CLS)),-budget$(BUDGET_CLS)).mk
PLAN_MT := $(PLANS)/mt-$(KEY)$(if $(filter-out 0,$(BUDGET_MT)),-budget$(BUDGET_MT))-$(SRC)-$(TGT).mk
ENGINE_MK := $(PLANS)/engine-$(PDF_ENGINE).mk

# report, verify, claims and reference look at runs that are there: without a plan there is no run; they decide nothing
ifeq ($(TRAINS),)
ifneq ($(NEED_CLS),)
ifneq ($(words $(wildcard $(PLAN_CLS) $(PLAN_MT))),2)
$(error not run with these settings; run: make all)
endif
endif
endif

# among these is the engine: a machine that cannot make the page says so before anything is trained
ifneq ($(NEED_PAGE),)
include $(ENGINE_MK)
endif
ifneq ($(NEED_CLS),)
include $(PLAN_CLS)
endif
ifneq ($(NEED_MT),)
include $(PLAN_MT)
endif

RUNS_CLS = $(OUT)/runs/cls/$(CLS_FOLDER)/$(CLS_PROFILE)
RUNS_MT = $(OUT)/runs/mt/$(MT_FOLDER)/$(MT_PROFILE)
RUN_CLS = $(RUNS_CLS)/seed$(SEED)
RUN_MT = $(RUNS_MT)/seed$(SEED)
PLANS_HERE := $(if $(CLS_FOLDER),--plan $(PLAN_CLS)) $(if $(MT_FOLDER),--plan $(PLAN_MT))
ifneq ($(strip $(PLANS_HERE)),)
STAMPED := $(shell $(or $(wildcard $(PY)),$(PYTHON)) -S -E code/onepage/runs/stamps.py --out $(OUT) $(EVERY_SEED:%=--seed %) $(PLANS_HERE) \
  $(if $(filter all cls mt report reference,$(GOALS)),--draws) --engine "$(ENGINE)" --paper $(PAPER) $(RANKS) 2>&1 || echo failed)
ifneq ($(STAMPED),)
$(error $(STAMPED))
endif
endif

.PHONY: help all setup setup-tex setup-compare bundle doctor data cls mt report verify provenance reference runs claims test check
.PHONY: lint types unit repro ablate without bench-cls bench-mt bench-scale bench-conv translate classify export clean several each
help: ## what can be made, and the variables that steer it
	@echo "make TARGET [VARIABLE=value ...]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PROFILE=auto        quick (minutes), full (an hour or more; minutes on a GPU), long or smoke; auto: full on a GPU"
	@echo "  SEED=0              seed of weights, order and augmentation; each seed is a run of its own"
	@echo "  SEEDS=              several, as SEEDS=0,1,2: each is trained, the first is shown, with mean, sd and n of all"
	@echo "  DATA=auto           real, generated, or auto: real where it can be had, else the generated stand-ins"
	@echo "  DATA_MIRROR=        folder or URL with cifar-10-python.tar.gz and multi30k/, asked before the public sources"
	@echo "  BUNDLE=             folder made by make bundle: packages and data are taken from it, and nothing from the network"
	@echo "  SRC=en TGT=de       languages of the translation: en, de or fr"
	@echo "  DEVICE=auto         cpu, cuda, or auto: cuda where it is"
	@echo "  THREADS=0           CPU threads; 0 takes the recipe's (more is faster, and gives other last digits)"
	@echo "  RECIPE=             a recipe of your own, with make cls or make mt (see code/onepage/configs)"
	@echo "  BUDGET_MIN=0        minutes of training a task that its recipe is laid out for, as 60, or as 60,90 for cls and mt;"
	@echo "                      0: as long as the recipe says"
	@echo "  NPROC=1             processes of a training on this machine, by torchrun: one a GPU, or on the CPU's cores"
	@echo "  TORCHRUN=           options of torchrun: several nodes, restarts; see docs/several-processes.md"
	@echo "  JOBS=1              seeds that run at once, each on a GPU of its own; on a CPU one after another"
	@echo "  PDF_ENGINE=auto     latex, typst, or auto: LaTeX where it is, else the typst wheel"
	@echo "  PAPER=a4            a4 or letter"
	@echo "  TORCH=auto          which build of torch setup installs: cpu, cuda, or auto: cuda where a GPU is"
	@echo "  PYTHON=python3      the Python (3.11 or newer) that makes the environment"
	@echo "  VENV=.venv          folder of the environment"
	@echo "  OUT=.               folder that gets runs/, figures/ and report/"
	@echo "  DATA_DIR=data       folder of the data sets"
	@echo "  STRICT=0            1: a claim that is NOT CHECKED fails make verify"
	@echo "  REF=                a folder of report/reference that make verify compares the runs with"
	@echo "  NAME=               what make reference calls the result: the hardware"
	@echo "  FILE=               a picture or page that make provenance looks at, or an image that make classify classifies"
	@echo "  BENCH_RUN=          a run that make bench-cls reads its time to 80 % off (empty: it trains one), or whose model"
	@echo "                      make bench-mt translates with (empty: that of make mt with these settings)"
	@echo "  BENCH_MINUTES=5     training of the plain loop in make bench-cls; what it does not reach is projected"
	@echo "  TEXT=               a sentence that make translate translates, as TEXT=\"A dog runs.\"; empty: standard input"

# with several seeds these goals are reached by way of the target several
SEVERAL := $(if $(word 2,$(EVERY_SEED)),$(filter all cls mt runs report,$(MAKECMDGOALS)))
# the last line of a make of the page; with several seeds the make below this one has written it
where_page = $(if $(SEVERAL),@:,@echo "The page: $(abspath $(OUT)/report/report.pdf)")
all: $(if $(SEVERAL),several,$(OUT)/report/report.pdf) ## everything: environment, data, both trainings, figures, the page, the claims
	$(where_page)
setup: ## the virtual environment, from the pinned and hashed files in env/
	@$(PYTHON) env/setup.py --venv $(VENV) --torch $(TORCH)
cls: $(if $(SEVERAL),several,$(OUT)/figures/cls/figures.json) ## train, evaluate and draw ResNet-18
mt: $(if $(SEVERAL),several,$(OUT)/figures/mt/figures.json) ## train, evaluate and draw the Transformer
report: $(if $(SEVERAL),several,$(OUT)/report/report.pdf) ## draw and render the page from runs that are there; trains nothing
	$(where_page)

$(READY): env/requirements.txt env/torch-cpu.txt env/torch-cuda.txt env/setup.py
	@$(PYTHON) env/setup.py --venv $(VENV) --torch $(TORCH)
	@touch $@

setup-tex: ## LaTeX and poppler by apt (root), from env/apt.txt; without it typst makes the page
	@$(PYTHON) env/setup.py --tex
	@rm -f $(PLANS)/engine-*.mk

setup-compare: $(READY) ## what some tests compare this project with, from env/compare.txt; they are skipped without it
	@$(PYTHON) env/compare.py --venv $(VENV)

bundle: $(READY) ## wheels and real data for a machine without a network, in OUT/bundle
	@$(PY) env/bundle.py --venv $(VENV) --torch $(TORCH) --folder $(OUT)/bundle/wheels
	@$(ONEPAGE) pack --data-dir $(DATA_DIR) --data $(DATA) --mirror "$(DATA_MIRROR)" --src $(SRC) --tgt $(TGT) --to $(OUT)/bundle

data: $(READY) ## fetch and verify the data sets anew, or generate the stand-ins (also decides the plan anew)
	@$(ONEPAGE) data cls --plan $(PLAN_CLS) $(DECIDE) --budget $(BUDGET_CLS)
	@$(ONEPAGE) data mt --plan $(PLAN_MT) $(DECIDE) --budget $(BUDGET_MT)

DECIDE = --data-dir $(DATA_DIR) --data $(DATA) --mirror "$(DATA_MIRROR)" --src $(SRC) --tgt $(TGT) \
  --profile $(PROFILE) --device $(DEVICE) --threads $(THREADS) --recipe "$(RECIPE)"

$(PLAN_CLS): $(READY) $(wildcard code/onepage/data/toy_*.py)
	@$(ONEPAGE) data cls --plan $@ --keep $(DECIDE) --budget $(BUDGET_CLS)
$(PLAN_MT): $(READY) $(wildcard code/onepage/data/toy_*.py)
	@$(ONEPAGE) data mt --plan $@ --keep $(DECIDE) --budget $(BUDGET_MT)
$(ENGINE_MK): $(READY)
	@$(ONEPAGE) engine --wanted $(PDF_ENGINE) --write $@

# model.pt <- train, metrics.json <- evaluate, figures.json <- draw, report.pdf <- render
ifneq ($(TRAINS),)
$(EVERY_SEED:%=$(RUNS_CLS)/seed%/model.pt): $(RUNS_CLS)/seed%/model.pt: $(RUNS_CLS)/seed%/.stamp/train
	@$(ONEPAGE) train cls --plan $(PLAN_CLS) --run $(RUNS_CLS)/seed$* --seed $* --data-dir $(DATA_DIR) $(RANKS) $(OWN_GPU)
$(EVERY_SEED:%=$(RUNS_CLS)/seed%/metrics.json): $(RUNS_CLS)/seed%/metrics.json: $(RUNS_CLS)/seed%/model.pt $(RUNS_CLS)/seed%/.stamp/evaluate
	@$(ONEPAGE) evaluate cls --run $(RUNS_CLS)/seed$* --data-dir $(DATA_DIR) $(OWN_GPU)
$(EVERY_SEED:%=$(RUNS_MT)/seed%/model.pt): $(RUNS_MT)/seed%/model.pt: $(RUNS_MT)/seed%/.stamp/train
	@$(ONEPAGE) train mt --plan $(PLAN_MT) --run $(RUNS_MT)/seed$* --seed $* --data-dir $(DATA_DIR) $(RANKS) $(OWN_GPU)
$(EVERY_SEED:%=$(RUNS_MT)/seed%/metrics.json): $(RUNS_MT)/seed%/metrics.json: $(RUNS_MT)/seed%/model.pt $(RUNS_MT)/seed%/.stamp/evaluate
	@$(ONEPAGE) evaluate mt --plan $(PLAN_MT) --run $(RUNS_MT)/seed$* --data-dir $(DATA_DIR) $(OWN_GPU)
else
$(EVERY_SEED:%=$(RUNS_CLS)/seed%/metrics.json):
	@echo "not run: $(@D); run: make cls" >&2; exit 1
$(EVERY_SEED:%=$(RUNS_MT)/seed%/metrics.json):
	@echo "not run: $(@D); run: make mt" >&2; exit 1
endif

# seeds.json is of the seed shown and of those that lie beside it, whether this make was asked for them or not
$(RUNS_CLS)/seeds.json: $(sort $(RUN_CLS)/metrics.json $(wildcard $(RUNS_CLS)/seed*/metrics.json)) $(RUNS_CLS)/.stamp/seeds
	@$(ONEPAGE) seeds cls --run $(RUN_CLS)
$(RUNS_MT)/seeds.json: $(sort $(RUN_MT)/metrics.json $(wildcard $(RUNS_MT)/seed*/metrics.json)) $(RUNS_MT)/.stamp/seeds
	@$(ONEPAGE) seeds mt --run $(RUN_MT)

$(OUT)/figures/cls/figures.json: $(RUN_CLS)/metrics.json $(RUNS_CLS)/seeds.json $(OUT)/figures/cls/.stamp
	@$(ONEPAGE) draw cls --run $(RUN_CLS) --figures $(OUT)/figures/cls
$(OUT)/figures/mt/figures.json: $(RUN_MT)/metrics.json $(RUNS_MT)/seeds.json $(OUT)/figures/mt/.stamp
	@$(ONEPAGE) draw mt --run $(RUN_MT) --figures $(OUT)/figures/mt

# Several seeds: each is trained and evaluated, and one that fails keeps no other from running (-k). Then the goals are
# made of the first and of those that lie beside it. Each make is a command by itself: a signal reaches the training.
# JOBS run at once on GPUs; on a CPU, which two trainings would share at a loss, one does.
AT_ONCE = $(if $(filter cuda,$(CLS_DEVICE) $(MT_DEVICE)),$(JOBS),1)
SHOWN_RUNS = $(if $(NEED_CLS),$(RUN_CLS)) $(if $(NEED_MT),$(RUN_MT))
EVERY_RUN = $(foreach seed,$(EVERY_SEED),$(if $(NEED_CLS),$(RUNS_CLS)/seed$(seed)) $(if $(NEED_MT),$(RUNS_MT)/seed$(seed)))
# prints those of the runs $1 that are not evaluated, or whose metrics are older than what they are made of
unfinished = for run in $1; do if [[ ! -e $$run/metrics.json $(if $(TRAINS),|| $$run/metrics.json -ot $$run/model.pt \
  || $$run/metrics.json -ot $$run/.stamp/evaluate || $$run/model.pt -ot $$run/.stamp/train) ]]; then \
  echo -n " $${run\#$(OUT)/runs/}"; fi; done
several:
	-@$(MAKE) -k $(if $(filter-out 1,$(JOBS)),-j$(AT_ONCE)) each GOALS="$(GOALS)"
	@if [[ -z "$$($(call unfinished,$(SHOWN_RUNS)))" ]]; then exec $(MAKE) $(SEVERAL) SEEDS= SEED=$(SEED); fi
	@failed="$$($(call unfinished,$(EVERY_RUN)))"; if [[ -n "$$failed" ]]; then \
	  echo "not done: $${failed:1}; why stands above. All others are; the same command tries these again" >&2; exit 1; fi
each: $(EVERY_RUN:%=%/metrics.json)
	@:

$(OUT)/report/report.pdf: $(OUT)/figures/cls/figures.json $(OUT)/figures/mt/figures.json $(OUT)/report/.stamp
	@$(ONEPAGE) render --out $(OUT) --cls-run $(RUN_CLS) --mt-run $(RUN_MT) --engine $(ENGINE) --paper $(PAPER)
	@$(ONEPAGE) verify $(VERIFY) || true

VERIFY = --out $(OUT) --data-dir $(DATA_DIR) --cls-run $(RUN_CLS) --mt-run $(RUN_MT)
verify: $(READY) ## recompute every claim of report/claims.toml from predictions and data; trace pictures and page
	@$(ONEPAGE) verify $(VERIFY) $(if $(REF),--ref '$(REF)')

provenance: $(READY) ## where FILE comes from, and whether its run on disk still says the same
	@$(ONEPAGE) provenance --out $(OUT) '$(or $(FILE),$(error FILE is not given; make provenance FILE=figures/cls/curves_cls.png))'
reference: $(OUT)/report/report.pdf ## keep these runs and their page, verified, in report/reference/NAME, for git
	@$(ONEPAGE) reference $(VERIFY) '$(or $(NAME),$(error NAME is not given; make reference NAME=two-core-epyc))'

doctor: $(READY) ## check this machine: Python, torch, cores, arithmetic, memory, disk, TeX, data sources
	@$(ONEPAGE) doctor --out $(OUT) --data-dir $(DATA_DIR) --mirror "$(DATA_MIRROR)" --device $(DEVICE) \
	  --pdf-engine $(PDF_ENGINE) --src $(SRC) --tgt $(TGT)

translate: $(READY) ## translate TEXT, or standard input, a sentence a line, with the Transformer evaluated last
	@$(ONEPAGE) translate --out $(OUT) $(if $(value TEXT),--text "$$SENTENCE")
classify: $(READY) ## classify the image FILE with the ResNet-18 evaluated last
	@$(ONEPAGE) classify --out $(OUT) -- $(if $(value FILE),"$$IMAGE",$(error FILE is not given; make classify FILE=photo.jpg))
export: $(READY) ## weights of the runs evaluated last, for use without this program, in OUT/export
	@$(ONEPAGE) export --out $(OUT)

lint: $(READY)
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
types: $(READY)
	@$(VENV)/bin/mypy
unit: $(READY)
	@$(PY) -m pytest -m "not slow and not claims" $(PYTEST)

check: lint types unit ## lint, types and the quick tests: under two minutes

# both runs, evaluated, with no picture drawn: make test overwrites nobody's page
runs: $(if $(SEVERAL),several,$(RUN_CLS)/metrics.json $(RUN_MT)/metrics.json)

# The second time elsewhere, under another hash seed and locale. A second time that was compared, or that ran with other
# settings than now, is of no more use and goes first; one that was interrupted goes on.
AGAIN = $(OUT)/runs/.repro$(1:$(OUT)/runs%=%)
define again
	@if [[ -e $(call AGAIN,$3)/.compared || $3/.stamp/train -nt $(call AGAIN,$3)/run.json ]]; then rm -rf $(call AGAIN,$3); fi
	@PYTHONHASHSEED=1 LC_ALL=C $(ONEPAGE) train $1 --plan $2 --run $(call AGAIN,$3) --seed $(SEED) --data-dir $(DATA_DIR) $(RANKS)
	@PYTHONHASHSEED=1 LC_ALL=C $(ONEPAGE) evaluate $1 --plan $2 --run $(call AGAIN,$3) --data-dir $(DATA_DIR)
endef
repro: runs ## train and evaluate both tasks a second time, elsewhere, and compare: the same bits?
	$(call again,cls,$(PLAN_CLS),$(RUN_CLS))
	$(call again,mt,$(PLAN_MT),$(RUN_MT))
	@failed=0; for run in $(RUN_CLS) $(RUN_MT); do \
	  again=$(OUT)/runs/.repro$${run#$(OUT)/runs}; \
	  $(ONEPAGE) digest $$run $$again || failed=1; [[ ! -d $$again ]] || touch $$again/.compared; done; exit $$failed

# by the recipe "ablation" unless PROFILE names another; the page that is made next shows what was found
ablate: ## what shortcuts, causal mask and several heads give: short trainings without each, scored on validation data
	@$(MAKE) without PROFILE=$(if $(filter auto,$(PROFILE)),ablation,$(PROFILE))
without: $(PLAN_CLS) $(PLAN_MT)
	@$(ONEPAGE) ablate cls --plan $(PLAN_CLS) --seed $(SEED) --data-dir $(DATA_DIR) --out $(OUT)
	@$(ONEPAGE) ablate mt --plan $(PLAN_MT) --seed $(SEED) --data-dir $(DATA_DIR) --out $(OUT)

bench-cls: $(PLAN_CLS) ## ResNet-18 by a plain loop and by ours: rates, memory, time to 80 %; the README's table
	@$(ONEPAGE) bench cls --plan $(PLAN_CLS) --data-dir $(DATA_DIR) --seed $(SEED) --out $(OUT) \
	  --minutes $(BENCH_MINUTES) $(if $(BENCH_RUN),--run '$(BENCH_RUN)') $(if $(filter .,$(OUT)),--readme README.md)
bench-mt: $(PLAN_MT) ## translation by our search and by others', training by a plain loop and by ours; the README's table
	@$(ONEPAGE) bench mt --run '$(or $(BENCH_RUN),$(RUN_MT))' --data-dir $(DATA_DIR) --seed $(SEED) --out $(OUT) \
	  $(if $(filter .,$(OUT)),--readme README.md)
bench-scale: $(PLAN_CLS) ## ResNet-18 by 1, 2, 4 ... processes: rate, efficiency, share of the exchange; the tables of docs
	@$(ONEPAGE) bench scale --plan $(PLAN_CLS) --data-dir $(DATA_DIR) --seed $(SEED) --out $(OUT) \
	  $(if $(filter .,$(OUT)),--document docs/several-processes.md)
bench-conv: $(READY) ## our convolution against the library's, layer by layer
	@$(ONEPAGE) bench conv --out $(OUT) --threads $(THREADS) --device $(DEVICE)

# The claims are tested on this machine's runs; where there are none, the quick profile is trained first.
TESTED = PROFILE=$(if $(filter auto,$(PROFILE)),quick,$(PROFILE))
test: check ## check, then train quick if there are no runs, then the slow tests, the smoke pipeline and the claims
	@$(MAKE) runs $(TESTED)
	@$(MAKE) claims $(TESTED)
claims: $(READY)
	@$(ONEPAGE) verify $(VERIFY) --runs-only
	@CLAIMED_CLS_RUN=$(RUN_CLS) CLAIMED_MT_RUN=$(RUN_MT) CLAIMED_DATA=$(DATA_DIR) CLAIMED_OUT=$(OUT) \
	  $(PY) -m pytest -m "slow or claims" $(PYTEST)

clean: ## remove figures and the rendered page; keeps data and runs
	@rm -rf $(OUT)/figures/cls/* $(OUT)/figures/mt/* $(OUT)/report/report.*
