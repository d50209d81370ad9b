# `make` alone lists the targets. Each target is documented by the ## on its own line.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.made
PACKED := dist/.environment
NEEDS_PYTHON := import sys; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help env java run test test-long test-cluster test-kernels test-oldest benchmark lint format zip env-pack clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

env: $(STAMP) ## make .venv with the package and all it needs (PYTHON=python3.12 chooses another Python)

# Made again when pyproject.toml is newer. pip is looked for, not python: a first try without
# the venv module leaves a folder that has a python and no pip.
$(STAMP): pyproject.toml
	@$(PYTHON) -c '$(NEEDS_PYTHON)' 2>/dev/null || { echo "w261reg needs Python 3.11 or newer, and '$(PYTHON)' is not one: install it, or name another with make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[spark,dev]'
	@touch $@

# Spark takes the Java of JAVA_HOME and, without it, that of PATH; so does the check. Versions are
# written 17.0.15, 21 or 17-ea since Java 9, and 1.8.0_292 before.
java: ## check that Java 17 or newer is there
	@version=$$("$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.* version "\(1\.\)\{0,1\}\([0-9][0-9]*\).*/\2/p'); \
	test "$${version:-0}" -ge 17 || { echo "w261reg needs Java 17 or newer (found: $${version:-none}$${JAVA_HOME:+ in JAVA_HOME=$$JAVA_HOME}). Debian, Ubuntu: sudo apt-get install openjdk-17-jre-headless. macOS: brew install openjdk@17, then export JAVA_HOME=\$$(brew --prefix openjdk@17)" >&2; exit 1; }

run: java env ## train on the tables in data/ and write reports to results/
	$(BIN)/python jobs/main.py --out results

# A process a core, each with a Spark session of its own; a file's tests stay in one.
PARALLEL := --numprocesses auto --dist loadfile
test: java env ## run the tests, all but the long ones and those of a cluster
	$(BIN)/pytest $(PARALLEL)

test-long: java env ## run the tests that take a quarter of a minute or more each
	$(BIN)/pytest -m long --numprocesses auto --dist worksteal

test-cluster: java env ## run the tests that start a cluster of several processes
	$(BIN)/pytest -m cluster

# What is computed and how, without Spark, files, the command line or reports; and, beside it, what
# reads and keeps files without them. No processor's kernel has a part in the latter.
BESIDE := $(addprefix tests/, blocks/test_checksum.py blocks/test_store.py test_files.py test_signals.py test_strangers.py test_trust.py)
NO_NUMBERS := $(BESIDE) tests/test_architecture.py tests/test_project.py
FOLDERS := tests tests/aggregators tests/blocks tests/losses tests/penalties tests/solvers
NUMERIC := $(filter-out $(NO_NUMBERS), $(wildcard $(addsuffix /test_*.py, $(FOLDERS))))
# no session of Spark is shared within a file, so tests go to whichever process is free
FREELY := --quiet --durations=3 --numprocesses auto --dist worksteal -m 'not spark and not cluster and not long'
KERNELS ?= Prescott Sandybridge Haswell SkylakeX
THREADS ?= 1 2
test-kernels: env ## run the numerical tests under each of OpenBLAS's kernels that this processor has
	$(BIN)/python tests/kernels.py --kernels '$(KERNELS)' --threads '$(THREADS)' $(FREELY) $(NUMERIC)

# those of pyenv are there without being on PATH; of one version, one is enough
PYTHONS ?= python3.11 python3.12 python3.13 $(wildcard $(HOME)/.pyenv/versions/3.1[123].*/bin/python)
# Spark 3.5, the oldest, is for Pythons before 3.12; it leaves its sockets to the garbage collector,
# and calls what has been deprecated since
OLD_SPARK := -W ignore::DeprecationWarning -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning
ON_OLD_SPARK := -m spark -k 'every_pass or a_frame' tests/spark/test_same_bits.py
test-oldest: java ## run the numerical tests with the oldest dependencies, on each Python of PYTHONS that is there
	@found=; making=; failed=; for python in $(PYTHONS); do \
	  $$python -c '$(NEEDS_PYTHON)' 2>/dev/null || { echo "test-oldest: no $$python here, left out"; continue; }; \
	  version=$$($$python -c 'import sys; print(*sys.version_info[:2], sep=".")'); \
	  case " $$found " in *" $$version "*) continue;; esac; \
	  tests/oldest.sh $$python .oldest/$$version & \
	  found="$$found $$version"; making="$$making $$!"; \
	done; \
	for one in $$making; do wait $$one || failed=yes; done; test -z "$$failed" || exit 1; \
	for version in $$found; do \
	  echo "== Python $$version"; cat .oldest/$$version/oldest.txt; \
	  .oldest/$$version/bin/python -m pytest $(FREELY) $(NUMERIC) $(BESIDE) || exit 1; \
	  test $$version != 3.11 || .oldest/$$version/bin/python -m pytest --quiet --durations=3 $(OLD_SPARK) $(ON_OLD_SPARK) || exit 1; \
	done; test "$$found"

# Several hours at full size; SCALE=0.01 tries it out in about half an hour. Goes on where it stopped.
SCALE ?= 1
benchmark: java env ## measure w261reg beside other engines, in hours, to results/benchmark (SCALE=0.01 for a trial)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[spark,benchmark]'
	$(BIN)/w261reg benchmark --out results/benchmark --scale $(SCALE)

lint: env ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy w261reg jobs tests

format: env ## put imports and layout in order
	$(BIN)/ruff check --select I --fix --quiet
	$(BIN)/ruff format

# A wheel is a zip that Python imports from, built the same bit for bit from the same files, and
# knows its own version and entry points.
zip: env ## build dist/w261reg.zip for spark-submit --py-files (and the wheel it is)
	@rm -f dist/w261reg*
	@$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@cp dist/w261reg-*.whl dist/w261reg.zip
	@echo dist/w261reg.zip

# Without pyspark, which the cluster brings, and from the wheel, so that nothing points into this folder.
env-pack: zip ## build dist/environment.tar.gz for spark-submit --archives
	@rm -rf $(PACKED) dist/environment.tar.gz
	@$(PYTHON) -m venv $(PACKED)
	@$(PACKED)/bin/pip install --quiet --disable-pip-version-check dist/w261reg-*.whl
	@$(BIN)/venv-pack --quiet --prefix $(PACKED) --output dist/environment.tar.gz
	@rm -rf $(PACKED)
	@echo dist/environment.tar.gz

clean: ## remove dist and all caches; .venv and results stay
	rm -rf dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
