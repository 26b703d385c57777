"""MLflow as a store.

MLflow reads its settings when it is imported, which is after this; a tracker that does not answer must not be
waited for long.
"""

import logging
import os

_SETTINGS = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # of each try: a server that hangs costs three quarters of a minute
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # what it would print is raised as well
    "GIT_PYTHON_REFRESH": "quiet",
}


def set_defaults() -> None:
    """Set what MLflow reads from the environment, where nobody has set it."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


set_defaults()
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
