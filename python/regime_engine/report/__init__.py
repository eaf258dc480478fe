"""The report: the stored regimes of some regions as one HTML page or as a picture."""
