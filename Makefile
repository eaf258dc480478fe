PYTHON ?= python3
REGIME = .venv/bin/regime

.PHONY: demo test lint docs benchmark market quality clean

# The main job on the bundled prices, on the embedded Postgres.
demo: .venv/installed
	$(REGIME) --database-url embedded demo

test: .venv/tests-installed
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/python -m pytest

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
	.venv/bin/python -m pip install --quiet --editable '.[benchmark]'
	.venv/bin/python benchmarks/quality.py

clean:
	rm -rf .venv target logs

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable .
	touch $@

.venv/docs-installed: .venv/installed
	.venv/bin/python -m pip install --quiet --editable '.[docs]'
	touch $@

.venv/tests-installed: .venv/installed
	.venv/bin/python -m pip install --quiet --editable '.[test]'
	touch $@
