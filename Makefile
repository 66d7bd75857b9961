# Shortcuts for maintainers; `make help` lists them. The commands of README and CONTRIBUTING need no make.
.DEFAULT_GOAL := help
python := .venv/bin/python

.PHONY: help
help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install:  ## Create .venv with everything that development needs
	python3 -m venv .venv
	.venv/bin/pip install --quiet --constraint requirements.lock --editable '.[dev,docs]'

.PHONY: format
format:  ## Format the code
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.PHONY: lint
lint:  ## Lint, check types and import layers
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.PHONY: test
test:  ## Run all tests but the slow ones
	$(python) -m pytest -q -n 3 --dist worksteal

.PHONY: docs
docs:  ## Build the documentation site into build/site
	.venv/bin/mkdocs build --strict --site-dir build/site

.PHONY: dist
dist:  ## Build wheel and sdist into dist/
	$(python) -m build

.PHONY: ci
ci:  ## Run what the hosted CI runs
	bash .ci/run
