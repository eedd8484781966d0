# Everything goes through .venv, which `.ci/setup` makes and keeps up to date.
.DEFAULT_GOAL := help
.PHONY: help run test dev bench soak clean
BIN := .venv/bin

help: ## Show this list
	@echo "Orchestrator: one graph for dbt models and Python ingestion."
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Needs Python 3.10 to 3.13 (PYTHON=/path/to/python chooses one); the rest is installed into .venv."

run: ## Build the example: a year of flights, from Python through dbt to records
	@.ci/setup example
	$(BIN)/orchestrator run --engine prefect

dev: ## Start everything, the app included; Ctrl-C stops it
	@.ci/setup example
	$(BIN)/orchestrator dev

test: ## Lint, types, import contracts and all tests
	@.ci/setup dev
	@.ci/browser
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

bench: ## Measure start-up times and the like
	@.ci/setup dev
	$(BIN)/pytest -m bench tests/benchmarks

soak: ## Kill 50 runs at random moments (SOAK_KILLS=n); ask 6,000 odd things of the SQL analyser (SOAK_SQL=n)
	@.ci/setup dev
	$(BIN)/pytest -m soak tests/soak -s

clean: ## Remove .venv, the example's database and records, and all caches
	rm -rf .venv .orchestrator .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf build dist *.egg-info dbt_project/target dbt_project/logs dbt_project/dbt_packages logs
	rm -f dbt_project/.user.yml *.duckdb *.duckdb.wal *.duckdb.lock
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
