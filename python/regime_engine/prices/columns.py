"""What the columns of prices are called in a file or a frame, and how a day is written."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from regime_engine.errors import RegimeError

# The columns of prices_daily that a file can fill, and their other names. Case, accents, spaces and
# punctuation do not matter: "Adj Close" is adjclose.
ALIASES = {
    "instrument_id": ("instrument", "ticker", "symbol"),
    "trade_date": (
        *("date", "dates", "datetime", "timestamp", "tradingdate", "observationdate", "caldt"),
        *("datum", "handelstag", "fecha"),
    ),
    "open": (
        *("openprice", "pxopen", "openprc"),
        *("eroffnung", "eroffnungskurs", "eroeffnung", "eroeffnungskurs", "anfangskurs", "erster"),
        *("ouverture", "otwarcie", "apertura"),
    ),
    "high": (
        *("highprice", "pxhigh", "askhi"),
        *("hoch", "hochst", "hochstkurs", "tageshoch", "haut", "plushaut", "najwyzszy", "maximo"),
    ),
    "low": (
        *("lowprice", "pxlow", "bidlo"),
        *("tief", "tiefst", "tiefstkurs", "tagestief", "bas", "plusbas", "najnizszy", "minimo"),
    ),
    "close": (
        *("closeprice", "closingprice", "closelast", "pxlast"),
        *("schluss", "schlusskurs", "cloture", "zamkniecie", "cierre"),
    ),
    "adjusted_close": (
        "adjclose",
        "adjcloseprice",
        "adjustedcloseprice",
        "closeadj",
        "closeadjusted",
        *("adjprice", "adjustedprice", "adjclosingprice", "adjustedclosingprice"),
        *("closingpriceadjusted", "adjlast", "adjustedlast"),
        *("bereinigterschlusskurs", "schlusskursbereinigt", "clotureajustee", "coursajuste"),
    ),
    "volume": ("vol", "pxvolume", "stuck", "stucke", "stueck", "stuecke", "wolumen"),
    "currency": ("ccy", "wahrung", "devise"),
    "metadata": (),
}
# What counts as one of these names only if no column has a name from above.
WEAK_ALIASES = {
    "instrument_id": ("name",),
    "trade_date": ("time", "day", "data"),
    "close": ("price", "last", "kurs", "letzter", "zuletzt", "dernier", "cours"),
    # Beside a number of shares it is the turnover in money.
    "volume": ("volumen",),
}
KEY = ("instrument_id", "trade_date")
REQUIRED = (*KEY, "close")
NUMBERS = ("open", "high", "low", "close", "adjusted_close", "volume")

# A day, or a day with the midnight that pandas writes. An offset does not change the day.
DAY = r"^\d{4}-\d{2}-\d{2}([ T]00:00(:00(\.0+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"


def folded(name: str) -> str:
    """A name without case, accents, spaces and punctuation."""
    plain = unicodedata.normalize("NFKD", name).replace("ł", "l")
    return re.sub(r"[\W_]", "", plain, flags=re.ASCII).lower()


_NAMES = {folded(alias): name for name in ALIASES for alias in (name, *ALIASES[name])}
_WEAK_NAMES = {alias: name for name, aliases in WEAK_ALIASES.items() for alias in aliases}


def name_of(written: str) -> str | None:
    """The column of prices_daily that a written name means, None if it means none."""
    return _NAMES.get(folded(written))


def positions_by_name(
    source: str, header: Sequence[str], given: Collection[str] = ()
) -> dict[str, int]:
    """Column of prices_daily → position of the source's column that fills it.

    given: columns of prices_daily for which none is looked for
    raises RegimeError if two columns would fill one
    """
    positions: dict[str, int] = {}
    for position, written in enumerate(header):
        name = name_of(written)
        if name in given:
            continue
        if name in positions:
            raise _both(source, header[positions[name]], written, name)
        if name:
            positions[name] = position
    weak: dict[str, int] = {}
    for position, written in enumerate(header):
        name = _WEAK_NAMES.get(folded(written))
        if not name or name in positions or name in given:
            continue
        if name in weak:
            raise _both(source, header[weak[name]], written, name)
        weak[name] = position
    return positions | weak


def _both(source: str, first: str, second: str, name: str) -> RegimeError:
    both = f"{first!r} and {second!r}"
    return RegimeError(f"{source}: both {both} would be {name}: rename or drop one")


def missing(source: str, name: str, header: Iterable[str]) -> str:
    """The message for a missing column: the columns that were found, some names it can have."""
    found = ", ".join(map(repr, header))[:300]
    accepted = ", ".join((name, *ALIASES[name][:4]))
    return f"{source}: no column {name} among {found}: call it one of {accepted}"
