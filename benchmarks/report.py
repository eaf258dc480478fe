"""How large a report is, and how fast a browser opens it.

    .venv/bin/python benchmarks/report.py [--database-url URL] [--repeats 9]

It opens the report of the demo's two regions over 20 years in headless Chromium (`chromium` and
`chromedriver` must be on the PATH), and starts a new browser for each load. By default the program
starts an embedded server and removes it at the end.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

import click
from scratch import command, describe, forget_environment, scratch_database
from selenium import webdriver

WIDTHS = (1400, 390)
# Milliseconds from the start of the navigation until: the visible charts are drawn; the day under a
# pointer over the price chart is shown; the visible charts of the other region are drawn.
USE = """
const done = arguments[arguments.length - 1];
const until = (ready) => new Promise((resolve) => {
  const look = () => (ready() ? resolve(performance.now()) : setTimeout(look, 1));
  look();
});
const drawn = (panel) => panel.querySelector(".chart.price .mark-group");
const point = (chart) => {
  const { left, top, width } = chart.getBoundingClientRect();
  const event = { clientX: left + width / 2, clientY: top + 50 };
  chart.dispatchEvent(new PointerEvent("pointermove", event));
};
(async () => {
  const [us, tech] = document.querySelectorAll(".panel");
  await until(() => document.documentElement.dataset.drawn);
  const ready = performance.getEntriesByName("drawn")[0].startTime;
  us.querySelector(".chart.price").scrollIntoView();
  await until(() => drawn(us));
  const pointed = performance.now();
  point(us.querySelector(".chart.price"));
  const told = await until(() => !document.getElementById("day").hidden);
  document.querySelectorAll("[role=tab]")[1].click();
  const switched = await until(() => drawn(tech));
  done([ready, told - pointed, switched - told]);
})();
"""


@click.command()
@click.option("--database-url", metavar="URL", help="Use this server, in a database of its own.")
@click.option("--repeats", default=9, show_default=True, type=click.IntRange(1))
def main(database_url: str | None, repeats: int) -> None:
    """Measure on the demo, and print a table."""
    forget_environment()
    with scratch_database(database_url) as settings, tempfile.TemporaryDirectory() as folder:
        command(settings, "demo")
        # The years before the demo's first label, with the model that was fitted on them.
        for region in ("US", "US_TECH"):
            years = ("--start", "1999-04-06", "--end", "2002-12-31")
            command(settings, "backfill", "--region", region, "--model-version", "1", *years)
        click.echo(describe(settings))
        file = Path(folder, "report.html")
        options = ("--output", str(file))
        first, *later = (command(settings, "report", *options) for _ in range(4))
        click.echo(
            f"regime report, cold process  {statistics.median(later):.1f} s, first {first:.1f} s"
        )
        click.echo(f"size of two regions          {file.stat().st_size / 1e6:.2f} MB  < 6 MB")
        click.echo(f"\n{f'median of {repeats}, seconds':29}{'1400 px':>8}{'390 px':>8}")
        by_width = [
            [
                statistics.median(each)
                for each in zip(*(use(file, width) for _ in range(repeats)), strict=True)
            ]
            for width in WIDTHS
        ]
        names = (
            "visible charts are drawn",
            "day under a pointer is shown",
            "the other region is drawn",
        )
        for name, times, aim in zip(
            names, zip(*by_width, strict=True), ("  < 2 s", "", ""), strict=True
        ):
            click.echo(f"{name:29}" + "".join(f"{each:8.3f}" for each in times) + aim)


def use(file: Path, width: int) -> list[float]:
    """Seconds of each step of USE, in a new browser."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as driver:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(file.as_uri())
        return [milliseconds / 1000 for milliseconds in driver.execute_async_script(USE)]


if __name__ == "__main__":
    main()
