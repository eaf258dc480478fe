"""What is stored of regions' regimes, as a page to look at: read, drawn, put together."""
