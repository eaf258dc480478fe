"""Trains the recurrent expert on simulated markets and writes its weights into the package.

    pip install -e '.[training]'
    OMP_NUM_THREADS=1 python training/recurrent.py

The stored weights had 3,775 steps in 42 minutes on a busy core, ended by --minutes 42. The learning
rate then follows the clock, so that such a run cannot be repeated to the bit. With --steps, the
same seed gives the same weights on the same machine with the same version of PyTorch.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click
import markets
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from regime_engine.classifiers import recurrent

WEIGHTS = Path(recurrent.__file__).with_name("recurrent.npz")
H, INPUTS, K = recurrent.UNITS, recurrent.INPUTS, recurrent.N_STATES
DAYS = 63
LATER_DAYS = 500  # after the training path, in which the windows lie
DAY_UNITS, SERIES_UNITS, CONTEXT, HYPER_UNITS = 64, 96, 32, 64
MADE = 2 * H + (H + INPUTS) + 2 * H + H + H + K  # numbers that the network has of each series
WEIGHTS_START = 0.1  # the size of weights that start small
DRAWN, BATCH, WINDOWS = 512, 48, 10  # markets drawn together; markets and windows of each a step
FIRST_DAYS = 5  # of a window, of which the loss counts nothing
WARM_UP, LEAST_RATE = 200, 0.01  # steps; share of the highest rate
HELD_OUT_SEED, HELD_OUT_DAYS = 10**6, (400, 800, 1250, 1250, 2500, 4000)
MOST_DIFFERENCE = 0.03  # between numpy, whose products are of rounded numbers, and PyTorch

# Days and features of the series, inputs of the windows, and their states.
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def start(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def layer(rows: int, columns: int, gain: float = 1.0) -> Tensor:
        drawn = torch.randn(rows, columns, generator=generator)
        return (gain * drawn / columns**0.5).requires_grad_()

    def zeros(n: int) -> Tensor:
        return torch.zeros(n, requires_grad=True)

    recurrent_start = torch.randn(2 * H, H + INPUTS, generator=generator) / (H + INPUTS) ** 0.5
    recurrent_start[:H, -1] -= torch.linspace(0, 4, H)  # gates that are nearly shut remember long
    pooled = 2 * DAY_UNITS + recurrent.SERIES_FEATURES
    return {
        "day_1": layer(DAY_UNITS, recurrent.DAY_FEATURES, 1.4),
        "day_1_bias": torch.randn(DAY_UNITS, generator=generator).mul(0.5).requires_grad_(),
        "day_2": layer(DAY_UNITS, DAY_UNITS, 1.4),
        "day_2_bias": zeros(DAY_UNITS),
        "series_1": layer(SERIES_UNITS, pooled, 1.4),
        "series_1_bias": zeros(SERIES_UNITS),
        "series_2": layer(SERIES_UNITS, SERIES_UNITS, 1.4),
        "series_2_bias": zeros(SERIES_UNITS),
        "series_3": layer(CONTEXT, SERIES_UNITS),
        "series_3_bias": zeros(CONTEXT),
        "hyper_1": layer(HYPER_UNITS, CONTEXT, 1.4),
        "hyper_1_bias": zeros(HYPER_UNITS),
        "hyper_2": layer(MADE, HYPER_UNITS, WEIGHTS_START),
        "hyper_2_bias": zeros(MADE),
        "recurrent": recurrent_start.requires_grad_(),
        "output": layer(K, H),
        "output_bias": zeros(K),
    }


def contexts(w: dict[str, Tensor], days: Tensor, series: Tensor) -> Tensor:
    """days: (B, T, features); series: (B, features); returns (B, C)"""
    read = days.flatten(0, 1)
    for name in ("day_1", "day_2"):
        read = torch.addmm(w[f"{name}_bias"], read, w[name].T).relu_()
    read = read.view(*days.shape[:2], -1)
    mean = read.mean(dim=1)
    root = torch.linalg.vector_norm(read, dim=1) / days.shape[1] ** 0.5
    hidden = torch.cat([mean, root, series], dim=1)
    for name in ("series_1", "series_2"):
        hidden = torch.relu(hidden @ w[name].T + w[f"{name}_bias"])
    return torch.tanh(hidden @ w["series_3"].T + w["series_3_bias"])


def log_probabilities(w: dict[str, Tensor], context: Tensor, days: Tensor) -> Tensor:
    """context: (B, C); days: (63, B, windows, INPUTS); returns (63, B, windows, 4)"""
    hidden = torch.relu(context @ w["hyper_1"].T + w["hyper_1_bias"])
    made = (hidden @ w["hyper_2"].T + w["hyper_2_bias"])[:, None]  # (B, 1, MADE)
    rows, columns, bias, initial, readout, output_bias = made.split(
        [2 * H, H + INPUTS, 2 * H, H, H, K], dim=2
    )
    of_all = columns.exp().transpose(1, 2) * w["recurrent"].T * rows.exp()  # (B, H + INPUTS, 2H)
    of_h, of_day = of_all[:, :H].contiguous(), of_all[:, H:]
    _, series, windows, _ = days.shape
    given = torch.baddbmm(bias, days.transpose(0, 1).flatten(1, 2), of_day)
    given = given.view(series, DAYS, windows, 2 * H).transpose(0, 1)
    h = torch.tanh(initial).expand(series, windows, H)
    states = []
    for day in given.unbind():
        update, candidate = torch.baddbmm(day, h, of_h).chunk(2, dim=-1)
        h = torch.lerp(h, torch.tanh(candidate), torch.sigmoid(update))
        states.append(h)
    logits = (torch.stack(states) * readout.exp()) @ w["output"].T + w["output_bias"] + output_bias
    return log_softmax(logits, dim=-1)


def training_days(random: np.random.Generator) -> int:
    return int(np.exp(random.uniform(*np.log(markets.PRIOR["training_days"]))))


class Pool:
    """Markets drawn together, of which some are a batch."""

    def __init__(self, random: np.random.Generator, training_days: int) -> None:
        paths = markets.draw(random, DRAWN, training_days, LATER_DAYS)
        usable = np.flatnonzero(paths.is_usable)
        self.paths = [
            each[:, usable].astype(np.float32)
            for each in (paths.returns, paths.volumes, paths.log_ranges, paths.overnight_gaps)
        ]
        self.states = paths.states[:, usable]
        self.training_days, self.random = training_days, random
        self.unit, days, series = recurrent.summary(*(each[:training_days] for each in self.paths))
        self.days = torch.from_numpy(np.ascontiguousarray(days.transpose(2, 0, 1), np.float32))
        self.series = torch.from_numpy(np.ascontiguousarray(series.T, np.float32))

    def batches(self) -> Iterator[Batch]:
        """Each usable market thrice, BATCH at a time, with windows of their own."""
        for first in 3 * list(range(0, len(self.series) - BATCH + 1, BATCH)):
            rows = slice(first, first + BATCH)
            begins = self.random.integers(
                self.training_days - DAYS // 2,
                self.training_days + LATER_DAYS - DAYS,
                (WINDOWS, BATCH),
            )
            day = begins + np.arange(DAYS)[:, None, None]  # (63, windows, B)
            columns = np.arange(first, first + BATCH)
            windows = [each[day, columns].reshape(DAYS, -1) for each in self.paths]
            unit = np.tile(self.unit[rows], WINDOWS)
            inputs = recurrent.window_inputs(unit, *windows)  # (63, INPUTS, windows · B)
            inputs = inputs.reshape(DAYS, INPUTS, WINDOWS, BATCH).transpose(0, 3, 2, 1)
            states = self.states[day, columns].transpose(0, 2, 1)
            yield (
                self.days[rows],
                self.series[rows],
                torch.from_numpy(np.ascontiguousarray(inputs)),
                torch.from_numpy(np.ascontiguousarray(states)),
            )


def losses(
    w: dict[str, Tensor], days: Tensor, series: Tensor, inputs: Tensor, states: Tensor
) -> tuple[Tensor, Tensor]:
    """The mean of -ln p of the true state over the later days, and the share of days on which it
    is the most probable."""
    log_p = log_probabilities(w, contexts(w, days, series), inputs)[FIRST_DAYS:]
    later = states[FIRST_DAYS:]
    loss = -log_p.gather(-1, later[..., None]).mean()
    return loss, (log_p.argmax(-1) == later).float().mean()


def difference(w: dict[str, Tensor], batch: Batch) -> float:
    """The largest difference of a probability by PyTorch and by the numpy of the package."""
    days, features, inputs, _ = batch
    expected = log_probabilities(w, contexts(w, days, features), inputs)
    found = []
    stored = {name: each.numpy().astype(float) for name, each in w.items()}
    for market in range(4):
        context = recurrent._context(stored, days[market].numpy(), features[market].numpy())
        log_p = recurrent.filtered_by(stored, context, inputs[:, market].permute(0, 2, 1).numpy())
        p = torch.from_numpy(np.array(list(log_p))).exp().transpose(1, 2)
        found.append((p - expected[:, market].exp()).abs().max().item())
    return max(found)


@click.command()
@click.option("--seed", default=1, show_default=True)
@click.option("--steps", default=4_000, show_default=True)
@click.option(
    "--minutes",
    type=float,
    help="Stop after so long instead; such a run cannot be repeated exactly.",
)
@click.option("--rate", default=3e-3, show_default=True, help="The highest learning rate.")
@click.option("--into", default=WEIGHTS, show_default=True, type=click.Path(path_type=Path))
def main(seed: int, steps: int, minutes: float | None, rate: float, into: Path) -> None:
    """Train and write the weights; print the losses on the way."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin = time.perf_counter()
    random = np.random.default_rng(seed)
    held_out = [
        next(Pool(np.random.default_rng(HELD_OUT_SEED + n), days).batches())
        for n, days in enumerate(HELD_OUT_DAYS)
    ]
    w = start(seed)
    optimiser = torch.optim.Adam(list(w.values()), lr=rate, betas=(0.9, 0.99))
    lasted, done, seen = 0.0, 0, []
    while lasted < 1:
        for batch in Pool(random, training_days(random)).batches():
            spent = (time.perf_counter() - begin) / 60
            lasted = min(spent / minutes if minutes else (done + 1) / steps, 1.0)
            falling = LEAST_RATE + (1 - LEAST_RATE) * (1 + np.cos(np.pi * lasted)) / 2
            for group in optimiser.param_groups:
                group["lr"] = rate * falling * min(1, (done + 1) / WARM_UP)
            loss, _ = losses(w, *batch)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(w.values()), 1.0)
            optimiser.step()
            done += 1
            seen.append(loss.item())
            if done % 100 == 0:
                with torch.no_grad():
                    now = " ".join(f"{losses(w, *each)[0].item():.4f}" for each in held_out)
                click.echo(
                    f"{done} steps, {spent:.1f} minutes: loss {np.mean(seen[-100:]):.4f}, "
                    f"held out {now}"
                )
            if lasted == 1:
                break
    w = {name: each.detach() for name, each in w.items()}
    worst = difference(w, held_out[2])
    if worst > MOST_DIFFERENCE:
        raise click.ClickException(f"numpy and PyTorch differ by {worst:.3f}: nothing is written")
    measured = [losses(w, *each) for each in held_out]
    record = {
        "seed": seed,
        "steps": done,
        "markets_in_a_step": BATCH,
        "rate": rate,
        "minutes": round((time.perf_counter() - begin) / 60, 1),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "held_out_training_days": HELD_OUT_DAYS,
        "held_out_log_loss": [round(loss.item(), 4) for loss, _ in measured],
        "held_out_accuracy": [round(right.item(), 4) for _, right in measured],
        "difference_of_numpy": round(worst, 4),
        "prior": markets.PRIOR,
    }
    arrays = {name: each.numpy() for name, each in w.items()}
    with into.open("wb") as file:
        np.savez(file, record=np.array(json.dumps(record)), **arrays)
    click.echo(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
