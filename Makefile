# Everything a person or CI runs. Needs Python 3.11 or newer and make; the first target that needs more sets it up.

VENV := .venv
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
OUTDATED := worker/hotswap/v1 is not what protos/ says: run make protos
STALE := docs/ is not what the code says: run make docs

# One line says what went wrong: bootstrap.py prints it, and make stops with it as its own.
new_enough = import sys; sys.exit(sys.version_info < (3, 11))
bootstrap = for python in $(PYTHON); do \
	if "$$python" -c "$(new_enough)" 2>/dev/null; then \
	said=$$("$$python" bootstrap.py $1) || echo "$${said:-hotswap: the set-up failed}"; exit; fi; done; \
	echo "hotswap: no Python 3.11 or newer on PATH: install one, or name it: make PYTHON=/path/to/python3"
stop_at = $(if $1,$(error $1))
# Most tests wait, for a broker or a process, about as long as they compute: three at a time keep two cores busy. With a
# fourth each computes longer: .ci/run took 900 s and 1,617 s of CPU, not 864 and 1,454. Those of a module share what
# they prepare. conftest.py says in which order.
side_by_side := --numprocesses 3 --dist loadfile --no-loadscope-reorder

# The tests of what pyproject.toml wants covered. Coverage makes a test 1.6 times as slow: the other ones do without.
deciding := $(addprefix tests/unit/,artifacts pipeline trust \
	$(addprefix client/test_,abort.py deletion.py findings.py hanging.py later_clients.py loadable.py needed.py \
	overview.py trend.py) $(addprefix kafka/,partition topics/test_records.py transactions wire) \
	test_agenda.py test_agenda_decisions.py test_agenda_failures.py test_agenda_promotions.py test_later_commands.py \
	test_progress.py test_promotions.py test_shadows.py test_swap.py)

# The tests start a thousand Pythons: each would compile anew what it imports, which takes more than half a second, and
# with numpy start a thread for each core, which nobody uses.
unexport PYTHONDONTWRITEBYTECODE
export OPENBLAS_NUM_THREADS := 1

# Each is a proof under fire of its own, minutes long: make kills, or make kills SEED=7 SECONDS=60 PARTITIONS=64. With
# TRANSACTIONS=1 their clusters begin with transaction.version 1, as one that was upgraded to Kafka 4 without raising it.
PROOFS := kills kills-swaps kills-named failpoints zombies broker storm takeover drain scaling swaps rollouts proto-swaps bad-swaps commands \
	at-least-once everything cluster million compared fuzz fuzz-records fuzz-protos both-ways gateways \
	late-copies transaction-versions epochs
RED := red-at-least-once red-unfenced
OTHER_PROOFS := attacks kinds topics versions rights upgrade renewals s3 every-model every-python-model both-paths alerts lake http-conformance verifier model mutants
play = cd tests && $(abspath $(VENV))/bin/python -m faults $1 $(addprefix --seed ,$(SEED)) $(addprefix --seconds ,$(SECONDS)) \
	$(addprefix --partitions ,$(PARTITIONS))

.PHONY: help setup setup-all demo test test-all test-real check coverage proofs $(PROOFS) $(RED) attacks kinds topics versions rights renewals s3 every-model every-python-model both-paths upgrade alerts \
	console-journey http-conformance kubernetes-check mlflow lake odd-headers verifier model mutants bench bench-servers against cache-check pictures weights train jars protos docs lock release-check image-proof licences clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile

setup: ## the virtual environment in .venv, as requirements.lock says (every target does this by itself)
	@:$(call stop_at,$(shell $(call bootstrap,$(VENV) requirements.lock)))

setup-all: ## the virtual environment with every extra, Spark's and S3's too, in .venv-spark
	@:$(call stop_at,$(shell $(call bootstrap,.venv-spark requirements-spark.lock)))

demo: setup ## the whole story on one screen: a stream is scored while its model is swapped
	@$(VENV)/bin/python examples/demo.py

test: setup ## all tests, those against a real Kafka too; Spark's and S3's are left out (900 MB: make test-all)
	@$(VENV)/bin/python -m pytest $(side_by_side)

test-all: setup-all ## all tests with every extra installed, Spark's and S3's too, in .venv-spark
	@.venv-spark/bin/python -m pytest $(side_by_side) $(addprefix --ignore ,$(WITHOUT))

test-real: setup ## the system tests with workers that a command starts, and with the product's own Java options (for the night)
	@HOTSWAP_TEST_REAL=1 $(VENV)/bin/python -m pytest $(side_by_side) tests/system

