"""A command of ours, run on a cluster's head by Ray's job server."""

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
    """A command that was handed to a job server."""

    address: str
    """Of the server, such as ``http://HEAD:8265``."""
    name: str
    """The server's id of it."""

    @property
    def how_to_follow(self) -> str:
        """The command that shows its log."""
        return f"ray job logs --follow --address {self.address} {self.name}"

    @property
    def how_to_stop(self) -> str:
        """The command that ends it."""
        return f"ray job stop --address {self.address} {self.name}"


def submit(
    address: str, words: Sequence[str], *, name: str, settings_file: Path | None = None
) -> Job:
    """Have ``finesweep WORDS`` run on the head, in its user's home folder, as over ssh.

    ``settings_file`` travels with it, as its ``--config``. Raises `ConfigError` if no job server
    answers, or if it takes no job of that ``name``.
    """
    client = _client(address)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    try:
        client.submit_job(entrypoint=script(words, settings_file), submission_id=name)
    except (RayError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(f"The job server at {address} takes no job {name!r}: {reason}") from None
    return Job(address, name)


def script(words: Sequence[str], settings_file: Path | None = None) -> str:
    """What the head's shell runs.

    The settings are a part of it: files that Ray would bring give each worker an environment of
    its own, and with it a start of several seconds.
    """
    command = f"exec {shlex.join(['python', '-m', 'search', *words])}"
    if settings_file is None:
        return f"cd && {command}"
    text = settings_file.read_text(encoding="utf-8").rstrip("\n")
    return (
        f'cd && settings=$(mktemp) && printf %s {shlex.quote(text)} > "$settings" && '
        f'{command} --config "$settings"'
    )


def follow(job: Job, show: Callable[[str], None]) -> None:
    """Show a job's log, as it is written, until the job ends. Raises `RunError` if it failed."""
    client = _client(job.address)
    from aiohttp import ClientError  # comes with the client

    async def tail() -> None:
        async for lines in client.tail_job_logs(job.name):
            show(lines)

    try:
        asyncio.run(tail())
        info = client.get_job_info(job.name)
    except (ClientError, OSError, RayError, RuntimeError) as error:
        raise _lost(job, str(error)) from None
    if not info.status.is_terminal():
        raise _lost(job, "its log broke off")
    if info.status.value != "SUCCEEDED":
        raise RunError(f"The job {job.name} is {info.status.value}: {info.message}")


def _lost(job: Job, reason: str) -> RunError:
    return RunError(
        f"The connection to the server was lost ({reason.strip()}); the job goes on. Follow it:  "
        f"{job.how_to_follow}"
    )


def _client(address: str) -> Any:
    if "://" not in address:
        raise ConfigError(
            f"A job server's address begins with http:// or https://, not {address!r}; it is the "
            "dashboard's on the head, such as http://HEAD:8265."
        )
    try:
        from ray.job_submission import JobSubmissionClient

        return JobSubmissionClient(address)
    except ConnectionError:
        raise ConfigError(
            f"No Ray job server answers at {address}; start the cluster with 'ray start --head' "
            "where 'ray[default]' is installed, and give its dashboard's address."
        ) from None
    except (ImportError, RayError, RuntimeError) as error:
        raise ConfigError(
            f"The job server at {address} can't be used ({str(error).strip().splitlines()[0]}); "
            "this needs pip install 'finesweep[cluster]', and the cluster's token in "
            "RAY_AUTH_TOKEN with RAY_AUTH_MODE=token if it has one."
        ) from None
