# The commands of the project; `make help` lists them. Nothing but make and Python 3.11 is needed beforehand.
.DEFAULT_GOAL := help
.PHONY: help run test prove ci bench fuzz mutants demo lock lint messages reference sbom advisories image vendor-check clean \
        setup-dev check-migrations test-postgres coverage

PY := .venv/bin/python
# Some machines forbid it; the suite starts a hundred programs, and each would compile all of ours anew.
unexport PYTHONDONTWRITEBYTECODE
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

# What `make test` has smaller siblings of, on both databases, and all that has a figure to tell, in one table.
prove: setup-dev  ## the long proofs, before a release or every night: a table of figures (ARGS="--quick", ARGS="-k money")
	@scripts/chromium.sh
	@$(PY) -m scripts.prove --workers $(WORKERS) --postgres "$(ON_POSTGRES) $(DOORS_ON_POSTGRES)" \
	  --mutated $(DOORS),$(MONEY) $(ARGS)

COUNTS := .coverage
ci:  ## everything that has to be green: tests on both databases, linters, migrations, coverage
	rm -rf $(COUNTS)
	PYTEST_ADDOPTS="-p tests.covering" COVERAGE_DIR=$(CURDIR)/$(COUNTS) $(MAKE) test
	$(MAKE) lint
	$(MAKE) check-migrations
	$(MAKE) test-postgres
	$(MAKE) coverage

bench: setup-dev  ## measure the goals of docs on a generated school of 200,000 students
	$(PY) scripts/with_postgres.py --durable $(PY) -m benchmarks $(ARGS)

fuzz: setup-dev  ## a million texts to all parsers, 10,000 requests to a school (ARGS="--cases 1000 --only sqlite")
	$(PY) scripts/fuzz.py --parsers
	$(PY) scripts/with_postgres.py $(PY) scripts/fuzz.py $(ARGS)

mutants: setup-dev  ## change 300 places of money and doors, one at a time: which of them no test notices (ARGS="--sample 0")
	$(PY) -m scripts.mutants $(DOORS),$(MONEY) $(ARGS)

demo:  ## fill an empty database with the demo school (ARGS=--remove takes it out again)
	@scripts/setup.sh run
	@exec $(PY) -m backend.cli demo $(ARGS)

lint: setup-dev  ## style, types, import rules, templates, vendored files, catalogues, secrets
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m bandit -q -c pyproject.toml -r backend main.py scripts
	$(PY) -m mypy backend main.py scripts
	.venv/bin/lint-imports
	$(PY) -m djlint templates --lint --quiet
	$(PY) scripts/vendor.py check
	$(PY) scripts/tabler.py check
	$(PY) -m scripts.messages check
	$(PY) -m scripts.reference check
	$(PY) scripts/check_style.py
	$(PY) scripts/leaks.py

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

sbom:  ## list what the program is made of in sbom.cdx.json (CycloneDX); the image holds its own
	@scripts/setup.sh run
	$(PY) scripts/sbom.py sbom.cdx.json

image: setup-dev  ## build the image and try what it promises, with docker or podman (ARGS="--engine podman")
	$(PY) -m scripts.image $(ARGS)

# Asks the network, so it is no part of `make ci`: what was published yesterday is no fault of today's change.
advisories: setup-dev  ## known vulnerabilities of what is locked (ARGS="--pypi FILE --npm FILE" asks OSV's dumps instead)
	$(PY) -m scripts.advisories $(ARGS)

vendor-check:  ## compare the third-party browser files with their lock
	@scripts/setup.sh run
	$(PY) scripts/vendor.py check

clean:  ## remove what can be made again (never .env, data or a database)
	rm -rf .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis htmlcov test-results $(COUNTS) \
	       .mutants .prove sbom.cdx.json
	find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
	rm -rf .venv

setup-dev:
	@scripts/setup.sh dev

check-migrations: setup-dev
	$(PY) scripts/with_postgres.py $(PY) scripts/check_migrations.py

# What asks little of the database has nothing to say about PostgreSQL: core, doors, the bot (it speaks to /api alone),
# and what starts a school of its own on SQLite.
ON_POSTGRES := tests/api tests/cli tests/crm tests/database tests/demo tests/jobs tests/money tests/test_fuzz.py
# A proof tries these there too: every route as everybody, and guesses.
DOORS_ON_POSTGRES := tests/core/test_signin.py $(wildcard tests/test_*.py)
test-postgres: setup-dev
	$(PY) scripts/with_postgres.py $(PYTEST) -m "not slow" $(ON_POSTGRES) $(ARGS)

# A wrong amount or an open door costs more than any other mistake: these files are held to the last branch.
DOORS := backend/core/auth.py,backend/core/devices.py,backend/core/security.py,backend/core/csrf.py,backend/core/permissions.py,$\
         backend/core/signin.py,backend/core/units.py,backend/core/deps.py,backend/database/crud/auth.py,$\
         backend/core/otp.py,backend/core/proof.py,backend/core/recovery.py,backend/core/signup.py,backend/core/viewing.py,$\
         backend/core/factors.py,backend/core/passkeys.py,backend/core/oauth.py,backend/core/elsewhere.py,backend/core/ways.py,$\
         backend/core/throttles.py,backend/database/tries.py,$\
         backend/database/crud/throttle.py,backend/database/crud/locks.py,backend/database/crud/rights.py,$\
         backend/database/crud/links.py,backend/database/crud/places.py,backend/database/crud/presence.py,backend/database/crud/credentials.py,$\
         backend/database/crud/identities.py,backend/database/crud/recovery.py,backend/database/crud/registrations.py,$\
         backend/database/crud/roles.py,backend/database/crud/staff.py,backend/database/crud/viewing.py,backend/database/crud/vouching.py,$\
         backend/api/auth.py,backend/crm/auth.py,backend/crm/second.py,backend/crm/confirm.py,backend/crm/security.py,$\
         backend/crm/forgotten.py,backend/crm/roles.py,backend/crm/register.py,$\
         backend/crm/staff.py,backend/crm/elsewhere.py,backend/crm/invitations.py
MONEY := backend/database/crud/orders.py,backend/database/crud/purchases.py,backend/database/crud/promo_codes.py,$\
         backend/database/crud/payments.py,backend/database/crud/ledger.py,backend/database/crud/entitlements.py,$\
         backend/database/crud/dispatches.py,backend/database/crud/stars.py,backend/database/crud/revenue.py,$\
         backend/database/crud/idempotency.py,backend/jobs/outbox.py
coverage:
	$(PY) -m scripts.covered $(COUNTS) --lines 95 --whole "$(DOORS),$(MONEY)"
