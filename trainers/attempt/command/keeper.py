"""Keeps one command: starts it, ends it with all that it has started, and tells how it ended. Run as a file.

Stands between a worker and the command, for a worker that is killed can end nothing any more. It imports
nothing but Python's own, so that it starts in a moment, under `python -I -S`.

    worker → keeper    a line of JSON: words, environment, folder, grace; then "stop", or the end of the pipe
    keeper → worker    {"pid": ...}, then {"code": ...} (negative: a signal) or {"error": ...}
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

ON_PARENTS_DEATH, SUBREAPER = 1, 36  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER
COMMAND_LOOK_S = 0.05


def main() -> None:
    """Do what the first line says."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the pipe says when it is over
    job = json.loads(_line())
    linux = ctypes.CDLL(None) if sys.platform == "linux" else None
    if linux is not None:
        linux.prctl(SUBREAPER, 1, 0, 0, 0)  # what the command leaves behind becomes this process's child

    def in_the_child() -> None:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if linux is not None:
            linux.prctl(ON_PARENTS_DEATH, signal.SIGKILL, 0, 0, 0)

    try:
        process = subprocess.Popen(
            job["words"],
            cwd=job["folder"],
            env=job["environment"],
            stdin=subprocess.DEVNULL,
            stdout=2,  # the pipe of the command's output is this process's standard error
            stderr=2,
            process_group=0,
            preexec_fn=in_the_child,
        )
    except (OSError, ValueError) as error:
        place, cause = getattr(error, "filename", None), getattr(error, "strerror", None)
        _tell({"error": f"{place or job['words'][0]}: {cause or error}"})
        return
    _tell({"pid": process.pid})
    os.close(2)
    os.open(os.devnull, os.O_WRONLY)  # the output ends when the command and its children have
    parent = os.getppid()
    code = _watched(process, job["grace_s"], parent)
    if job["temporary"] and _is_lost(parent):
        shutil.rmtree(job["temporary"], ignore_errors=True)
    _tell({"code": code})


def _watched(process: "subprocess.Popen[bytes]", grace_s: float, parent: int) -> int:
    """Wait for the command; its exit code, when nothing that it started lives any more."""
    deadline, is_open = float("inf"), True
    while not _has_ended(process):
        if select.select([0] if is_open else [], [], [], COMMAND_LOOK_S)[0]:
            is_open = bool(os.read(0, 64))
            if is_open:
                _end(process.pid, signal.SIGTERM)
                deadline = time.monotonic() + grace_s
        if not is_open or os.getppid() != parent or time.monotonic() > deadline:
            break
    for _ in range(100):
        _end(process.pid, signal.SIGKILL)
        if not _kill_children():
            break
        time.sleep(COMMAND_LOOK_S)
    return process.wait()


def _is_lost(parent: int) -> bool:
    """Whether the worker was killed; its pipe ends a moment before."""
    if not select.select([0], [], [], 0)[0] or os.read(0, 64):
        return False
    for _ in range(5):
        if os.getppid() != parent:
            return True
        time.sleep(COMMAND_LOOK_S)
    return False


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the command itself has; its number stays its own until `wait`. Others are let go."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if ended.si_pid == process.pid:
            return True
        os.waitpid(ended.si_pid, 0)
    return False


def _end(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _kill_children() -> bool:
    """Kill what has become this process's own child; whether any was there."""
    found = False
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if name.isdigit() and int(parent) == os.getpid() and state != b"Z":
            found = True
            with contextlib.suppress(OSError):
                os.kill(int(name), signal.SIGKILL)
    return found


def _line() -> bytes:
    content = b""
    while not content.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            sys.exit(1)
        content += piece
    return content


def _tell(message: "dict[str, object]") -> None:
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
