"""The nightly job as a Dagster job with a schedule: `dagster dev -f dagster_job.py` shows it.

The ops run `regime` in a process of its own: it is installed beside Dagster, and
REGIME_DATABASE_URL (or the libpq variables) and PGPASSWORD are in the environment.
"""

import subprocess

from dagster import Definitions, In, Nothing, RetryPolicy, ScheduleDefinition, job, op

# A run that was killed goes on where it stood.
AGAIN = RetryPolicy(max_retries=2, delay=600)


@op(retry_policy=AGAIN)
def load(context) -> None:
    run(context, "regime load --allow-refused /srv/prices/today.csv")


@op(retry_policy=AGAIN, ins={"loaded": In(Nothing)})
def pipeline(context) -> None:
    run(context, "regime pipeline --walk-forward")


def run(context, command: str) -> None:
    """Its output goes to the log of the run; a failure is the op's."""
    done = subprocess.run(command.split(), capture_output=True, text=True)
    context.log.info(done.stdout)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")


@job
def regimes() -> None:
    pipeline(load())


defs = Definitions(
    schedules=[ScheduleDefinition(job=regimes, cron_schedule="30 22 * * 1-5")],
)
