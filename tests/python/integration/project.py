"""This checkout, copies of its dbt project, and programs that run in one."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROJECT_FILES = ("dbt_project.yml", "selectors.yml", "profiles", "seeds", "macros", "functions", "models", "tests/dbt")  # fmt: skip


def copy_project(folder: Path, *more: str) -> Path:
    """The folder with the dbt project in it, and with more files of the checkout."""
    for name in PROJECT_FILES + more:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", ROOT / name, folder / name], check=True)
    return folder


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def run_in(
    folder: Path, command: list[str], env: dict[str, str], text: str = ""
) -> subprocess.CompletedProcess:
    """Run a program in the folder; text: its standard input"""
    return subprocess.run(
        command, cwd=folder, env=env, input=text, capture_output=True, text=True, timeout=500
    )
