"""The bundled prices; README.md beside them says where they come from."""

from pathlib import Path

PRICE_FILES = tuple(sorted(Path(__file__).parent.glob("*.csv.gz")))
REGIONS = ("US", "US_TECH")
