"""The page as a PDF, by a Chromium that is installed."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from regime_engine.config import Settings
from regime_engine.errors import RegimeError

NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    *("microsoft-edge", "microsoft-edge-stable", "brave-browser"),
)
PRINT_SECONDS = 300


def chromium(settings: Settings) -> str:
    """The program that prints: that of REGIME_CHROMIUM, else the first usual name on the PATH.

    raises RegimeError if there is none
    """
    if settings.chromium:
        if found := shutil.which(settings.chromium):
            return found
        raise RegimeError(f"REGIME_CHROMIUM names no program that can be run: {settings.chromium}")
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise RegimeError(
        "no Chromium to print the PDF with: install chromium or google-chrome, or name one by "
        "REGIME_CHROMIUM; or open the HTML page in a browser and print it there"
    )


def pdf(html: str, program: str) -> bytes:
    """The page as its print style sheet lays it out.

    raises RegimeError if the program does not print it
    """
    with TemporaryDirectory(prefix="regime-report-") as folder:
        page, printed = Path(folder, "report.html"), Path(folder, "report.pdf")
        page.write_text(html, encoding="utf-8")
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-pdf-header-footer",
            "--generate-pdf-document-outline",
            # Another Chromium may be at work in the user's own folder.
            f"--user-data-dir={folder}/profile",
            f"--print-to-pdf={printed}",
            page.as_uri(),
        ]
        # Chromium has no sandbox for root; it opens nothing but our own page.
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")
        try:
            done = subprocess.run(command, capture_output=True, timeout=PRINT_SECONDS, check=False)
        except OSError as error:
            raise RegimeError(f"{program} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise RegimeError(
                f"{program} printed no PDF within {PRINT_SECONDS} seconds: choose fewer regions "
                "with --region, or name another program by REGIME_CHROMIUM"
            ) from error
        content = printed.read_bytes() if printed.exists() else b""
        if not content.startswith(b"%PDF"):
            said = done.stderr.decode(errors="replace").split("\n")
            last = next((line for line in reversed(said) if line.strip()), "it said nothing")
            raise RegimeError(
                f"{program} printed no PDF (exit code {done.returncode}: {last.strip()}): name "
                "another program by REGIME_CHROMIUM, or print the HTML page in a browser"
            )
        return content
