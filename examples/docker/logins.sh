#!/bin/sh
# Postgres runs this once, when its volume is new: the login of Grafana, which may read and no more.
# `regime init --roles` gives the role its rights.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv password GRAFANA_DATABASE_PASSWORD
create role regime_auditor nologin;
create role grafana login password :'password' in role regime_auditor;
SQL
