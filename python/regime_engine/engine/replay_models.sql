select version, run_id, parameters_hash
from {regime_models}
where region = %(region)s and model_id = %(model_id)s and window_days = %(window_days)s
