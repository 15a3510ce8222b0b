"""The typed model -> the text that `iptables-save` prints, which `iptables-restore` reads.

Reproduces the words of iptables 1.8: order of conditions, quoting, and its double space before the name of an nfacct
object. Changing rules into their canonical form is left to `canonical`.
"""

from __future__ import annotations

import re

from .model import Chain, Condition, Counters, Match, Option, Rule, Ruleset, Table, Target

# Models xtables_save_string: any other character makes iptables quote the whole word.
_PLAIN_STRING = re.compile(r"[-_0-9A-Za-z]+")
_PLAIN_WORD = re.compile(r"[^\s\"'\\]+")
_SPECIAL = re.compile(r"([\"'\\])")
_STRING_OPTIONS = frozenset({"--comment", "--nfacct-name", "--log-prefix", "--string"})


def render(ruleset: Ruleset, *, counters: bool | None = None) -> str:
    """The text of `iptables-save`; parsing it again gives the same Ruleset.

    With `counters` every rule shows them (`-c`), with False none does; otherwise those that came with some.
    """
    lines: list[str] = []
    for table in ruleset.tables.values():
        lines += table.header
        lines += render_table(table, counters=counters)
    lines += ruleset.footer
    return "".join(line + "\n" for line in lines)


def render_table(table: Table, *, counters: bool | None = None) -> list[str]:
    """The lines of one table, from `*name` to `COMMIT`."""
    lines = [f"*{table.name}"]
    lines += [render_chain_line(chain) for chain in table.chains.values()]
    for chain in table.chains.values():
        for rule in chain.rules:
            shown = rule.counters is not None if counters is None else counters
            prefix = _counters(rule.counters or Counters()) + " " if shown else ""
            lines.append(f"{prefix}-A {chain.name}{render_rule(rule)}")
    lines.append("COMMIT")
    return lines


def render_chain_line(chain: Chain) -> str:
    """`:NAME POLICY [packets:bytes]`."""
    return f":{chain.name} {chain.policy or '-'} {_counters(chain.counters)}"


def render_rule(rule: Rule) -> str:
    """What stands after `-A CHAIN`, with a space before each word."""
    text = ""
    if rule.source is not None:
        text += _condition("-s", rule.source)
    if rule.destination is not None:
        text += _condition("-d", rule.destination)
    if rule.in_interface is not None:
        text += _condition("-i", rule.in_interface)
    if rule.out_interface is not None:
        text += _condition("-o", rule.out_interface)
    if rule.protocol is not None:
        text += _condition("-p", rule.protocol)
    if rule.fragment is not None:
        text += " ! -f" if rule.fragment.negated else " -f"
    for match in rule.matches:
        text += render_match(match)
    return text + render_target(rule.target) if rule.target is not None else text


def render_match(match: Match) -> str:
    """` -m NAME --option value`."""
    text = f" -m {match.name}"
    for option in match.options:
        text += _option(option)
    return text


def render_target(target: Target) -> str:
    """` -j NAME --option value`."""
    text = f" {'-g' if target.goto else '-j'} {target.name}"
    for option in target.options:
        text += _option(option)
    return text


def _counters(counters: Counters) -> str:
    return f"[{counters.packets}:{counters.bytes}]"


def _condition(option: str, condition: Condition) -> str:
    return f" ! {option} {condition.value}" if condition.negated else f" {option} {condition.value}"


def _option(option: Option) -> str:
    text = f" ! {option.name}" if option.negated else f" {option.name}"
    # libxt_nfacct prints a space of its own before a string that brings one already.
    gap = "  " if option.name == "--nfacct-name" else " "
    plain = _PLAIN_STRING if option.name in _STRING_OPTIONS else _PLAIN_WORD
    for value in option.values:
        text += gap + (value if plain.fullmatch(value) else '"' + _SPECIAL.sub(r"\\\1", value) + '"')
    return text
