"""Series and models of the bundled prices that several files use."""

from datetime import date

from regime_engine.engine.fit import LabelledStretch, Recipe
from regime_engine.series import Series

V1, V2 = "num-regime-core-v1", "num-regime-core-v2"
US, US_TECH, GLOBAL = (Series(region, V2, 63) for region in ("US", "US_TECH", "GLOBAL"))
US_V1 = Series("US", V1, 63)
PROTOTYPES = Recipe(
    "prototype",
    labelled=(
        LabelledStretch("CARRY", date(2006, 1, 2), date(2006, 12, 29)),
        LabelledStretch("CRISIS", date(2008, 9, 15), date(2009, 3, 31)),
    ),
)
