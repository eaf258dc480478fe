PYTHON ?= python3
REGIME = .venv/bin/regime
INSTALL = .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable

.PHONY: demo test test-all lint docs benchmark market quality package constraints clean

# The main job on the bundled prices, on the embedded Postgres.
demo: .venv/installed
	$(REGIME) --database-url embedded demo

test: .venv/tests-installed
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/python -m pytest

# And on the second Postgres what `test` runs on the embedded one alone.
test-all: test
	.venv/bin/python -m pytest -m second_server

# The linter compiles the models, for which it needs a Postgres: the embedded one.
lint: .venv/tests-installed
	$(REGIME) --database-url embedded init
	eval "$$($(REGIME) db env)" && PATH=".venv/bin:$$PATH" .venv/bin/sqlfluff lint models tests/dbt/audit

# The pages as a site in target/docs, after what follows from the code is written anew; a link or an
# anchor that leads nowhere is an error.
docs: .venv/docs-installed
	.venv/bin/python docs/generate.py
	.venv/bin/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky docs target/docs

benchmark: .venv/installed
	.venv/bin/python benchmarks/main_job.py

market: .venv/installed
	.venv/bin/python benchmarks/market.py

quality: .venv/installed
	$(INSTALL) '.[benchmark]'
	.venv/bin/python benchmarks/quality.py

# dist/, and that each of its files installs and runs in an environment of its own.
package: .venv/tests-installed
	rm -rf dist
	.venv/bin/python -m hatchling build -d dist
	for file in dist/*; do \
	    $(PYTHON) -m venv --clear target/package && \
	    target/package/bin/python -m pip install --quiet --constraint constraints.txt $$file && \
	    target/package/bin/regime --database-url embedded init || exit 1; \
	done

# The newest versions that fit pyproject.toml, for every Python that it allows.
constraints:
	$(PYTHON) -m venv target/constraints
	target/constraints/bin/python -m pip install --quiet uv
	target/constraints/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
	    --no-annotate --custom-compile-command 'make constraints' \
	    --output-file constraints.txt pyproject.toml

clean:
	rm -rf .venv dist target logs

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) .
	touch $@

.venv/docs-installed: .venv/installed
	$(INSTALL) '.[docs]'
	touch $@

.venv/tests-installed: .venv/installed
	$(INSTALL) '.[test]'
	touch $@
