"""`regime embed` without a database: its arguments and its shards."""

import hashlib
from itertools import product

import pytest
from click.testing import CliRunner

from regime_engine.cli import regime
from regime_engine.engine import market


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --all or --instrument-id"),
        (("--all", "--instrument-id", "SYN01"), "give either --all or --instrument-id"),
        (("--all", "--shard", "0/3"), "'0/3' is not i/n"),
        (("--all", "--shard", "4/3"), "'4/3' is not i/n"),
        (("--all", "--shard", "half"), "'half' is not i/n"),
        (("--all", "--as-of", "2018-06-01", "--start", "2018-06-01"), "either --as-of or"),
        (("--all", "--start", "2018-06-02", "--end", "2018-06-01"), "is after --end"),
        (("--all", "--workers", "0"), "--workers"),
        (("--all", "--workers", "2", "--scheduler", "tcp://x:1"), "either --workers or"),
    ],
)
def test_wrong_usage_gets_a_line(arguments, message):
    result = CliRunner().invoke(regime, ["embed", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]


def test_each_instrument_is_in_one_shard():
    for n in (1, 2, 7):
        pairs = product(map(str, range(100)), range(1, n + 1))
        assert sum(market.in_shard(name, (i, n)) for name, i in pairs) == 100
    number = int(hashlib.sha256(b"SYN01").hexdigest()[:16], 16)
    assert market.in_shard("SYN01", (number % 5 + 1, 5))
