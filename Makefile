# `make run` serves on http://127.0.0.1:8000 (HOST and PORT override); `make test` runs every test there is.
.PHONY: run test quick bench bench-relay bench-scale lint lock
.SILENT:
PYTHON_IN = .venv/bin/python

run:
	.ci/setup run
	$(PYTHON_IN) manage.py prepare_site
	exec $(PYTHON_IN) -m ctxsite.serve

# On SQLite, then on PostgreSQL; browser tests included.
test:
	.ci/setup test
	exec $(PYTHON_IN) -m tests

# SQLite only, no browser.
quick:
	.ci/setup test
	exec $(PYTHON_IN) -m tests --quick

# One labelled line a figure.
bench:
	.ci/setup test
	exec $(PYTHON_IN) -m tests.bench

# Beside a plain relay, on both databases: about half an hour. Wants two idle cores.
bench-relay:
	.ci/setup test
	exec $(PYTHON_IN) -m tests.bench relay

# Ten thousand open sockets.
bench-scale:
	.ci/setup test
	exec $(PYTHON_IN) -m tests.bench scale

# Processes killed under load (MINUTES, 10, and SEED may be given), the drill of 847 full sessions on both databases
# (SESSIONS), the operator's pages over ten million calls: over an hour.
soak:
	.ci/setup test
	$(PYTHON_IN) -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))
	$(PYTHON_IN) -m tests.soak.drill $(if $(SESSIONS),--sessions $(SESSIONS))
	exec $(PYTHON_IN) -m tests.bench monitoring

lint:
	.ci/setup test
	$(PYTHON_IN) -m ruff check .
	$(PYTHON_IN) -m ruff format --check .
	$(PYTHON_IN) -m mypy
	.venv/bin/djade --check --target-version 5.2 $$(git ls-files "*.html")
	$(PYTHON_IN) manage.py makemigrations --check --dry-run

# Universal, with hashes: one lock for every platform and every Python from 3.11 on.
LOCK = .venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade -q
lock:
	.ci/setup test
	[ -x .venv/bin/uv ] || $(PYTHON_IN) -m pip install -q --require-hashes -r .ci/uv.txt
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt
	echo uv | $(LOCK) --no-header - -o .ci/uv.txt
