"""Price files → checked rows → prices_daily.

Import the module that you need: `columns` (names), `formats` (files → text), `rules` (text → values
or a reason to refuse) or `load` (the database). `columns` alone imports neither polars nor psycopg.
"""
