# Everything a newcomer or CI runs. `make help` lists it.

PYTHON ?=
TORCH_INDEX ?=
ARGS ?=
RECORD ?=
BIN := .venv/bin
STAMP := .venv/.installed
# Ctrl-C ends it like any program; `python -m venv` would print a traceback.
MAKE_VENV := import signal, venv; signal.signal(signal.SIGINT, signal.SIG_DFL); \
	venv.create(".venv", clear=True, with_pip=True, symlinks=True)

.DEFAULT_GOAL := help
.PHONY: help setup up test clients check fix bench replays differential market epochs incentives arena gap effort rounds storms finality sim crash fuzz hostile siege hosts transport libp2p soak load clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)$$/\1|\2/' \
		| while IFS='|' read -r name words; do printf 'make %-12s %s\n' "$$name" "$$words"; done

setup: $(STAMP)  ## make .venv and install (TORCH_INDEX=URL: torch from that wheel index; PYTHON=path)

$(STAMP): pyproject.toml
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		python="$$(PYTHON='$(PYTHON)' sh .ci/find-python)" && echo "Making .venv with $$python" && \
		"$$python" -c '$(MAKE_VENV)'; fi
	@echo "Installing into .venv: the node, torch and transformers, and the tools for tests and checks."
	@echo "torch is the large part; on Linux it brings CUDA, several GB. Without a GPU a tenth of that will do:"
	@echo "  make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu"
	@if [ -t 1 ]; then quiet=; else quiet=--quiet; fi; \
		$(BIN)/python -m pip install $$quiet --disable-pip-version-check \
		$(if $(TORCH_INDEX),--extra-index-url '$(TORCH_INDEX)') -e '.[dev]'
	@touch $@

up: setup  ## start a local network (ARGS="--rounds 3 --exit")
	@$(BIN)/assay up $(ARGS)

test: setup  ## run the tests (ARGS="tests/runtime -k epoch")
	@.ci/test $(ARGS)

clients: setup  ## install the other real clients that tests use: node's, and one in its own .venv
	@npm ci --prefix tests/e2e/node --no-audit --no-fund --silent
	@$(BIN)/python -m venv --clear tests/e2e/asi/.venv
	@tests/e2e/asi/.venv/bin/python -m pip install --quiet --disable-pip-version-check \
		-r tests/e2e/asi/requirements.txt

check: setup  ## style, types, layers and gates
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest tests/gates

fix: setup  ## let ruff mend style and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup  ## run the benchmarks; each prints JSON (RECORD=1: renew bench/results and the README)
	@for name in runtime state imports hotset throughput reads rest first_light blobs; do \
		$(BIN)/python -m bench.$$name $(if $(RECORD),--json bench/results/$$name.json) $(ARGS) || exit 1; done
	@$(if $(RECORD),$(BIN)/python -m bench.table --update)

differential: setup clients  ## compare codecs, extrinsics and tries with other people's, at length (RECORD=1: keep)
	@$(BIN)/python -m bench.differential $(if $(RECORD),--json bench/results/differential.json) $(ARGS)

market: setup  ## play 200 random histories of five subnets and check every block (RECORD=1: keep)
	@$(BIN)/python -m bench.market $(if $(RECORD),--json bench/results/market.json) $(ARGS)

crash: setup  ## kill importing processes and compare what is left (ARGS="--full 50": full disks too, as root)
	@$(BIN)/python -m bench.crash $(if $(RECORD),--json bench/results/crash.json) $(ARGS)

fuzz: setup  ## a million inputs for every decoder (RECORD=1: into bench/results; ARGS="--minutes 10")
	@$(BIN)/python -m bench.fuzz $(if $(RECORD),--json bench/results/fuzz.json) $(ARGS)

hostile: setup  ## attack a node and measure what it costs it (RECORD=1: into bench/results)
	@$(BIN)/python -m bench.hostile $(if $(RECORD),--json bench/results/hostile.json) $(ARGS)

siege: setup  ## besiege a validator with hostile peers, as root, and measure it (RECORD=1: into bench/results)
	@$(BIN)/python -m bench.siege $(if $(RECORD),--json bench/results/siege.json) $(ARGS)

