"""Subcommands and flags as agnhost's command line has them: `--flag=value`, `--flag value`, `_` for `-`.

What the subcommands do is left to the modules that define them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .go_net import duration

Value = str | int | bool | float


class UsageError(Exception):
    """The command line can't be understood."""


@dataclass(frozen=True)
class Flag:
    """One flag. Its default tells its type; `seconds` makes it one of Go's durations."""

    name: str
    default: Value
    help: str = ""
    short: str = ""
    seconds: bool = False

    @property
    def kind(self) -> str:
        """What its value is called in a usage text."""
        if self.seconds:
            return "duration"
        return {bool: "", int: "int"}.get(type(self.default), "string")

    def read(self, text: str) -> Value:
        """Its value. Raises UsageError."""
        try:
            if self.seconds:
                return duration(text)
            if isinstance(self.default, bool):
                return {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}[text.lower()]
            return int(text, 0) if isinstance(self.default, int) else text
        except (ValueError, KeyError) as error:
            shown = f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"
            how = (
                error
                if self.seconds
                else f'strconv.Parse{self.kind.capitalize() or "Bool"}: parsing "{text}": invalid syntax'
            )
            raise UsageError(f'invalid argument "{text}" for "{shown}" flag: {how}') from None


@dataclass(frozen=True)
class Command:
    """One subcommand."""

    name: str
    short: str
    run: Callable[[dict[str, Any], list[str]], int]
    flags: Sequence[Flag] = ()
    arguments: str = ""
    """What it takes beside flags, such as `[host:port]`; empty for nothing, `...` for anything."""


def parse(command: Command, words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The flags by name, with `-` written as `_`, and the arguments. Raises UsageError."""
    flags = {flag.name: flag for flag in command.flags} | {flag.short: flag for flag in command.flags if flag.short}
    values: dict[str, Any] = {flag.name.replace("-", "_"): flag.default for flag in command.flags}
    arguments, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            continue
        name, equals, text = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        flag = flags.get(name)
        if flag is None:
            long = word.startswith("--")
            raise UsageError(f"unknown flag: --{name}" if long else f"unknown shorthand flag: '{name[:1]}' in {word}")
        if not equals and isinstance(flag.default, bool):
            text = "true"
        elif not equals:
            if not rest:
                raise UsageError(f"flag needs an argument: --{name}")
            text = rest.pop(0)
        values[flag.name.replace("-", "_")] = flag.read(text)
    _check_arguments(command, arguments)
    return values, arguments


def usage(command: Command) -> str:
    """The help of one subcommand."""
    shown = [("-h, --help", f"help for {command.name}")]
    for flag in command.flags:
        short = f"-{flag.short}, " if flag.short else "    "
        default = "" if flag.default in ("", 0, False) else f" (default {_shown(flag.default)})"
        shown.append((f"{short}--{flag.name} {flag.kind}".rstrip(), flag.help + default))
    width = max(len(left) for left, _ in shown) + 3
    arguments = f" {command.arguments}" if command.arguments not in ("", "...") else ""
    lines = [
        f"  {left.ljust(width)}{right}".rstrip() for left, right in sorted(shown, key=lambda pair: pair[0].lstrip("- "))
    ]
    return f"Usage:\n  app {command.name}{arguments} [flags]\n\nFlags:\n" + "\n".join(lines) + "\n"


def complain(error: UsageError) -> int:
    """Says what is wrong, and returns the exit code."""
    sys.stderr.write(f"Error: {error}\n")
    return 1


def _check_arguments(command: Command, arguments: list[str]) -> None:
    if command.arguments == "...":
        return
    if not command.arguments and arguments:
        raise UsageError(f"accepts at most 0 arg(s), received {len(arguments)}")
    if command.arguments and len(arguments) != 1:
        raise UsageError(f"accepts 1 arg(s), received {len(arguments)}")


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
