"""Runs a command of this program on the head node of a cluster, through Ray's job server."""

import asyncio
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from spaces import ConfigError, RunError


@dataclass(frozen=True)
class Job:
    """A job that was submitted to Ray's job server."""

    address: str
    """Address of the job server, such as ``http://HEAD:8265``."""
    name: str
    """Submission ID of the job."""

    @property
    def follow_command(self) -> str:
        """Command line that shows the job's log."""
        return f"ray job logs --follow --address {self.address} {self.name}"

    @property
    def stop_command(self) -> str:
        """Command line that stops the job."""
        return f"ray job stop --address {self.address} {self.name}"


def submit_job(
    address: str, arguments: Sequence[str], *, name: str, settings_file: Path | None = None
) -> Job:
    """Submit ``finesweep ARGUMENTS`` as a job on the head node, and return without waiting for it.

    The job runs in the home folder of the user who started Ray on the head node, as a command over
    ssh would.

    Args:
        address: Address of the job server, such as ``http://HEAD:8265``.
        arguments: Arguments of the command line.
        name: Name of the job; characters that Ray does not allow become underscores.
        settings_file: Local settings file, which is sent with the job and given as ``--config``.

    Raises `ConfigError` if no job server answers, or if it rejects the job.
    """
    client = _client(address)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    try:
        client.submit_job(
            entrypoint=entrypoint_script(arguments, settings_file), submission_id=name
        )
    except (RayError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(
            f"The job server at {address} rejected the job {name!r}: {reason}"
        ) from None
    return Job(address, name)


def entrypoint_script(arguments: Sequence[str], settings_file: Path | None = None) -> str:
    """Shell script of the job, which contains the text of the settings file.

    Ray's ``working_dir`` could send the file instead, but each worker would then get a runtime
    environment of its own, which takes several seconds to start.
    """
    command = f"exec {shlex.join(['python', '-m', 'finesweep', *arguments])}"
    if settings_file is None:
        return f"cd && {command}"
    text = settings_file.read_text(encoding="utf-8").rstrip("\n")
    return (
        f'cd && settings=$(mktemp) && printf %s {shlex.quote(text)} > "$settings" && '
        f'{command} --config "$settings"'
    )


def follow_job(job: Job, show: Callable[[str], None]) -> None:
    """Pass a job's log to ``show`` as it grows, until the job ends.

    Raises `ConfigError` if no job server answers, and `RunError` if the job failed or was stopped,
    or if the connection was lost.
    """
    client = _client(job.address)
    from aiohttp import ClientError  # a dependency of the client

    async def tail() -> None:
        async for lines in client.tail_job_logs(job.name):
            show(lines)

    try:
        asyncio.run(tail())
        info = client.get_job_info(job.name)
    except (ClientError, OSError, RayError, RuntimeError) as error:
        raise _connection_lost(job, str(error)) from None
    if not info.status.is_terminal():
        raise _connection_lost(job, "its log broke off")
    if info.status.value != "SUCCEEDED":
        raise RunError(f"The job {job.name} is {info.status.value}: {info.message}")


def _connection_lost(job: Job, reason: str) -> RunError:
    return RunError(
        f"The connection to the server was lost ({reason.strip()}). The job keeps running. "
        "Follow the job:  "
        f"{job.follow_command}"
    )


def _client(address: str) -> Any:
    """Client of the job server. Raises `ConfigError` if the server at ``address`` can't be used."""
    if "://" not in address:
        raise ConfigError(
            f"A job server's address begins with http:// or https://, unlike {address!r}; give "
            "the address of the head node's dashboard, such as http://HEAD:8265."
        )
    try:
        from ray.job_submission import JobSubmissionClient

        return JobSubmissionClient(address)
    except ConnectionError:
        raise ConfigError(
            f"No Ray job server answers at {address}; start the cluster with 'ray start --head' "
            "on a machine that has 'ray[default]', and give the address of the cluster's dashboard."
        ) from None
    except (ImportError, RayError, RuntimeError) as error:
        raise ConfigError(
            f"The job server at {address} can't be used ({str(error).strip().splitlines()[0]}); "
            "run pip install 'finesweep[cluster]' on this machine. If the cluster requires a "
            "token, set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the token."
        ) from None
