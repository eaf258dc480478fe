from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import encoding_options, format_option
from regime_engine.cli.output import print_rows
from regime_engine.config import Settings
from regime_engine.series import Series

if TYPE_CHECKING:
    from regime_engine.model_versions import FittedModel

WIDE = 100


@click.command()
@click.option("--region", help="Only models of this region.  [default: all]")
@encoding_options
@click.option("--show", type=int, metavar="VERSION", help="Show all that is stored of one version.")
@click.option(
    "--compare", type=int, nargs=2, metavar="VERSION VERSION", help="Show two versions together."
)
@click.option("--layout", metavar="MODEL_ID", help="Name each number of an encoder's embedding.")
@format_option
@click.pass_obj
def models(
    settings: Settings,
    region: str | None,
    model_id: str,
    window_days: int,
    show: int | None,
    compare: tuple[int, int] | None,
    layout: str | None,
    output_format: str,
) -> None:
    """List, show and compare fitted model versions.

    \b
    regime models --region US
    regime models --region US --show 3
    regime models --region US --compare 3 4
    regime models --layout num-regime-core-v3
    """
    if layout:
        from regime_engine import encoders

        names = encoders.get(layout, window_days).layout(window_days)
        print_rows(["number", "name"], list(enumerate(names)), output_format)
        return
    versions = tuple(compare or ()) or ((show,) if show is not None else ())
    if versions and not region:
        raise click.UsageError("--show and --compare need --region")

    from regime_engine import model_versions
    from regime_engine.database import connect
    from regime_engine.reading import tables
    from regime_engine.reading.rows import require_region

    with connect(settings) as database:
        if region:
            require_region(database, region)
        if not (versions and region):
            found = tables.models(database, region)
            print_rows(found.headers, found.rows, output_format)
            return
        stored = model_versions.load(database, Series(region, model_id, window_days))
    chosen = [_fields(model_versions.one(stored, version), output_format) for version in versions]
    names = list(dict.fromkeys(name for fields in chosen for name in fields))
    headers = ["field", *(f"version {version}" for version in versions)]
    rows = [(name, *(fields.get(name) for fields in chosen)) for name in names]
    print_rows(headers, rows, output_format)


def _fields(model: "FittedModel", output_format: str) -> dict[str, object]:
    """Name → value, parameters and metrics with their own names; long ones cut in a table."""
    from regime_engine.model_versions import flat

    fields = {name: value for name, value in vars(model).items() if name != "series"}
    for group in ("metrics", "parameters"):
        fields |= dict(flat(group, fields.pop(group)))
    if output_format != "table":
        return fields
    return {name: _short(value) for name, value in fields.items()}


def _short(value: object) -> object:
    if isinstance(value, (list, tuple)):
        text = str([round(v, 4) if isinstance(v, float) else v for v in value])
        return text if len(text) <= WIDE else f"{text[: WIDE - 1]}…"
    return value
