"""Trials on Ray; imported by the child process and by workers only: what is set here is not the driver's.

Ray reads its settings when it is imported, which is after this.
"""

import os

_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",  # for a trial that a schedule ends; else the next one is lost
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # what Tune would restore from; we never do
    "TUNE_MAX_PENDING_TRIALS_PG": "8",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
