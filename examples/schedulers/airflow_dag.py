"""The nightly job as an Airflow DAG (Airflow 3). Put this file into the folder of your DAGs.

The tasks run `regime` in a shell. Install it where the workers run, and set REGIME_DATABASE_URL (or
the libpq variables) and PGPASSWORD in their environment.
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

SHARDS = 4

with DAG(
    dag_id="regimes",
    schedule="30 22 * * 1-5",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    # A run that was killed continues where it stopped, so a retry is safe.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
):
    load = BashOperator(
        task_id="load",
        bash_command="regime load --allow-refused /srv/prices/today.csv",
    )
    pipeline = BashOperator(
        task_id="pipeline",
        bash_command="regime pipeline --walk-forward",
    )
    # The embeddings of the whole market, in shards that run on any worker.
    embed = BashOperator.partial(task_id="embed").expand(
        bash_command=[f"regime embed --all --shard {i}/{SHARDS}" for i in range(1, SHARDS + 1)]
    )
    load >> pipeline >> embed
