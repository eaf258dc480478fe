"""The nightly job as a Dagster job with a schedule. To see it, run `dagster dev -f dagster_job.py`.

Each op runs `regime` in a new process. Install it beside Dagster, and set REGIME_DATABASE_URL (or
the libpq variables) and PGPASSWORD in the environment.
"""

import subprocess

from dagster import Definitions, In, Nothing, RetryPolicy, ScheduleDefinition, job, op

# A run that was killed continues where it stopped, so a retry is safe.
AGAIN = RetryPolicy(max_retries=2, delay=600)


@op(retry_policy=AGAIN)
def load(context) -> None:
    run(context, "regime load --allow-refused /srv/prices/today.csv")


@op(retry_policy=AGAIN, ins={"loaded": In(Nothing)})
def pipeline(context) -> None:
    run(context, "regime pipeline --walk-forward")


def run(context, command: str) -> None:
    """Run the command, log its output, and fail the op if the command fails."""
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
