"""The bundled prices; README.md beside them says where they come from."""

from datetime import date
from pathlib import Path

from regime_engine.engine import LabelledStretch

PRICE_FILES = tuple(sorted(Path(__file__).parent.glob("*.csv.gz")))
REGIONS = ("US", "US_TECH")

# A calm year and the months after Lehman; what is learned from them is valid from April 2009 on.
LABELLED = (
    LabelledStretch("CARRY", date(2006, 1, 1), date(2006, 12, 31)),
    LabelledStretch("CRISIS", date(2008, 9, 15), date(2009, 3, 31)),
)
