-- The model version of one regime: its lineage, parameters and metrics.
select
    lineage.classifier,
    lineage.labels,
    lineage.trained_from,
    lineage.trained_to,
    lineage.n_windows,
    lineage.training_hash,
    lineage.valid_from,
    lineage.fitted_by_user,
    lineage.fitted_at,
    lineage.classified_at,
    lineage.rows_in_force,
    lineage.first_date,
    lineage.last_date,
    models.parameters,
    models.metrics,
    (
        select count(*)::integer
        from {regime_models}
        where {is_series}
    ) as versions
from {model_lineage} as lineage
left join {regime_models} as models
    on
        models.region = lineage.region
        and models.model_id = lineage.model_id
        and models.window_days = lineage.window_days
        and models.version = lineage.model_version
where
    lineage.region = %(region)s
    and lineage.model_id = %(model_id)s
    and lineage.window_days = %(window_days)s
    and lineage.model_version = %(model_version)s
    and lineage.classified_by_run_id = %(run_id)s
