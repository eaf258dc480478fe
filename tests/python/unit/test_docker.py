"""The files of examples/docker name only what is there, and the nightly job does what it says."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples/docker"
SERVICES = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
PROVISIONING = ROOT / "examples/grafana/provisioning"


def mounts(service: str) -> dict[str, Path | str]:
    """Place in the container → the file or folder of this checkout, or the volume."""
    found = {}
    for volume in SERVICES[service]["volumes"]:
        source, target, *_ = volume.split(":")
        found[target] = (FOLDER / source).resolve() if source.startswith(".") else source
    return found


def test_compose_names_files_that_are_there():
    build = SERVICES["nightly"]["build"]
    context = (FOLDER / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()
    assert (context / f"{build['dockerfile']}.dockerignore").is_file()
    bound = [each for name in SERVICES for each in mounts(name).values() if isinstance(each, Path)]
    missing = [path for path in bound if not path.exists()]
    assert missing == [FOLDER / "prices"]  # the user's own


def test_each_password_is_asked_for_and_has_no_default():
    text = (FOLDER / "compose.yaml").read_text()
    asked = re.findall(r"\$\{(\w+)(:\?)?", text)
    assert {name for name, _ in asked} == {
        line.partition("=")[0]
        for line in (FOLDER / "env.example").read_text().splitlines()
        if not line.startswith("#")
    }
    assert all(is_required for _, is_required in asked)
    assert re.search(r"^POSTGRES_PASSWORD=$", (FOLDER / "env.example").read_text(), re.MULTILINE)


def test_grafana_finds_what_its_provisioning_names():
    grafana = SERVICES["grafana"]["environment"]
    source = (PROVISIONING / "datasources/regime-engine.yml").read_text()
    used = set(re.findall(r"\$(\w+)", source))
    assert "PGPASSWORD" in used
    assert used <= set(grafana)
    assert mounts("grafana")["/etc/grafana/provisioning"] == PROVISIONING
    provider = yaml.safe_load((PROVISIONING / "dashboards/regime-engine.yml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    home = Path(grafana["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == folder
    assert (mounts("grafana")[folder] / home.name).is_file()


def test_nothing_is_reached_from_another_machine():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_image_is_sent_all_that_the_package_is_built_from():
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in sent)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = project["tool"]["hatch"]["build"]["targets"]
    needed = {"pyproject.toml", "constraints.txt", project["project"]["readme"], "LICENSE"}
    needed |= set(build["wheel"]["force-include"]) | set(build["sdist"]["only-include"])
    copied = re.findall(
        r"^COPY (?:--chmod=\d+ )?(examples/\S+)", (FOLDER / "Dockerfile").read_text(), re.M
    )
    assert copied
    assert needed | set(copied) <= sent


def test_the_dockerfile_passes_its_linter():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, FOLDER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


# `regime` notes what it was called with, and `sleep` until when, and then ends the job.
STUBS = {
    "regime": 'echo "$*" >> calls\n[ "$1" != "${FAILS:-}" ]',
    "sleep": 'echo $(($(date +%s) + $1)) >> calls\nkill "$PPID"',
}


@pytest.fixture
def nightly(tmp_path) -> Callable[..., tuple[int, list[str]]]:
    """Exit code of nightly.sh, and what it called."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "prices").mkdir()
    for name, text in STUBS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    def run(
        *arguments: str, has_prices: bool = True, fails: str = "", **more: str
    ) -> tuple[int, list[str]]:
        if has_prices:
            (tmp_path / "prices/today.csv").touch()
        variables = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PRICES": "prices"} | more
        command = ["sh", FOLDER / "nightly.sh", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=variables | {"FAILS": fails}, timeout=60)
        calls = tmp_path / "calls"
        return done.returncode, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_a_night_loads_then_classifies(nightly):
    code, calls = nightly()
    assert code == 0
    assert [call.split()[0] for call in calls] == ["load", "init", "pipeline"]


def test_people_are_told_if_a_channel_is_configured(nightly):
    assert "--notify" not in nightly()[1][-1]
    assert "--notify" in nightly(REGIME_NOTIFY_DESK="https://example.com/hook")[1][-1]


def test_a_night_without_prices_or_with_a_failed_load_fails_and_classifies_nothing(nightly):
    assert nightly(has_prices=False) == (1, [])
    code, calls = nightly(fails="load")
    assert code == 1
    assert [call.split()[0] for call in calls] == ["load"]


def test_after_a_failed_night_the_next_one_is_at_the_given_time(nightly):
    _, calls = nightly("22:30", fails="pipeline")
    *_, waits_until = calls
    moment = datetime.fromtimestamp(int(waits_until), UTC)
    assert (moment.hour, moment.minute) == (22, 30)
    assert moment > datetime.now(UTC)
