"""What a regime history is a history of."""

from dataclasses import dataclass

# The region that is the vote of the others.
GLOBAL = "GLOBAL"

# How many calendar days before a date the last row that counts for it may lie: the last price of a
# window, the last regime that answers a question, a region's regime that votes.
MAX_STALENESS_DAYS = 7

# How many trading days a forecast may look ahead.
MAX_HORIZON = 1000


@dataclass(frozen=True)
class Series:
    """A region, seen through an encoder and a window length."""

    region: str
    model_id: str
    window_days: int

    def __str__(self) -> str:
        return f"{self.region}/{self.model_id}/{self.window_days}"
