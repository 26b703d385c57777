"""A sweep that a cluster runs without this machine: what is sent, and what to type next."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from orchestrator.answer import publish
from orchestrator.commands.request import Request
from orchestrator.errors import ExecutionLost, Interrupted, UsageError
from orchestrator.execution.address import page_address
from orchestrator.execution.child.conversation import ask
from orchestrator.execution.child.messages import Submit
from orchestrator.process.secrets import without_secret
from orchestrator.recording.bundle.layout import parts
from orchestrator.recording.bundle.sources import sources
from orchestrator.recording.bundle.store import read_only
from orchestrator.recording.workspace import checkpoint_folder


def submit(
    request: Request, spec: Path, words: Sequence[str], *, address: str, say: Callable[[str], None]
) -> Iterator[str]:
    """Send what is requested, by the file `spec` and the flags in `words`; lines on how to follow it.

    Raises:
        UsageError: it is a bundle; a table or figure cannot be made of these cells; `address` is none.
        ExecutionError: the cluster is not there, or does not let us in.
    """
    if parts(spec) is not None:
        raise UsageError(read_only(str(spec)))
    publish.check(request.expansion)
    address = page_address(address)
    shown = without_secret(address)
    contents, name, _ = sources(spec, trust=request.trust)
    sent = {path: base64.b64encode(content) for path, content in contents.items()}
    command = ("orch", "sweep", name, "--address", "auto", *words)
    try:
        job = ask(Submit(name=request.spec.name, files=sent, command=command, address=address), say=say)
    except (ExecutionLost, Interrupted) as error:
        look = f"the cluster may have the sweep all the same: look with  ray job list --address {shown}"
        raise type(error)(f"{error}; {look}" if str(error) else look) from None
    yield f"{request.spec.name}: submitted as {job}; it runs without this machine"
    yield f"follow it:  ray job logs --follow {job} --address {shown}"
    at = ("--tracking-uri", "ADDRESS-OF-MLFLOW")
    yield f"its state:  {request.command('status', *at)}   (and orch table, orch figures)"
    yield f"stop it:    {request.command('stop', *at)}"


def there(checkpoints: str | None) -> str | None:
    """`checkpoints` as it is sent, by name; what this machine's environment says of them is not sent.

    Raises:
        UsageError: it means another folder there than here, or none.
    """
    if checkpoints is None:
        return None
    folder = checkpoint_folder(checkpoints)
    if isinstance(folder, Path) and not Path(checkpoints).is_absolute():
        raise UsageError(
            f"--checkpoints {checkpoints}: expected a folder of the cluster's nodes from the root, /..., or "
            "s3://bucket/prefix"
        )
    return str(checkpoints)
