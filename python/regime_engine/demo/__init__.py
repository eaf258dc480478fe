"""The bundled prices; README.md beside them says where they come from."""

from datetime import date
from pathlib import Path

PRICE_FILES = tuple(sorted(Path(__file__).parent.glob("*.csv.gz")))
REGIONS = ("US", "US_TECH")
# Four years of prices are there to train the first version on.
FIRST_DATE = date(2003, 1, 1)
