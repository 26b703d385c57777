"""Hands a sweep to a cluster, whose own driver runs it: this machine may be closed."""

from __future__ import annotations

import logging
import secrets
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ray.job_submission import JobSubmissionClient

from orchestrator.errors import ExecutionError
from orchestrator.execution.ray.cluster import token_wanted
from orchestrator.process.command import SUBMITTED
from orchestrator.process.secrets import without_secret

_LOGGERS = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")


def submit(name: str, files: Mapping[str, bytes], command: Sequence[str], *, address: str) -> str:
    """The id of the job that runs `command` on the cluster, in a folder with `files`.

    Args:
        name: the sweep's, for the id.
        files: contents by path in that folder.
        command: words, the first of which is "orch".
        address: of Ray's dashboard, such as http://127.0.0.1:8265.

    Raises:
        ExecutionError: nothing answers there, or it does not let us in.
    """
    for logger in _LOGGERS:  # Ray sets their level itself when it is imported
        logging.getLogger(logger).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="orch-submit-") as folder:
        for path, content in files.items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        try:
            return str(
                JobSubmissionClient(address).submit_job(
                    entrypoint=shlex.join(command),
                    submission_id=f"orch-{name}-{secrets.token_hex(4)}",
                    runtime_env={"working_dir": folder, "env_vars": {SUBMITTED: "1"}},
                )
            )
        except Exception as error:  # ConnectionError, RuntimeError, AuthenticationError
            raise ExecutionError(_refusal(error, address)) from None


def _refusal(error: Exception, address: str) -> str:
    reason, address = without_secret(" ".join(str(error).split())), without_secret(address)
    if wants := token_wanted(error, address=address):
        return wants
    return (
        f"no Ray dashboard at {address}: {reason[:200]}; expected its address, such as http://127.0.0.1:8265"
    )
