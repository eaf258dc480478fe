"""Charts of regimes over time, in Vega-Lite: for the report and for a notebook."""
