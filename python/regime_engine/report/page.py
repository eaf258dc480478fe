"""The report as one HTML file that requests nothing from the network, or as a picture."""

import base64
import contextlib
import errno
import gzip
import hashlib
import json
import os
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import altair as alt
import vl_convert

from regime_engine import __version__
from regime_engine.charts import over_time
from regime_engine.charts.palette import DARK, LIGHT, Palette, by_variables, fitted, readable, theme
from regime_engine.config import Settings
from regime_engine.errors import RegimeError
from regime_engine.report.contents import FEW
from regime_engine.report.regions import Report
from regime_engine.report.sections import SPARK_DAYS, Section, environment

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
PICTURE_SCALE = 2
MOST_PICTURED = 20
STYLES = ("page.css", "frame.css")
SCRIPTS = ("regions.js", "overview.js", "print.js", "page.js")


def html(report: Report[Section], settings: Settings, paper: str = "") -> str:
    """The page. All values are escaped, and its policy allows no script but its own.

    A panel is plain HTML if the regions are few; else it is packed with the region's numbers, and
    the page unpacks both when the region is opened.
    paper: the size to print on, by default the reader's
    """
    are_few = report.shared.are_few
    bundle = _bundle(settings)
    scripts = [*([bundle] if are_few else []), *map(_source, SCRIPTS)]
    n_labels = max(len(section.labels) for section in report.regions)
    return (
        environment()
        .get_template("report.html")
        .render(
            shared=report.shared,
            sections=report.regions,
            packed=None if are_few else _packed(report.regions),
            packed_bundle="" if are_few else _compressed(bundle),
            few=FEW,
            counts=_counts(report.regions),
            newest=max(section.row.as_of_date for section in report.regions),
            spark_days=SPARK_DAYS,
            light=_variables(fitted(LIGHT, n_labels)),
            dark=_variables(fitted(DARK, n_labels)),
            theme=theme(by_variables(n_labels)),
            n_labels=n_labels,
            css="\n".join(map(_source, STYLES)),
            scripts=scripts,
            policy=_policy(scripts),
            paper=paper,
            version=__version__,
        )
    )


def png(report: Report[Section]) -> bytes:
    """Price, bands and lanes of the regions, one below the other, for a chat or a mail."""
    drawn = [
        (
            alt.TitleParams(section.row.title, subtitle=[section.subtitle, section.source]),
            section.labels,
        )
        for section in report.regions
    ]
    datasets: dict[str, list[dict[str, object]]] = {}
    for place, section in enumerate(report.regions):
        datasets[f"days_{place}"] = section.days
        datasets[f"spells_{place}"] = section.spells
    first = min(section.row.first for section in report.regions)
    last = max(section.row.last for section in report.regions)
    n_labels = max(len(section.labels) for section in report.regions)
    # The rows are added to Altair's result: Altair itself would copy them many times.
    spec = over_time.picture(drawn, first, last).to_dict(validate=False) | {
        "datasets": datasets,
        "config": theme(fitted(LIGHT, n_labels)) | {"padding": 24},
    }
    return vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=PICTURE_SCALE)


def write(path: Path, content: bytes) -> None:
    """Write a whole file or none. A file of that name is replaced.

    raises RegimeError if the file cannot be written
    """
    require_writable(path)
    file = path.resolve()
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        try:
            partial.write_bytes(content)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_be_written(path, error.strerror) from error


def require_writable(path: Path) -> None:
    """raises RegimeError if a file of this name cannot be written; to be told before a long wait"""
    file = path.resolve()
    if not file.parent.is_dir():
        raise _cannot_be_written(path, os.strerror(errno.ENOENT))
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise _cannot_be_written(path, os.strerror(errno.EACCES))
    if file.exists() and not file.is_file():
        raise _cannot_be_written(path, "it is not a file")


def _cannot_be_written(path: Path, reason: str | None) -> RegimeError:
    return RegimeError(
        f"{path} cannot be written ({reason}): name another file, in a folder that exists and that "
        "you may write to"
    )


def _source(name: str) -> str:
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def _counts(sections: list[Section]) -> list[tuple[str, int, int]]:
    """Each label that a region has: its place and how many have it, the most severe first."""
    counts = Counter((section.row.place, section.row.label) for section in sections)
    return [(label, place, n) for (place, label), n in sorted(counts.items(), reverse=True)]


def _variables(palette: Palette) -> str:
    """A palette as CSS custom properties."""
    colours = vars(palette) | {f"label-{n}": colour for n, colour in enumerate(palette.labels)}
    colours |= {f"on-label-{n}": readable(each) for n, each in enumerate(palette.labels)}
    del colours["labels"]
    return "; ".join(f"--{name}: {colour}" for name, colour in colours.items())


def _packed(sections: list[Section]) -> list[str]:
    """A text for each region, of its numbers and its panel: compressed, in base64.

    The first one has the lines of a JSON document; each other one a part for each stretch of its
    own document: [from, until] of the first one's lines, or a line that the first has not.
    """
    documents = [
        json.dumps(section.numbers | {"panel": section.panel.split("\n")}, indent=0).split("\n")
        for section in sections
    ]
    first, *others = documents
    return [_compressed(first), *(_compressed(_differences(first, each)) for each in others)]


def _differences(first: list[str], lines: list[str]) -> list[str | list[int]]:
    places = {line: place for place, line in enumerate(first)}
    parts: list[str | list[int]] = []
    for line in lines:
        before = parts[-1] if parts else ""
        if isinstance(before, list) and first[before[1] : before[1] + 1] == [line]:
            before[1] += 1
        elif line in places:
            parts.append([places[line], places[line] + 1])
        else:
            parts.append(line)
    return parts


def _compressed(document: object) -> str:
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    # The time stays out of the file: the same report is the same bytes.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _policy(scripts: list[str]) -> str:
    """A Content-Security-Policy: nothing is fetched, and no script runs but these.

    unsafe-eval: Vega compiles the expressions of its charts
    """
    hashes = (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    )
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _bundle(settings: Settings) -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, which takes seconds to make and is cached."""
    name = f"vega-{VEGA_LITE}-{version('vl-convert-python')}.js"
    kept = settings.cache_directory / "report" / name
    with contextlib.suppress(OSError):
        return kept.read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    bundle = bundle.replace("</script", "<\\/script")
    # If it cannot be kept, it is made again next time.
    with contextlib.suppress(OSError, RegimeError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write(kept, bundle.encode())
    return bundle
