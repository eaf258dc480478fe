"""Prices as people have them → checked rows → prices_daily.

The way of a file, a module a step: `sources` (which files), `formats` (a file → rows of text),
`shapes` (which column is which, by the names in `columns`), `writing` (how days and numbers are
written), `rules` (text → values or a reason to refuse), `files` (all of these), `survey` (what is
remarkable), `load` (the database). `frames` loads from Python, `preview` shows and does not load.
`columns` alone imports neither polars nor psycopg.
"""
