"""Series and models of the bundled prices that several files use."""

from datetime import date

from regime_engine.engine.fit import LabelledStretch, Recipe
from regime_engine.series import Series

V1, V2, V3 = (f"num-regime-core-v{number}" for number in (1, 2, 3))
US, US_TECH, GLOBAL = (Series(region, V3, 63) for region in ("US", "US_TECH", "GLOBAL"))
US_V1 = Series("US", V1, 63)
PROTOTYPES = Recipe(
    "prototype",
    labelled=(
        LabelledStretch("CARRY", date(2006, 1, 2), date(2006, 12, 29)),
        LabelledStretch("CRISIS", date(2008, 9, 15), date(2009, 3, 31)),
    ),
)
