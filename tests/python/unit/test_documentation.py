"""The pages name existing commands, options, variables and links; the reference is up to date."""

import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path

import click
import pytest
import yaml
from test_cli import all_commands

from regime_engine.cli import regime

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*") if path.is_file())


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def generated() -> dict:
    """Page → the function that generates its text."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAGES


@pytest.mark.parametrize("name", generated())
def test_a_generated_page_is_up_to_date(name):
    expected = generated()[name]()
    page = (ROOT / "docs" / name).read_text()
    assert page == expected, f"docs/{name} is out of date: run `make docs`"


def test_every_command_and_option_is_in_the_reference():
    page = (ROOT / "docs/commands.md").read_text()
    for name, command in all_commands():
        path = f"regime {name}"
        section = re.search(rf"^### `{path}`\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
        assert section, path
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.opts[-1] in section[1], f"{option.opts} of {path}"


def regime_calls(text: str) -> list[list[str]]:
    """The arguments of each `regime` command that a shell would run."""
    calls = []
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\|?|;|\$\((?!\()", line):
            found = re.match(r"\s*(?:[A-Z_]+=\S* )*(?:- )?regime (.*)", part)
            if found:
                # The end of a command substitution is not an argument.
                calls.append(shlex.split(found[1].split('")')[0].rstrip(')"'), comments=True))
    return calls


def require_known(words: list[str], where: str) -> None:
    """The command exists, and so do its options."""
    command, path = regime, "regime"
    while isinstance(command, click.Group):
        while words and words[0].startswith("-"):
            words = words[2 if words[0] == "--database-url" else 1 :]
        if not words:
            return
        found = command.get_command(click.Context(command), words[0])
        assert found, f"{where}: {path} {words[0]} does not exist"
        command, path, words = found, f"{path} {words[0]}", words[1:]
    known = {spelling for option in command.params for spelling in option.opts}
    for word in words:
        if word.startswith("-"):
            assert word.split("=")[0] in known, f"{where}: {path} has no {word}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_names_exists(page):
    for code in re.findall(r"(?<!`)`(regime [^`]+)`(?!`)", page.read_text()):
        words = code.replace("…", "").replace("|", " ").split()[1:]
        if words and re.fullmatch(r"[a-z]+|-.*", words[0]):
            require_known(words, name_of(page))


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_an_example_parses_and_its_commands_exist(path):
    text = path.read_text()
    if path.suffix == ".py":
        compile(text, path, "exec")
        # Each command is one string literal.
        text = "\n".join(re.findall(r'f?"(regime .*?)"', text)).replace("{", "").replace("}", "")
        assert text
    elif path.suffix in (".yml", ".yaml"):
        assert list(yaml.safe_load_all(text))
    elif path.suffix == ".crontab":
        jobs = [line for line in text.splitlines() if re.match(r"[\d*]", line)]
        assert jobs
        for job in jobs:
            assert re.match(r"([\d*,/-]+ ){5} ?regime ", job), job
        text = "\n".join(job.split(maxsplit=5)[5] for job in jobs)
    calls = regime_calls(text)
    assert calls or "schedulers" not in path.parts
    for words in calls:
        require_known(words, name_of(path))


def test_every_variable_of_the_environment_is_in_the_settings():
    page = (ROOT / "docs/settings.md").read_text()
    folders = ("python/regime_engine", "models", "macros", "functions", "profiles")
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*.*"))
    sources = [path for path in paths if path.suffix in (".py", ".sql", ".yml")]
    texts = [path.read_text() for path in [ROOT / "dbt_project.yml", *sources]]
    read = {name for text in texts for name in re.findall(r"\bREGIME_[A-Z]+(?:_[A-Z]+)+\b", text)}
    assert read
    assert not [name for name in read if f"`{name}`" not in page]


def test_every_metric_is_described_and_no_alert_asks_for_another():
    source = (ROOT / "python/regime_engine/reading/metrics.py").read_text()
    metrics = set(re.findall(r'Metric\(\s*"(\w+)"', source))
    page = (ROOT / "docs/dashboard.md").read_text()
    assert {name for name in metrics if f"`{name}`" in page} == metrics
    rules = (ROOT / "examples/prometheus/regime-engine.rules.yml").read_text()
    asked = set(re.findall(r"\bregime_\w+", " ".join(re.findall(r"expr: (.*)", rules))))
    assert asked
    assert asked <= metrics


def anchors(page: Path) -> set[str]:
    """The anchors that a code host gives to the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_is_in_the_table_of_contents():
    index = (ROOT / "docs/index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        if page.name != "index.md":
            assert f"({page.name})" in index, page.name
            assert re.search(rf"^{page.stem}$", index, re.MULTILINE), page.name
