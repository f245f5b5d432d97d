# The same commands for people and for CI. `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# pip, git and curl trust the platform's certificates; uv would use its own and fail behind a company's proxy.
export UV_SYSTEM_CERTS ?= true

# The lock file lists every package with its hash; the virtual environment is recreated whenever it changes.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' \
	  || { echo "Bateau needs Python 3.11 to 3.13; name one with make PYTHON=python3.12"; exit 1; }
	@echo "making .venv"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.PHONY: gate sanitize fuzz up check test fix accept docs bench cluster image wheel lock clean help

up: .venv/.ready ## serve a model, ask it a question, stay until Ctrl-C (ARGS=--detach returns)
	@$(BIN)/bateau up -C examples/laptop --ask "Why is the sky blue?" $(ARGS)

check: .venv/.ready ## lint, types, import contracts and the language of messages and docs
	$(BIN)/ruff check src tests bench cluster
	$(BIN)/ruff format --check src tests bench cluster
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_language.py

# Recreated with .venv, because it is inside it; a binary that was built once is in the cache.
.venv/bin/helm: .venv/.ready .ci/helm
	@.ci/helm $@

# Two at once: most tests wait for processes. One worker has the cluster, the other one whole instances.
test: .venv/.ready .venv/bin/helm ## every test, with the real Envoy and the real model (ARGS=-k name)
	$(BIN)/pytest --numprocesses 2 --dist loadgroup $(ARGS)

fix: .venv/.ready ## format, and apply automatic fixes
	$(BIN)/ruff check --fix src tests bench cluster
	$(BIN)/ruff format src tests bench cluster

accept: .venv/.ready ## rewrite expected outputs; check the diff
	$(BIN)/pytest tests/test_mistakes.py --accept

docs: .venv/.ready ## build the documentation into docs/_build
	$(BIN)/sphinx-build -W -q -b html docs docs/_build

bench: .venv/.ready ## measure every claim, side by side (minutes)
	$(BIN)/python -m bench $(ARGS)

cluster: .venv/.ready ## start a real Kubernetes on this machine, and print its kubeconfig (ARGS=--nodes=2)
	@$(BIN)/bateau dev cluster up $(ARGS)

image: .venv/.ready ## build the images of Bateau and of a small model into dist, each with an SBOM (needs root)
	@$(BIN)/bateau dev image app
	@$(BIN)/bateau dev image model

gate: .venv/.ready ## build the native filter of the gateway, and install it in .venv (needs Rust)
	@.ci/gate

sanitize: ## test the native filter with AddressSanitizer (needs Rust)
	@.ci/sanitize

fuzz: ## the same with a million random inputs (minutes, for the night)
	@BATEAU_FUZZ=1000000 .ci/sanitize

wheel: .venv/.ready ## build the wheel into dist
	$(BIN)/uv build --quiet --wheel --out-dir dist

lock: ## resolve requirements.lock again
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --extra local --group dev --group docs --python-version 3.11 pyproject.toml -o requirements.lock

clean: ## remove all build output
	rm -rf .venv dist build docs/_build .pytest_cache .ruff_cache .hypothesis

help: ## list all targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10
