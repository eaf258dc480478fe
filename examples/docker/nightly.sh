#!/bin/sh
# `nightly` loads the prices in /prices, classifies and audits. `nightly 22:30` does it now and then every day
# at that time (UTC). A night that failed is said on stderr, and the next one is tried all the same. If a channel
# is configured (a variable REGIME_NOTIFY_...), people are told what changed.
set -u
prices=${PRICES:-/prices}
tell=
env | grep -q '^REGIME_NOTIFY_' && tell=yes

night() {
    if [ -z "$(ls -A "$prices" 2>/dev/null)" ]; then
        echo "there are no files in $prices yet: put the prices there" >&2
        return 1
    fi
    # With --roles, so that the auditor's login can read what this version has added.
    regime load --quiet --allow-refused "$prices" \
        && regime init --quiet --roles \
        && regime pipeline --quiet --walk-forward ${tell:+--notify}
}

[ $# -eq 0 ] && {
    night
    exit
}

while :; do
    night || echo "the nightly job failed at $(date -u +%FT%TZ); the next one is at $1 UTC" >&2
    now=$(date -u +%s)
    next=$(date -u -d "$1" +%s)
    [ "$next" -gt "$now" ] || next=$(date -u -d "tomorrow $1" +%s)
    sleep $((next - now))
done