hosts: setup  ## cut and kill four validators on hosts of their own, as root (ARGS="--cuts 100"; RECORD=1)
	@$(BIN)/python -m bench.hosts $(if $(RECORD),--json bench/results/hosts.json) $(ARGS)

epochs: setup  ## time the epoch, and compare random subnets with slow models (ARGS="--compare 100000"; RECORD=1)
	@$(BIN)/python -m bench.epoch $(if $(RECORD),--json bench/results/epoch.json) $(ARGS)

replays: setup  ## replay 5,000 honest rounds and every cheat, hours (ARGS="--size 50M --device cuda"; RECORD=1)
	@$(BIN)/python -m bench.replays --honest 5000 --seeds 3 $(if $(RECORD),--json bench/results/replays.json) $(ARGS)

incentives: setup  ## what attacks on a subnet gain, as tables (RECORD=1: into bench/results)
	@$(BIN)/python -m bench.incentives $(if $(RECORD),--json bench/results/incentives.json) $(ARGS)

arena: setup  ## play every attack on a training subnet (ARGS="--only alie --seeds 1"; RECORD=1: keep)
	@$(BIN)/python -m bench.arena $(if $(RECORD),--json bench/results/arena.json) $(ARGS)

gap: setup  ## bytes and loss of rounds against synchronous AdamW (ARGS="--device cuda --size 50M"; RECORD=1)
	@$(BIN)/python -m bench.loss_gap $(if $(RECORD),--json bench/results/loss_gap.json) $(ARGS)

effort: setup  ## is a miner paid for what it does (RECORD=1: into bench/results)
	@$(BIN)/python -m bench.effort $(if $(RECORD),--json bench/results/effort.json) $(ARGS)

rounds: setup  ## play 20,000 random GRANDPA rounds against the paper (RECORD=1: renew bench/results)
	@$(BIN)/python -m bench.grandpa_round $(if $(RECORD),--json bench/results/grandpa_round.json) $(ARGS)

storms: setup  ## put 200 random networks of GRANDPA voters through partitions and crashes (RECORD=1)
	@$(BIN)/python -m bench.grandpa_network $(if $(RECORD),--json bench/results/grandpa_network.json) $(ARGS)

finality: setup  ## seconds from block to finality of simulated networks of 4, 21 and 100 (RECORD=1)
	@$(BIN)/python -m bench.finality $(if $(RECORD),--json bench/results/finality.json) $(ARGS)

sim: setup  ## play whole networks in virtual time (ARGS="--seeds 1000 --validators 4 --nemesis all"; RECORD=1)
	@$(BIN)/python -m bench.sim $(if $(RECORD),--json bench/results/sim.json) $(ARGS)

soak: setup  ## 30 minutes of `assay up` under transfers: forks, slots, memory (ARGS="--minutes 3"; RECORD=1)
	@$(BIN)/python -m bench.soak $(if $(RECORD),--json bench/results/soak.json) $(ARGS)

load: setup  ## four validators under 1,000 transfers a second, and full sync between two nodes (RECORD=1)
	@$(BIN)/python -m bench.network_load $(if $(RECORD),--json bench/results/network_load.json) $(ARGS)
	@$(BIN)/python -m bench.full_sync $(if $(RECORD),--json bench/results/full_sync.json)

transport: setup  ## the transport against a plain socket and, after `make libp2p`, py-libp2p (RECORD=1)
	@$(BIN)/python -m bench.transport $(if $(RECORD),--json bench/results/transport.json) $(ARGS)

libp2p: setup  ## install py-libp2p in an environment of its own, for `make transport`
	@$(BIN)/python -m venv --clear bench/libp2p/.venv
	@bench/libp2p/.venv/bin/python -m pip install --quiet --disable-pip-version-check \
		-r bench/libp2p/requirements.txt

clean:  ## remove .venv, caches and build outputs
	@rm -rf .venv build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache tests/e2e/node/node_modules tests/e2e/asi/.venv bench/libp2p/.venv
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
