# Two commands matter: `make run` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

# make bench: a folder of more bundles, and a command that scores a result (see docs/bench.md)
BUNDLES ?=
SCORER ?=
SCORER_VIEWS ?=
COLD ?=

.PHONY: setup run serve test test-all proof fuzz soak lint docs pictures bench bench-refine install uninstall clean

# --no-compile: most of the 10,000 modules are never imported, and those that are are compiled then.
setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "Installing the packages of requirements.lock into $(VENV): minutes the first time ..."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

run: setup
	@echo "Making a sample bundle; the first time kernels are compiled, which takes a minute ..."
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(BIN)/meshdrop sample "$$scratch" && \
	$(BIN)/meshdrop submit --start --name "sample-$$(date +%Y%m%d-%H%M%S)" "$$scratch/bundle"

serve: setup
	$(BIN)/meshdrop run

test: setup
	$(PYTEST) -m "not slow and not ci and not peers and not browser" -n 2 --dist loadfile

test-all: setup
	$(PYTEST) -n 2 --dist loadfile

# Breaks the daemon in every known way and writes what came out into docs/reliability.md; soak: the same for hours.
MINUTES ?= 25
HOURS ?= 8
proof: setup fuzz
	$(BIN)/python -m tests.proof --minutes $(MINUTES)

# What feeds the readers inputs that reach ever more of their code; nothing else needs it, so it has a folder of its own.
fuzz: .cache/atheris/.ready

.cache/atheris/.ready: $(VENV)/.ready
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target .cache/atheris atheris==3.0.0 \
		&& touch $@

soak: setup fuzz
	$(BIN)/python -m tests.proof --minutes $$(( $(HOURS) * 60 )) --random-kills 100000 --kills 1000 --stream-s 3600

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the documents say of settings, job options and error codes, and config/meshdrop.toml, from the code.
docs: setup
	$(BIN)/python -m config.reference

# The README's pictures, by the present program; needs chromium.
pictures: setup
	$(BIN)/python -m tests.pictures

bench: setup
	$(BIN)/python -m tests.bench $(if $(BUNDLES),--bundles "$(BUNDLES)") $(if $(SCORER),--scorer "$(SCORER)") \
		$(if $(SCORER_VIEWS),--scorer-views "$(SCORER_VIEWS)") $(if $(COLD),--cold)

bench-refine: setup
	$(BIN)/python -m tests.bench.refine
	$(BIN)/python -m tests.bench.gains $(if $(BUNDLES),--bundles "$(BUNDLES)") $(if $(SCORER),--scorer "$(SCORER)") \
		$(if $(SCORER_VIEWS),--scorer-views "$(SCORER_VIEWS)")

# make install: where to. DESTDIR is put before all of them, for packages and images.
PREFIX ?= /opt/meshdrop
DESTDIR ?=
SYSCONFDIR ?= /etc
LOCALSTATEDIR ?= /var/lib
SHAREDIR ?= /srv/meshdrop
BINDIR ?= /usr/local/bin
PIP_ARGS ?=
INSTALL := PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' SYSCONFDIR='$(SYSCONFDIR)' LOCALSTATEDIR='$(LOCALSTATEDIR)' \
	SHAREDIR='$(SHAREDIR)' BINDIR='$(BINDIR)' PYTHON='$(PYTHON)' PIP_ARGS='$(PIP_ARGS)' sh systemd/install.sh

install:
	@$(INSTALL) install

uninstall:
	@$(INSTALL) uninstall

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache build ./*.egg-info
