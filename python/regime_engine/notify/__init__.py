"""Tells people what changed: each event once to each channel, also where a channel is down."""
