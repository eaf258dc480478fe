"""What a classifier reads of a window: the paths that an embedding keeps without loss."""

from typing import NamedTuple

from regime_engine.arrays import Floats


class Decoded(NamedTuple):
    """Four paths of n windows, (n, 63) each, oldest day first; NaN where a day has no range or gap.

    returns: adjusted log returns; volumes: relative log volumes
    log_ranges: ln(high / low); overnight_gaps: ln(adjusted open / adjusted close of the day before)
    """

    returns: Floats
    volumes: Floats
    log_ranges: Floats
    overnight_gaps: Floats
