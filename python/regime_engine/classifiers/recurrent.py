"""A small recurrent network that was trained on simulated markets of four states.

It reads the training path once (`context`) and then filters windows (`filtered`). Its weights are
in recurrent.npz, which training/recurrent.py makes; docs/formulas.md has the formulas.

Shapes: T days, B series side by side, n windows, H units, I inputs of a day, C numbers of context.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regime_engine.arrays import F, Floats, Floats32

N_STATES = 4
UNITS = 32
INPUTS = 6  # of a day in a window; the last is 1
_YEAR = 252  # days in the mean that a relative volume is measured against
_NORMAL_DEVIATIONS = 1.4826  # standard deviations of a normal distribution in a median deviation
_LEAST_UNIT = 1e-7
_LEAST_SIZE, _LEAST_SQUARE, _MOST_SQUARE = 0.05, 0.01, 36.0
_MOST_INPUT = 4.0
_PARKINSON = 4 * np.log(2)
_READ_DAYS = (
    500  # at least, of a training path that is longer: each second of 1,000 days, and so on
)

# Half-lives of the means over the days before and after a day, by what is averaged.
_HALF_LIVES = {
    "square": (3.0, 8.0, 25.0),
    "size": (5.0, 20.0),
    "volume": (2.0, 8.0, 30.0),
    "relative_volume": (8.0,),
    "range": (2.0, 8.0),
    "return": (10.0,),
}
_SQUARES = len(_HALF_LIVES["square"])
DAY_FEATURES = 2 * sum(map(len, _HALF_LIVES.values())) + 6
SERIES_FEATURES = 6

# Activations are multiples of 2^-8. Weights are multiples of the power of 2 that makes each partial
# sum of their products a multiple of it below 2^24 of them: float32 holds it exactly, and so its
# order does not matter, nor how many windows a library multiplies at once.
_ACTIVATION_STEPS = np.float32(2**8)
_EXACT_STEPS = 2**24


@cache
def weights() -> dict[str, Floats]:
    with files(__package__).joinpath("recurrent.npz").open("rb") as file, np.load(file) as stored:
        return {name: stored[name].astype(float) for name in stored.files if name != "record"}


@cache
def record() -> dict[str, Any]:
    """How the weights were made."""
    with files(__package__).joinpath("recurrent.npz").open("rb") as file, np.load(file) as stored:
        return dict(json.loads(str(stored["record"])))


def context(returns: Floats, volumes: Floats, log_ranges: Floats, overnight_gaps: Floats) -> Floats:
    """What the network remembers of a training path, (C + 1,); ln of its unit of returns is first.

    each: (T,), NaN where a day has no range or gap
    """
    paths = (each[:, None] for each in (returns, volumes, log_ranges, overnight_gaps))
    unit, days, series = summary(*paths)
    return np.append(np.log(unit), _context(weights(), days[..., 0], series[:, 0]))


def _context(w: dict[str, Floats], days: Floats, series: Floats) -> Floats:
    """days: (T, DAY_FEATURES); series: (SERIES_FEATURES,); returns (C,)"""
    read = np.maximum(days @ w["day_1"].T + w["day_1_bias"], 0)
    read = np.maximum(read @ w["day_2"].T + w["day_2_bias"], 0)
    pooled = np.concatenate([read.mean(axis=0), np.sqrt((read * read).mean(axis=0)), series])
    hidden = np.maximum(w["series_1"] @ pooled + w["series_1_bias"], 0)
    hidden = np.maximum(w["series_2"] @ hidden + w["series_2_bias"], 0)
    return np.asarray(np.tanh(w["series_3"] @ hidden + w["series_3_bias"]))


def filtered(
    context: Floats,
    returns: Floats,
    volumes: Floats,
    log_ranges: Floats,
    overnight_gaps: Floats,
) -> Iterator[Floats32]:
    """ln p of each state, calmest first, given the days so far: (4, n), day by day.

    context: (C + 1,); each path: (63, n), NaN where a day has no range or gap
    """
    unit = float(np.exp(context[0]))
    days = window_inputs(unit, returns, volumes, log_ranges, overnight_gaps)
    return filtered_by(weights(), context[1:], days)


def filtered_by(w: dict[str, Floats], context: Floats, days: Floats32) -> Iterator[Floats32]:
    """As `filtered`, with these weights; context: (C,); days: (63, I, n) by `window_inputs`"""
    recurrent, output, initial = _of_series(w, context)
    exact = _exactly(recurrent), _exactly(output)
    units, n = len(initial), days.shape[2]
    h = np.repeat(initial.astype(np.float32)[:, None], n, axis=1)
    # What the network reads of a day: its units, then the day's inputs, in steps of 2^-8.
    seen = np.empty((units + INPUTS, n), np.float32)
    gates, logits = np.empty((2 * units, n), np.float32), np.empty((N_STATES, n), np.float32)
    update, candidate = gates[:units], gates[units:]
    np.rint(h * _ACTIVATION_STEPS, out=seen[:units])
    for day in days:
        np.rint(day * _ACTIVATION_STEPS, out=seen[units:])
        # z = ½ + ½ tanh(a_z / 2), g = tanh(a_g), h ← h + z (g - h)
        np.tanh(np.matmul(exact[0], seen, out=gates), out=gates)
        candidate -= h
        update += np.float32(1)
        candidate *= update
        candidate *= np.float32(0.5)
        h += candidate
        np.rint(np.multiply(h, _ACTIVATION_STEPS, out=seen[:units]), out=seen[:units])
        np.matmul(exact[1], seen, out=logits)
        yield _log_softmax(logits)


def _of_series(w: dict[str, Floats], context: Floats) -> tuple[Floats, Floats, Floats]:
    """The network's weights for one series, (2H, H + I), its output's, (4, H + I), and h before the
    first day, (H,).

    context: (C,)
    """
    hidden = np.maximum(w["hyper_1"] @ context + w["hyper_1_bias"], 0)
    made = w["hyper_2"] @ hidden + w["hyper_2_bias"]
    units, inputs = UNITS, UNITS + INPUTS
    sizes = np.cumsum([2 * units, inputs, 2 * units, units, units, N_STATES])
    rows, columns, bias, initial, readout, out_bias = np.split(made, sizes[:-1])
    recurrent = np.exp(rows)[:, None] * w["recurrent"] * np.exp(columns)
    recurrent[:, -1] += bias
    recurrent[:units] /= 2
    output = np.zeros((N_STATES, inputs))
    output[:, :units] = w["output"] * np.exp(readout)
    output[:, -1] = w["output_bias"] + out_bias
    return recurrent, output, np.tanh(initial)


def _exactly(matrix: Floats) -> Floats32:
    """Rounded so that its product with `seen` is exact in float32, and over 2^8."""
    largest = np.full(matrix.shape[1], 1.0)
    largest[-INPUTS:] = _MOST_INPUT
    # +1 step of each number's activation, for what rounding adds
    most = (np.abs(matrix) @ (largest + 1 / float(_ACTIVATION_STEPS))).max()
    steps = 2.0 ** np.floor(np.log2(_EXACT_STEPS / float(_ACTIVATION_STEPS) / (most + 1)))
    return np.asarray(np.rint(matrix * steps) / steps / float(_ACTIVATION_STEPS), np.float32)


def _log_softmax(logits: Floats32) -> Floats32:
    """(4, n), summed over states in a fixed order"""
    shifted = logits - logits.max(axis=0)
    p = np.exp(shifted)
    return np.asarray(shifted - np.log((p[0] + p[1]) + (p[2] + p[3])))


def window_inputs(
    unit: float | Floats,
    returns: Floats,
    volumes: Floats,
    log_ranges: Floats,
    overnight_gaps: Floats,
) -> Floats32:
    """What the network reads of each day of a window, (63, I, n) float32.

    unit: one number, or (n,); each path: (63, n)
    """
    made = np.empty((len(returns), INPUTS, returns.shape[1]), np.float32)
    units = np.full(returns.shape[1], unit, np.float32)
    r, v, log_range, gap = (
        each.astype(np.float32, order="C")
        for each in (returns, volumes, log_ranges, overnight_gaps)
    )
    z = r / units
    made[:, 0] = np.arcsinh(z)
    made[:, 1] = log_size(z)
    traded = np.zeros_like(v[0])  # Σ of the window's volumes so far, over the usual one
    for t, volume in enumerate(v):
        # v is relative to a year that the window's own days enter one by one.
        made[t, 2] = volume + traded / np.float32(_YEAR)
        traded += made[t, 2]
    made[:, 3], made[:, 4] = range_size(log_range, gap, units)
    made[:, 5] = 1
    return np.clip(made, -_MOST_INPUT, _MOST_INPUT, out=made)


def log_size(z: NDArray[F]) -> NDArray[F]:
    """ln(|z| + 0.05)"""
    return np.asarray(np.log(np.abs(z) + z.dtype.type(_LEAST_SIZE)), z.dtype)


def range_size(
    log_range: NDArray[F], gap: NDArray[F], unit: NDArray[F]
) -> tuple[NDArray[F], NDArray[np.bool_]]:
    """½ ln(range² / (4 ln 2) + gap²) less ln unit, 0 where it is missing; and where it is not.

    log_range, gap: (T, n); unit: (n,)
    """
    kind = log_range.dtype.type
    is_there = np.isfinite(log_range) & (log_range > 0)
    z = np.where(is_there, log_range, unit) / unit
    z_gap = np.where(np.isfinite(gap), gap, kind(0)) / unit
    variance = z * z / kind(_PARKINSON) + z_gap * z_gap + kind(_LEAST_SIZE**2)
    size = np.where(is_there, kind(0.5) * np.log(variance), kind(0))
    return np.asarray(size, kind), is_there


def summary(
    returns: Floats, volumes: Floats, log_ranges: Floats, overnight_gaps: Floats
) -> tuple[Floats, Floats, Floats]:
    """What the network reads of training paths: the unit of returns, (B,), features of days, (at
    most 1,000 days, DAY_FEATURES, B), and features of series, (SERIES_FEATURES, B).

    each: (T, B)
    """
    unit = _unit(returns)
    z = returns / unit
    square = np.minimum(z * z, _MOST_SQUARE)
    size, signed = log_size(z), np.clip(np.arcsinh(z), -_MOST_INPUT, _MOST_INPUT)
    level = _log_volume(volumes)
    span, has_range = range_size(log_ranges, overnight_gaps, unit)
    today = {
        "square": square,
        "size": size,
        "volume": level,
        "relative_volume": volumes,
        "range": np.clip(span, -_MOST_INPUT, _MOST_INPUT),
        "return": signed,
    }
    stride = max(1, len(returns) // _READ_DAYS)
    some = slice(stride // 2, None, stride)
    before, after = (each[some].copy() for each in _smoothed(today))
    for each in (before, after):
        each[:, :_SQUARES] = 0.5 * np.log(each[:, :_SQUARES] + _LEAST_SQUARE)
    now = np.stack(
        [size, signed, level, volumes, today["range"], has_range.astype(returns.dtype)], axis=1
    )
    days = np.concatenate([before, after, now[some]], axis=1)
    series = np.stack(
        [
            np.full(returns.shape[1], np.log(len(returns) / 1000)),
            np.log(z.std(axis=0) + _LEAST_SIZE),
            level.std(axis=0),
            volumes.std(axis=0),
            volumes.mean(axis=0),
            has_range.mean(axis=0),
        ]
    )
    return unit, days, series


def _unit(returns: Floats) -> Floats:
    """1.4826 · median |r| of the returns that are not 0, (B,); returns: (T, B)"""
    size = np.abs(returns)
    usual = np.nanmedian(np.where(size > 0, size, np.nan), axis=0)
    return np.asarray(np.maximum(_NORMAL_DEVIATIONS * usual, _LEAST_UNIT))


def _log_volume(v: Floats) -> Floats:
    """Log volume L without its mean, from v_t = L_t - Σ_{i=1}^252 L_{t-i} / 252; v: (T, B)"""
    centred = v - v.mean(axis=0)
    level = np.zeros((_YEAR + len(v), *v.shape[1:]), v.dtype)
    year = np.zeros_like(v[0])  # Σ of the last 252
    for t, relative in enumerate(centred, start=_YEAR):
        level[t] = relative + year / _YEAR
        year += level[t] - level[t - _YEAR]
    level = level[_YEAR:]
    level -= level.mean(axis=0)
    return np.clip(level, -_MOST_INPUT, _MOST_INPUT)


def _smoothed(today: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Exponentially weighted means over the days before, and over those after, each with the day:
    (T, means, B). Before the first day stands the mean of all."""
    signals = np.stack([today[name] for name, lives in _HALF_LIVES.items() for _ in lives], axis=1)
    lives = np.array([life for lives in _HALF_LIVES.values() for life in lives])
    step = (1 - 0.5 ** (1 / lives))[:, None].astype(signals.dtype)
    both = np.stack([signals, signals[::-1]], axis=1)  # (T, 2, means, B)
    mean = np.repeat(signals.mean(axis=0)[None], 2, axis=0)
    for now in both:
        now -= mean
        now *= step
        mean += now
        now[:] = mean
    return both[:, 0], both[::-1, 1]