check: setup ## format, lint, types, imports, what is generated, unit tests
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call generate,$$fresh) && \
		diff -r -x __init__.py -x __pycache__ "$$fresh/hotswap/v1" worker/hotswap/v1 || { echo "$(OUTDATED)" >&2; exit 1; }
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(VENV)/bin/python docs/generate.py "$$fresh" && \
		for page in "$$fresh"/*; do diff "$$page" docs || { echo "$(STALE)" >&2; exit 1; }; done
	@$(VENV)/bin/coverage run -m pytest $(deciding)
	@$(VENV)/bin/coverage report
	@$(VENV)/bin/python -m pytest tests/unit $(addprefix --ignore ,$(deciding))

coverage: setup ## the decisions and the hot path: each branch of them is taken by the unit tests and the model
	@$(VENV)/bin/coverage run -m pytest tests/unit tests/model
	@$(VENV)/bin/coverage report

# `make fuzz` plays the other two, `make every-model` the other one. RECORD has each append its run to build/proofs.jsonl and write the page.
proofs: ## every proof of RELIABILITY.md in turn, recorded in build/proofs.md, on a clean tree (ONLY="kills storm": these; six hours)
	@RECORD=1 $(MAKE) --no-print-directory --jobs=1 --keep-going \
		$(or $(ONLY),$(filter-out fuzz-records fuzz-protos every-python-model,$(PROOFS) $(RED) $(OTHER_PROOFS)))

$(filter-out fuzz,$(PROOFS)) $(RED): setup
	@$(call play,$@)

fuzz: setup ## made-up requests: CSV, JSON and protobuf, then raw records, then protos (each alone: SEED=7 SECONDS=1000 of them)
	@$(call play,fuzz fuzz-records fuzz-protos)

attacks: setup-all ## what strangers can send, each beside a stream: a table (WORKER=/path/to/checkout: of another commit)
	@$(call play,attacks) $(addprefix --worker ,$(WORKER))
attacks: VENV := .venv-spark

kinds: setup-all ## each kind of model in the place of the one before, while workers are killed; each answer recomputed (ten minutes)
	@$(call play,kinds)
kinds: VENV := .venv-spark

topics: setup ## what an operator does to a deployment's topics and brokers, each beside a stream: a table (four minutes)
	@$(call play,topics)

versions: setup ## a fleet, its broker and a swap under fire on each version of Kafka 4, and on 3.9: a table (five minutes)
	@$(call play,versions)

rights: setup ## each right of a worker and of a client taken away, on a Kafka that enforces them: a table (five minutes)
	@$(call play,rights)

upgrade: setup ## workers replaced one by one by another version's, back and for good, with swaps by clients of both (FROM=commit or checkout)
	@$(call play,upgrade) $(addprefix --old ,$(FROM))

renewals: setup ## certificates, tokens and sessions that end while two fleets work, renewed without a restart (five minutes)
	@$(call play,renewals)

s3: setup-all ## a fleet whose store, a real S3 server, hangs, dies and is away in the middle of swaps (seven minutes)
	@$(call play,s3)

every-model: setup-all ## each model of ONNX, XGBoost and LightGBM through Kafka, as protobuf, JSON and CSV, and by batch: a table; then:
	@$(call play,every-model every-python-model)

every-python-model: setup-all ## 17 Python models, MLflow's folders too, in their environments, by Kafka, HTTP and batch: a table (TORCH=1: PyTorch's, too)
	@$(call play,every-python-model)
s3 every-model every-python-model: VENV := .venv-spark

both-paths: setup-all ## 100,000 random and damaged requests for each of 18 protos of ONNX, XGBoost and LightGBM, on both paths (three minutes)
	@HOTSWAP_TEST_REQUESTS=100000 .venv-spark/bin/python -m pytest $(side_by_side) -k "both_paths or same_bytes" \
		$(addprefix tests/contract/runtimes/test_,onnx_paths.py xgboost.py lightgbm.py)

alerts: setup ## the situation that each alert of ops/ is for, in a real Prometheus (needs prometheus on PATH; 20 minutes at most)
	@$(call play,alerts)

console-journey: ## a model's way through the console in a real browser, by mouse and by keyboard alone (needs chromium on PATH)
	@:$(call stop_at,$(shell $(call bootstrap,.venv-conformance requirements-conformance.lock)))
	@cd tests && $(abspath .venv-conformance)/bin/python -m browser.journey $(addprefix --picture ,$(abspath $(PICTURE)))

http-conformance: ## the gateway before what others have written: schemathesis, tritonclient; and beside slow and broken senders
	@:$(call stop_at,$(shell $(call bootstrap,.venv-conformance requirements-conformance.lock)))
	@cd tests && $(abspath .venv-conformance)/bin/python -m conformance.http $(addprefix --seed ,$(SEED)) \
		$(addprefix --cases ,$(CASES))

mlflow: ## MLflow's registry: models:/ and runs:/ of its real server are packed, swapped and scored (650 MB)
	@:$(call stop_at,$(shell $(call bootstrap,.venv-mlflow requirements-mlflow.lock)))
	@.venv-mlflow/bin/python -m pytest tests/system/test_mlflow_registry.py

kubernetes-check: ## the manifests of ops/kubernetes before what others have written: kubernetes-validate, models of CRDs, checkov
	@:$(call stop_at,$(shell $(call bootstrap,.venv-kubernetes requirements-kubernetes.lock)))
	@cd tests && $(abspath .venv-kubernetes)/bin/python -m conformance.kubernetes

lake: setup-all ## `hotswap batch` on a real Spark cluster: each kind under fire, its cost, its growth (ROWS=10000000: the full figure)
	@cd tests && $(abspath .venv-spark)/bin/python -m faults.lake $(addprefix --rows ,$(ROWS)) $(addprefix --seed ,$(SEED))

odd-headers: setup-all ## models whose columns have odd names, by each way that scores a table, beside EasyPredict (twenty minutes)
	@cd tests && $(abspath .venv-spark)/bin/python -m faults.odd_headers $(MODELS)

verifier: setup ## the verifier's own test: defects planted in good histories, each found
	@cd tests && $(abspath $(VENV))/bin/python -m faults.test_verifier

model: setup ## the protocol's model: 10,000 examples of crashes, zombies and commands against the real decisions
	@HOTSWAP_MODEL_EXAMPLES=10000 $(VENV)/bin/python -m pytest tests/model/test_protocol.py

mutants: setup ## defects planted in the real code, each caught by the model or by the agenda's tests
	@cd tests && $(abspath $(VENV))/bin/python -m model.mutants

bench: setup-all ## rows a second, CPU a row and latency, beside the bare Kafka client; each kind beside its own library
	@.venv-spark/bin/python benchmarks/bench.py $(PARTS) $(if $(KINDS),--kinds $(KINDS)) $(addprefix --seconds ,$(SECONDS))

bench-servers: setup-all ## single rows over HTTP beside MLServer and BentoML, each in its own environment (needs Python 3.11 or 3.12)
	@:$(call stop_at,$(shell $(call bootstrap,.venv-mlserver requirements-mlserver.lock)))
	@:$(call stop_at,$(shell $(call bootstrap,.venv-bentoml requirements-bentoml.lock)))
	@.venv-spark/bin/python benchmarks/bench.py servers $(if $(KINDS),--kinds $(KINDS)) $(addprefix --seconds ,$(SECONDS))
bench-servers: private PYTHON := python3.12 python3.11

against: setup ## this checkout's worker beside another's, in turns: make against OLD=/path/to/it
	@$(VENV)/bin/python benchmarks/against.py $(OLD) $(addprefix --rounds ,$(ROUNDS)) $(addprefix --rows ,$(ROWS)) \
		$(addprefix --seconds ,$(SECONDS))

cache-check: setup ## how long it takes to verify a model in the cache before it is loaded, 2 GiB too
	@$(VENV)/bin/python benchmarks/cache_check.py

weights: setup ## what the repository weighs: words by page, lines by part, names that occur twice
	@$(VENV)/bin/python benchmarks/weights.py

pictures: setup ## the pictures of docs/ (not demo.svg): kept figures, a recorded terminal, the dashboard (needs prometheus on PATH)
	@$(VENV)/bin/python benchmarks/bench.py --draw > /dev/null
	@$(VENV)/bin/python examples/record_terminal.py
	@$(VENV)/bin/python examples/record_dashboard.py

train: ## make the models of the examples and the tests again (downloads H2O, 266 MB, into .venv-train)
	@:$(call stop_at,$(shell $(call bootstrap,.venv-train requirements-train.lock)))
	@.venv-train/bin/python examples/train.py
	@.venv-train/bin/python tests/models/train_h2o.py
	@.venv-train/bin/python tests/models/train_odd.py
	@.venv-train/bin/python tests/models/train_onnx.py
	@.venv-train/bin/python tests/models/train_xgboost.py
	@.venv-train/bin/python tests/models/train_lightgbm.py
	@.venv-train/bin/python benchmarks/gbm.py

jars: setup ## the jars of the tests and of the worker, from their sources (needs a JDK 17)
	@$(VENV)/bin/python tests/fakes/jars.py

protos: setup ## worker/hotswap/v1 from protos/
	@$(call generate,worker)

docs: setup ## docs/codes.md, settings.md and metrics.md from the code
	@$(VENV)/bin/python docs/generate.py

lock: ## requirements*.lock from pyproject.toml (needs uv)
	@echo pip | uv pip compile $(resolve) --no-annotate - -o requirements-pip.lock
	@uv pip compile $(compile) $(dev) -o requirements.lock
	@for name in spark conformance release; do cp requirements.lock requirements-$$name.lock; done # the same versions
	@uv pip compile $(compile) $(dev) $(addprefix --extra ,lake lightgbm onnx spark xgboost s3 gcs azure) --group s3-server --group sklearn-tests -o requirements-spark.lock
	@uv pip compile $(compile) $(dev) --group conformance -o requirements-conformance.lock
	@uv pip compile $(compile) $(dev) --extra lightgbm --extra mlflow --group mlflow-server -o requirements-mlflow.lock
	@uv pip compile $(compile) --group kubernetes -o requirements-kubernetes.lock
	@uv pip compile $(compile) --group release -o requirements-release.lock
	@uv pip compile $(compile) --group train -o requirements-train.lock
	@uv pip compile $(filter-out pyproject.toml,$(compile)) --group bentoml -o requirements-bentoml.lock
	@uv pip compile $(filter-out pyproject.toml,$(compile)) --group mlserver --no-emit-package xgboost \
		--no-emit-package nvidia-nccl-cu12 --no-emit-package nvidia-nccl-cu13 -o requirements-mlserver.lock
	@for version in $(SKLEARN); do echo "scikit-learn~=$$version.0" | uv pip compile $(resolve) --no-annotate \
		--group sklearn - -o worker/hotswap/packages/sklearn/locks/$$version.lock; done
	@uv pip compile $(filter-out pyproject.toml,$(compile)) --group image -o ops/image/build.lock
	@for name in worker gateway spark; do cp requirements.lock ops/image/$$name.lock; done # the same versions
	@uv pip compile $(compile) $(worker_image) -o ops/image/worker.lock
	@uv pip compile $(compile) $(gateway_image) -o ops/image/gateway.lock
	@uv pip compile $(compile) $(gateway_image) --extra spark -o ops/image/spark.lock
	@for kind in lightgbm onnx python xgboost; do cp ops/image/gateway.lock ops/image/$$kind.lock && \
		uv pip compile $(compile) --extra $$kind -o ops/image/$$kind.lock || exit; done
	@$(MAKE) --no-print-directory licences

release-check: ## is this checkout fit to be released? (TAG=v1.2.3: as that; EVERY_PYTHON=1: none of the support list may be missing)
	@:$(call stop_at,$(shell $(call bootstrap,.venv-release requirements-release.lock)))
	@cd tests && $(abspath .venv-release)/bin/python -m release.check $(addprefix --tag ,$(TAG)) $(if $(EVERY_PYTHON),--every-python)

image-proof: setup ## the image is built twice, and a worker from it scores a stream under a pod's restrictions (needs podman, root)
	@cd tests && $(abspath $(VENV))/bin/python -m image.proof

licences: ## docs/licences.md: the licence of each package and jar that a lock names (asks PyPI and Maven for those that are new)
	@:$(call stop_at,$(shell $(call bootstrap,.venv-release requirements-release.lock)))
	@cd tests && $(abspath .venv-release)/bin/python -m release.licences

clean: ## remove what the targets made here
	@rm -rf .venv .venv-spark .venv-bentoml .venv-conformance .venv-kubernetes .venv-mlflow .venv-mlserver .venv-release .venv-train .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage build dist

# What a checkout has for its tests and tools.
dev := --extra gateway --extra http --extra python --extra signatures --group dev
# The extras of the image's targets, besides Spark's own.
worker_image := --extra signatures --extra s3
gateway_image := $(worker_image) --extra gateway
# The versions of scikit-learn whose models `hotswap pack` converts.
SKLEARN := 1.5 1.6 1.7 1.8 1.9
generate = $(VENV)/bin/python -m grpc_tools.protoc -I protos --python_out=$1 --pyi_out=$1 hotswap/v1/control.proto
resolve = -q --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'
compile = $(resolve) pyproject.toml
