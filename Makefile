# Every target does its own set-up (.venv, Qt's system libraries, a virtual display) and reuses it the next time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PACKAGE := napari_sam2refiner
DISPLAYED := scripts/with-display.sh
# What another version of mkdocs will be like is no warning about these pages.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
STAMP := .venv/.set-up
# Further arguments for the program behind a target: make test ARGS="-k prompts -x"
ARGS ?=

.PHONY: help setup qt demo test lint style types directions manifest format docs docs-serve screenshots benchmark clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the package, its extras and the tools

$(STAMP): pyproject.toml scripts/setup.sh
	scripts/setup.sh
	@touch $@

qt: $(STAMP)
	@scripts/qt-libraries.sh

demo: $(STAMP) ## segment a real image with the embedded weights, into demo/
	$(BIN)/napari-sam2refiner demo $(ARGS)

test: qt ## run all tests (on a virtual display where there is none)
	scripts/run-tests.sh $(BIN)/python $(ARGS)

lint: style types directions manifest ## style, types, import directions and the napari manifest

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

directions: $(STAMP)
	$(BIN)/lint-imports --no-logo

manifest: qt
	$(BIN)/npe2 validate --imports napari-sam2refiner

format: $(STAMP) ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## build the site of the documentation into site/; a warning is an error
	$(MKDOCS) build --strict $(ARGS)

docs-serve: $(STAMP) ## show the site at http://localhost:8000 and follow what is edited
	$(MKDOCS) serve $(ARGS)

screenshots: qt ## take the pictures of the README and the docs again; ARGS names some stories
	$(DISPLAYED) $(BIN)/python scripts/screenshots.py $(ARGS)

benchmark: qt ## run each program in benchmarks/
	@for file in benchmarks/[a-z]*.py; do \
		echo "=== $$file" && $(DISPLAYED) $(BIN)/python $$file $(ARGS) || exit 1; \
	done

clean: ## remove the set-up, caches and what the demo wrote
	rm -rf .venv .setup .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist demo site
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
