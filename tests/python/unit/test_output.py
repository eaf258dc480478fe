import csv
import io
import json
from datetime import date

from regime_engine.cli.output import print_rows, say, table


def test_a_table_aligns_words_left_and_numbers_right():
    rows = [(date(2020, 1, 2), "CRISIS", 0.5, None), (date(2020, 1, 3), "CARRY", 12.25, "x")]
    assert table(["as_of_date", "label", "confidence", "note"], rows) == (
        "as_of_date  label   confidence  note\n"
        "----------  ------  ----------  ----\n"
        "2020-01-02  CRISIS       0.500\n"
        "2020-01-03  CARRY       12.250  x"
    )


def test_json_and_csv_keep_every_digit(capsys):
    headers, rows = ["day", "confidence"], [(date(2020, 1, 2), 0.1 + 0.2)]
    print_rows(headers, rows, "json")
    assert json.loads(capsys.readouterr().out) == [{"day": "2020-01-02", "confidence": 0.1 + 0.2}]
    print_rows(headers, rows, "csv")
    assert capsys.readouterr().out == "day,confidence\n2020-01-02,0.30000000000000004\n"


HOSTILE = "A\x1b[31mB\u202eC\u2066D\x07\x9b1mE\r\u2028F\udc80"
HARMLESS = r"A\x1b[31mB\u202eC\u2066D\x07\x9b1mE"


def test_no_cell_of_a_table_commands_a_terminal(capsys):
    print_rows(["id"], [(HOSTILE,), ("Größe 東京",)], "table")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [HARMLESS + r" F\udc80", "Größe 東京"]


def test_no_message_commands_a_terminal(capsys):
    say(HOSTILE, err=True)
    assert capsys.readouterr().err == HARMLESS + r"\r\u2028F\udc80" + "\n"


def test_json_and_csv_keep_every_character(capsys):
    name = HOSTILE.split("\r")[0]
    print_rows(["id"], [(name,)], "json")
    assert json.loads(capsys.readouterr().out) == [{"id": name}]
    print_rows(["id"], [(name,)], "csv")
    assert list(csv.reader(io.StringIO(capsys.readouterr().out, newline=""))) == [["id"], [name]]
