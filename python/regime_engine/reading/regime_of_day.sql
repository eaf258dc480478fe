-- The regime of a day, its model and its run.
select
    stored.instrument_id,
    stored.regime_label,
    stored.confidence,
    stored.runner_up_label,
    stored.expected_volatility,
    stored.probabilities,
    stored.metadata,
    stored.regime_embedding as embedding,
    stored.model_version,
    case
        when models.version is not null
            then jsonb_build_object(
                'classifier', models.classifier, 'labels', models.labels,
                'trained_from', models.trained_from, 'trained_to', models.trained_to,
                'n_windows', models.n_windows, 'valid_from', models.valid_from,
                'parameters_hash', models.parameters_hash
            )
    end as model,
    case
        when runs.run_id is not null
            then jsonb_build_object(
                'run_id', runs.run_id, 'command', runs.command, 'status', runs.status,
                'started_at', runs.started_at, 'package_version', runs.package_version,
                'database_user', runs.database_user, 'host', runs.host
            )
    end as run
from {regimes} as stored
left join {regime_models} as models
    on
        models.region = stored.region
        and models.model_id = stored.model_id
        and models.window_days = stored.window_days
        and models.version = stored.model_version
left join {regime_runs} as runs on runs.run_id = stored.run_id
where
    stored.region = %(region)s
    and stored.model_id = %(model_id)s
    and stored.window_days = %(window_days)s
    and stored.as_of_date = %(day)s
