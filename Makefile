PY := .venv/bin/python
PORT ?= 8000
HOST ?= 127.0.0.1
AUTH ?=
REGISTRY ?=
PLATFORMS ?= linux/amd64
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
FOLDER ?= .local
.DEFAULT_GOAL := help

##@ Use
.PHONY: help install run operation clean-data
help: ## list the targets
	@awk -F':.*## ' '/^##@/ {print "\n" substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
install: .venv/installed ## make the environment in .venv
run: install ## run everything on this machine until Ctrl-C (PORT=8000 OPERATIONS=../acme AUTH=1)
	@$(PY) -m tools.run --host $(HOST) --port $(PORT) --folder $(FOLDER) --operations "$(OPERATIONS)" $(if $(filter-out 0,$(AUTH)),--auth)
operation: install ## write a package with an operation (NAME=acme PLACE=../acme)
	@$(PY) -m tools.operation --name "$(NAME)" --place "$(or $(PLACE),../$(NAME))"
clean-data: install ## delete the data and logs of `make run`
	@$(PY) -m tools.run --folder $(FOLDER) --clean-data

##@ Develop
.PHONY: check test test-again docs clients chart e2e e2e-images sbom faults mutants hostile soak bench format generate lock wheel
check: install ## the gate: format, lint, types, import laws, generated files, unit tests
	@$(PY) -m tools.check
# Empty is unset: pytest would prepare each file of tests anew, in every process and every time.
check test test-again: export PYTHONDONTWRITEBYTECODE :=
test: install ## every test that needs no cluster, on real servers (BOUNCER=1: through PgBouncer)
	@$(PY) -m pytest -q -n 4 --no-loadscope-reorder $(if $(BOUNCER),--pgbouncer -rs) -m "not needs" --ignore tests/e2e tests
test-again: install ## the tests that failed last, one at a time
	@$(PY) -m pytest -v -p no:randomly --tb=short --last-failed --last-failed-no-failures none tests
docs: install ## the documentation site, in .local/docs/site
	@$(PY) -m tools.site && echo "  .local/docs/site/index.html"
clients: install ## clients that generators make of the OpenAPI document, those of TypeScript with npm
	@$(PY) -m pytest -q tests/clients
chart: install ## the chart, images and alerts: every test that needs helm, Docker or promtool
	@$(PY) -m pytest -q -n 2 --no-servers tests/chart
e2e: install ## in the cluster of KUBECONFIG, which has the images of e2e-images (E2E=tests/e2e/test_install.py)
	@$(PY) -m pytest -v -p no:randomly --tb=short --no-servers $(or $(E2E),tests/e2e)
e2e-images: ## build what e2e installs: both images, a next version of each with a migration more, an OpenID provider
	@for part in api worker; do \
	  docker build --quiet -f Dockerfile.$$part -t jobproc-$$part:e2e . && \
	  docker build --quiet --build-arg BEFORE=jobproc-$$part:e2e -t jobproc-$$part:e2e-next tests/e2e/next || exit; \
	done && \
	docker build --quiet --build-arg BEFORE=jobproc-api:e2e -f tests/e2e/provider/Dockerfile -t jobproc-openid-provider:e2e .
sbom: ## the bill of materials of each image, in .local/sbom/
	@for part in api worker; do docker build --quiet -f Dockerfile.$$part --target sbom --output .local/sbom/$$part . || exit; done
faults: install ## clients and faults by a seed, ten minutes, then the laws (FAULTS="--seed 7 --seconds 60")
	@PYTHONPATH=tests:tests/operations $(PY) -m faults.run $(FAULTS)
mutants: install ## break each guard on purpose and see that `make faults` notices (minutes)
	@PYTHONPATH=tests:tests/operations $(PY) -m faults.mutants $(MUTANTS)
hostile: install ## hostile requests and messages by a seed, a minute, then the laws (HOSTILE="--seed 7 --requests 20000")
	@PYTHONPATH=tests:tests/operations $(PY) -m hostile.run $(HOSTILE)
soak: install ## a steady load for twenty minutes, then what grew: memory, tables, connections (SOAK="--seconds 3600")
	@PYTHONPATH=tests:tests/operations $(PY) -m soak.run $(SOAK)
bench: install ## measure beside the plain way and the ceilings (BENCH="--only laps|growth|pressure|limits --help")
	@$(PY) -m tests.benchmarks.run $(BENCH)
format: install ## format the code
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix-only .
generate: install ## make the generated files anew
	@$(PY) -m tools.generate
lock: install ## compile the lock files from pyproject.toml
	@$(PY) -m tools.lock
wheel: install ## build the wheel of the package jobproc, in .local/wheels/
	@$(PY) -m uv build --quiet --wheel --out-dir .local/wheels clients/python && ls .local/wheels/jobproc-*.whl

##@ Release
.PHONY: images package publish login
images: ## both images (REGISTRY=registry.example.org/jobs; PUSH=1 PLATFORMS=linux/amd64,linux/arm64: with provenance and SBOM)
	@for part in api worker; do \
	  docker buildx build -f Dockerfile.$$part -t $(if $(REGISTRY),$(REGISTRY)/)jobproc-$$part:$(VERSION) \
	    --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git log -1 --format=%cI) \
	    $(if $(PUSH),--platform $(PLATFORMS) --provenance=mode=max --sbom=true --push,--load) . || exit; \
	done
package: ## the chart as a package, in .local/charts/ (REGISTRY=registry.example.org/jobs PUSH=1: as OCI into the registry)
	@helm package charts/jobproc --destination .local/charts
	$(if $(PUSH),@helm push .local/charts/jobproc-$(VERSION).tgz oci://$(REGISTRY)/charts)
publish: install ## send the wheel to the index, by trusted publishing
	@$(PY) -m uv publish --trusted-publishing always .local/wheels/*.whl
login: ## sign in to the registry (REGISTRY, REGISTRY_USER and REGISTRY_PASSWORD in the environment)
	@printenv REGISTRY_PASSWORD | docker login $(firstword $(subst /, ,$(REGISTRY))) --username "$$REGISTRY_USER" --password-stdin

.venv/installed: requirements.lock clients/python/pyproject.toml
	@python3 -m tools.environment
	@$(PY) -m uv pip install --quiet --offline --no-deps --editable clients/python && touch $@
