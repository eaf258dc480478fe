"""Seals that people keep: lines, documents, and texts that have none."""

import hashlib
import json

import pytest

from regime_engine import seals
from regime_engine.errors import RegimeError

ONE, OTHER = "a1" * 32, "b2" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"seal 3: {ONE} (`regime fit`, run …)\n", {3: ONE}),
        (json.dumps({"seal_number": 7, "seal": OTHER, "command": "fit"}), {7: OTHER}),
        (json.dumps({"seal_number": 7, "seal": OTHER}, indent=2) + f"\n\nseal 3: {ONE}", {7: OTHER, 3: ONE}),
        (json.dumps([{"seal_number": 1, "seal": ONE}, {"seal_number": 2, "seal": OTHER}]), {1: ONE, 2: OTHER}),
        (f"Ticket 12 {{see below}}: > seal 3: {ONE} and again seal 3: {ONE}", {3: ONE}),
    ],
)  # fmt: skip
def test_a_seal_is_read_among_other_text(text, expected):
    assert seals.read(text, "notes.txt") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "notes.txt has no seal: expected lines as `regime seal` prints them, or its JSON"),
        (f"seal 3: {ONE[:-1]}", "notes.txt has no seal: expected lines as `regime seal` prints them, or its JSON"),
        (json.dumps({"seal_number": "3", "seal": ONE}), "notes.txt has no seal: expected lines as `regime seal` prints them, or its JSON"),
        (f"seal 3: {ONE}\nseal 3: {OTHER}", "notes.txt has two different seals of number 3: keep one"),
    ],
)  # fmt: skip
def test_a_text_without_a_clear_seal_gets_a_line(text, expected):
    with pytest.raises(RegimeError) as error:
        seals.read(text, "notes.txt")
    assert str(error.value) == expected


def test_the_hash_over_names_sorts_their_bytes():
    lines = [f'["{name}", "{value}"]' for name, value in (("B", ONE), ("a", OTHER), ("Ä", ONE))]
    assert (
        seals.combined({"Ä": ONE, "a": OTHER, "B": ONE})
        == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    )
