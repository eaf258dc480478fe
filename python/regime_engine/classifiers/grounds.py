"""What a fit rests on: properties of its training days, and the doubts that follow from them.

It needs the embeddings alone, so a notebook tells the same as the engine.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regime_engine.arrays import Floats, Floats32, Indices
from regime_engine.classifiers import markov
from regime_engine.classifiers.classification import Learned
from regime_engine.errors import RegimeError

TWO_YEARS = 504
DEAD_QUOTE_DAYS = 10
NO_VOLUME = -3.0  # the lowest relative log volume that daily_features has
STRANGE = 99.0  # a novelty from which on a day counts as unusual
MOST_TICK = 0.4  # of a day's volatility
MOST_UNCHANGED = 0.2
MOST_WITHOUT_VOLUME = 0.05
MOST_STRANGE = 0.75
FEWEST_HELD_OUT = 63  # days of which it is said
# Nats over one state, in all and a day. On simulated histories of 1,500 to 4,000 days without
# regimes the gain stays below them, with regimes it stays above.
LEAST_GAIN, LEAST_DAILY_GAIN = 10.0, 0.005
_TICK_DAYS = 63
_DAYS_SHOWN = 3


@dataclass(frozen=True)
class Grounds:
    """What a fit rests on.

    measures: name → number, as in regime_models.metrics
    clipped_days: the days whose return was cut: dates, or numbers from 0 if dates are not known
    doubts: what is doubtful → a line that says what, with which numbers, and what to do
    """

    measures: dict[str, float] = field(default_factory=dict)
    clipped_days: tuple[str, ...] = ()
    doubts: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For regime_models.metrics."""
        return {
            **self.measures,
            "clipped_days": list(self.clipped_days),
            "doubts": self.doubts,
        }


def grounds(
    embeddings: Floats32,
    model_id: str,
    learned: Learned,
    days: NDArray[Any] | None = None,
    held_out_novelty: Floats | None = None,
) -> Grounds:
    """What a fit to consecutive trading days rests on.

    embeddings: (n, d) by the encoder of this id
    days: (n + 62,) the days of the training path, if they are known
    held_out_novelty: (m,) of the last days, by a model of the days before them
    """
    if model_id not in markov.DECODERS:  # an encoder that keeps no returns
        return Grounds()
    try:
        path = markov.training_path(embeddings, model_id)
    except RegimeError:  # prototypes can be fitted to a handful of days
        return Grounds()
    found: dict[str, float] = {}
    doubts: dict[str, str] = {}
    name = _name_of(days)
    found["training_days"] = len(path.returns)
    found["tick_over_volatility"] = tick = _tick_over_volatility(path.returns)
    found["share_unchanged"] = unchanged = float((path.returns == 0).mean())
    found["share_without_volume"] = quiet = float((path.volumes <= NO_VOLUME).mean())
    dead = _dead_quotes(path.returns)
    found["dead_quotes"] = len(dead)
    places = np.flatnonzero(path.is_clipped)
    clipped = tuple(name(place) for place in places)

    if len(path.returns) < TWO_YEARS:
        doubts["few days"] = (
            f"it is trained on {len(path.returns)} days, and two years ({TWO_YEARS}) are the least "
            "for regimes: load more prices"
        )
    if tick > MOST_TICK:
        doubts["coarse prices"] = (
            f"the smallest step of the price is {tick:.0%} of a day's volatility, so labels follow "
            "the rounding of prices: load prices with more digits, or leave this series out"
        )
    if unchanged > MOST_UNCHANGED:
        doubts["unchanged closes"] = (
            f"the close is that of the day before on {unchanged:.0%} of the days, and such days "
            "look calm: check whether the prices are real trades"
        )
    if quiet > MOST_WITHOUT_VOLUME:
        doubts["days without volume"] = (
            f"{quiet:.0%} of the days have no volume or hardly any: check the volumes, or load the "
            "prices without them"
        )
    if dead:
        first, length = max(dead, key=lambda run: run[1])
        doubts["dead quotes"] = (
            f"the close stays the same for {DEAD_QUOTE_DAYS} days or more {_times(len(dead))}, the "
            f"longest time {length} days from {name(first)}: correct or remove these prices, and "
            "fit again"
        )
    if len(places):
        raw = np.append(*_first_and_last(embeddings, model_id))
        shown = ", ".join(
            f"{name(place)} ({np.expm1(raw[place]):+.0%})" for place in places[:_DAYS_SHOWN]
        )
        more = f" and {len(places) - _DAYS_SHOWN} more" if len(places) > _DAYS_SHOWN else ""
        doubts["cut returns"] = (
            f"{_count(len(places), 'return')} of {shown}{more} cut to {markov.CLIP_DEVIATIONS:.0f} "
            "times the usual size: if a split or an error is behind it, correct the prices and fit "
            "again"
        )
    if held_out_novelty is not None and len(held_out_novelty) >= FEWEST_HELD_OUT:
        found["share_held_out_strange"] = strange = float((held_out_novelty >= STRANGE).mean())
        if strange > MOST_STRANGE:
            doubts["changed series"] = (
                f"{strange:.0%} of the last {len(held_out_novelty):,} days are more unusual than "
                f"{STRANGE:.0f} % of the days before them: see whether the prices are of one and "
                "the same thing, and expect labels to change with the next fit"
            )
    if isinstance(learned, markov.Markov) and len(path.returns) >= TWO_YEARS:
        found["gain_over_one_state"] = gain = markov.gain_over_one_state(learned, embeddings)
        needed = max(LEAST_GAIN, LEAST_DAILY_GAIN * len(embeddings))
        if gain < needed:
            doubts["one state is enough"] = (
                f"{len(learned.labels)} states tell the returns hardly better than one state whose "
                f"volatility moves (log score {gain:+.1f} in {len(embeddings):,} days, at least "
                f"+{needed:.0f} is needed): read expected_volatility rather than the labels, "
                "or try another --states"
            )
    return Grounds(found, clipped, doubts)


def _first_and_last(embeddings: Floats32, model_id: str) -> tuple[Floats, Floats]:
    """The returns of the first window, and the last one of each later window."""
    returns = markov.decode(embeddings, model_id).returns
    return returns[0], returns[1:, -1]


def _tick_over_volatility(r: Floats) -> float:
    """The median over blocks of 63 days of the smallest move over the root mean square; r: (T,)

    Prices that move freely have about 1/50.
    """
    ratios = []
    for first in range(0, len(r) - _TICK_DAYS + 1, _TICK_DAYS):
        block = r[first : first + _TICK_DAYS]
        moves = np.abs(block[block != 0])
        if len(moves):
            ratios.append(moves.min() / np.sqrt((block * block).mean()))
    return float(np.median(ratios)) if ratios else 0.0


def _dead_quotes(r: Floats) -> list[tuple[int, int]]:
    """(first day, days) of each stretch of at least 10 days with the same close; r: (T,)"""
    edges: Indices = np.flatnonzero(np.diff(np.concatenate([[0], r == 0, [0]])))
    runs: Iterator[tuple[int, int]] = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    # The day before the first unchanged return has the same close.
    return [
        (max(first - 1, 0), after - first + 1)
        for first, after in runs
        if after - first + 1 >= DEAD_QUOTE_DAYS
    ]


def _name_of(days: NDArray[Any] | None) -> Any:
    if days is None:
        return lambda place: f"day {place + 1}"
    return lambda place: str(days[place])


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _count(count: int, what: str) -> str:
    return f"the {what}" if count == 1 else f"{count} {what}s"
