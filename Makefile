# The commands of the project; `make help` lists them. Nothing but make and Python 3.11 is needed beforehand.
.DEFAULT_GOAL := help
.PHONY: help run test ci bench demo lock lint messages reference vendor-check clean \
        setup-dev check-migrations test-slow test-postgres coverage

PY := .venv/bin/python
# Twice as many as cores: a third of the time tests wait for servers, disks, clocks and a browser.
WORKERS ?= $(shell echo $$(($$(nproc) * 2)))
PYTEST = $(PY) -m pytest -n $(WORKERS) --dist worksteal

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run:  ## start the school on http://127.0.0.1:8000 (API_PORT=8080 chooses another port)
	@scripts/setup.sh run
	@exec $(PY) -m backend.cli serve

test: setup-dev  ## run the tests, the story in a real browser among them (ARGS="tests/api -k lessons" narrows)
	@scripts/chromium.sh
	$(PYTEST) -m "not slow" $(ARGS)

COVERED := PYTEST_ADDOPTS="--cov --cov-append --cov-report=" COVERAGE_FILE=$(CURDIR)/.coverage.sqlite
ci:  ## everything that has to be green: tests on both databases, linters, migrations, coverage
	rm -f .coverage.sqlite*
	$(COVERED) $(MAKE) test
	$(COVERED) $(MAKE) test-slow
	$(MAKE) lint
	$(MAKE) check-migrations
	$(MAKE) test-postgres
	$(MAKE) coverage

bench: setup-dev  ## measure the goals of docs on a generated school of 200,000 students
	$(PY) scripts/with_postgres.py --durable $(PY) -m benchmarks $(ARGS)

demo:  ## fill an empty database with the demo school (ARGS=--remove takes it out again)
	@scripts/setup.sh run
	@exec $(PY) -m backend.cli demo $(ARGS)

lint: setup-dev  ## style, types, import rules, templates, vendored files, catalogues
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy backend main.py scripts
	.venv/bin/lint-imports
	$(PY) -m djlint templates --lint --quiet
	$(PY) scripts/vendor.py check
	$(PY) scripts/tabler.py check
	$(PY) -m scripts.messages check
	$(PY) -m scripts.reference check
	$(PY) scripts/check_style.py

messages: setup-dev  ## bring locales/ up to date with the code
	$(PY) -m scripts.messages extract

reference: setup-dev  ## write docs/reference.md anew from the API
	$(PY) -m scripts.reference write

lock: setup-dev  ## compile requirements*.in with hashes (UPGRADE=--upgrade takes newer versions)
	$(PY) -m uv $(COMPILE) $(UPGRADE) requirements.in -o requirements.txt
	$(PY) -m uv $(COMPILE) $(UPGRADE) requirements-dev.in -c requirements.txt -o requirements-dev.txt
# The extras stay in the lock: without them pip looks for `coverage[toml]` beside the pinned `coverage`, and refuses the
# hash of whatever newer release it finds.
COMPILE := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url \
           --no-emit-find-links --custom-compile-command 'make lock'

vendor-check:  ## compare the third-party browser files with their lock
	@scripts/setup.sh run
	$(PY) scripts/vendor.py check

clean:  ## remove what can be made again (never .env, data or a database)
	rm -rf .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis htmlcov test-results .coverage .coverage.*
	find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
	rm -rf .venv

setup-dev:
	@scripts/setup.sh dev

check-migrations: setup-dev
	$(PY) scripts/with_postgres.py $(PY) scripts/check_migrations.py

# A thousand duplicates, two hundred kills: `make test` runs the smaller siblings.
test-slow: setup-dev
	$(PYTEST) -m slow

# What touches no database, or starts a school of its own on SQLite, has nothing to say about PostgreSQL.
NO_DATABASE := --ignore=tests/tooling --ignore=tests/sandbox --ignore=tests/browser --ignore=tests/test_access.py
test-postgres: setup-dev
	$(PY) scripts/with_postgres.py $(PYTEST) -m "not browser" $(NO_DATABASE) $(ARGS)

# A wrong amount or an open door costs more than any other mistake: these files are held to the last branch.
DOORS := backend/core/auth.py,backend/core/security.py,backend/core/csrf.py,backend/core/permissions.py,$\
         backend/core/signin.py,backend/core/units.py,backend/core/deps.py,backend/database/crud/auth.py
MONEY := backend/database/crud/orders.py,backend/database/crud/purchases.py,backend/database/crud/promo_codes.py,$\
         backend/database/crud/payments.py,backend/database/crud/ledger.py,backend/database/crud/entitlements.py,$\
         backend/database/crud/dispatches.py,backend/database/crud/stars.py
REPORT := COVERAGE_FILE=$(CURDIR)/.coverage.sqlite $(PY) -m coverage report
coverage:
	$(REPORT) --fail-under=90
	$(REPORT) --fail-under=100 --include="$(DOORS)"
	$(REPORT) --fail-under=100 --include="$(MONEY)"
