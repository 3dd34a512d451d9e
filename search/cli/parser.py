"""Entry point of the command line: parses arguments, runs the command, reports errors."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from search.cli.arguments import COMMANDS
from search.cli.commands import DONE, FAULT, MISTAKE
from search.record import package_version
from spaces import ConfigError, RunError, UserError
from spaces.errors import unknown


class _Parser(argparse.ArgumentParser):
    """Parser that raises `ConfigError` where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message[0].upper() + message[1:] + f"; see {self.prog} --help.")

    @property
    def flags(self) -> list[str]:
        """Long flags that the parser knows."""
        return [f for action in self._actions for f in action.option_strings if f[:2] == "--"]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its status: `DONE`, `FAULT` or `MISTAKE`."""
    # Limits how long OpenMP threads spin while they wait for one another. On two cores, this makes
    # a retraining 1.7 times as fast beside one other busy process, 3 times beside two, and no
    # slower alone.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    _log_to_terminal()
    try:
        _run(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(MISTAKE)
    except RunError as error:
        print(error, file=sys.stderr)
        sys.exit(FAULT)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(FAULT)
    except BrokenPipeError:
        sys.exit(FAULT)
    except OSError as error:
        if error.strerror is None:
            raise
        file = error.filename or "A file"
        print(
            f"{file} can't be read or written ({error.strerror}). Free disk space or "
            "fix the permissions; report, export and predict can write elsewhere with --out.",
            file=sys.stderr,
        )
        sys.exit(FAULT)
    sys.exit(DONE)


def _log_to_terminal() -> None:
    """Log to standard error: a terminal gets only warnings, beside progress; a file gets all."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger("finesweep").addHandler(handler)


def _run(argv: list[str]) -> None:
    arguments = parse_arguments(argv)
    if arguments.version:
        print(f"finesweep {package_version('finesweep')}")
    elif arguments.command is None:
        make_parsers()[0].print_help()
    else:
        arguments.run(arguments)


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Parse the arguments of the command line.

    Raises `ConfigError` if a command, a flag or an argument is unknown; the error suggests the
    nearest valid command or flag.
    """
    parser, commands = make_parsers()
    if argv and not argv[0].startswith("-") and argv[0] not in commands:
        raise ConfigError(unknown("command", argv[0], commands))
    arguments, extra = parser.parse_known_args(argv)
    if extra:
        flag = extra[0].partition("=")[0]
        if flag == "--image-size":  # of earlier versions
            raise ConfigError(
                "--image-size is now --fix image_size=PX; --fix fixes any parameter of the space."
            )
        if flag.startswith("-"):
            known = commands.get(arguments.command, parser).flags
            raise ConfigError(unknown("flag", flag, known))
        raise ConfigError(
            f"Unexpected argument {flag!r}; see finesweep {arguments.command} --help."
        )
    return arguments


def make_parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """The parser of the command line, and the parser of each command by its name."""
    parser = _Parser(
        prog="finesweep",
        description="Finds the best fine-tuned image classifier for your own images.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="Print the version and exit.")
    subparsers = parser.add_subparsers(dest="command", parser_class=_Parser, metavar="COMMAND")
    commands: dict[str, _Parser] = {}
    for command in COMMANDS:
        commands[command.name] = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.summary,
            usage=command.usage,
            allow_abbrev=False,
        )
        command.add_arguments(commands[command.name])
        commands[command.name].set_defaults(run=command.run, parse=parse_arguments)
    return parser, commands
