"""The operator's commands: each is imported when it is called, so that `--help` need not wait for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Later(NamedTuple):
    """A command whose module, `workbench.MODULE:NAME`, is imported when it is called.

    NAME is a function, or a Typer with commands of its own. `summary` is what the list of commands says of it.
    """

    where: str
    summary: str
    settings: Mapping[str, Any] = {}

    def stand_in(self) -> None:
        """Stands in the list of commands, and is never called: `Commands` calls the command itself."""
        raise AssertionError(self.where)

    def load(self, name: str) -> Any:
        """The command, under its name."""
        module, attribute = self.where.split(":")
        found = getattr(import_module(f"workbench.{module}"), attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name, context_settings=dict(self.settings))(found)
        return typer.main.get_command(alone)


_TAKES_ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}

COMMANDS = {
    "check": Later("check:check", "Check files by the pipeline's own rules; load nothing."),
    "try-rule": Later("try_rule:try_rule", "What a check would have refused, before it counts."),
    "profile": Later("profile:profile", "Rules that the rows of a table keep, as lines of YAML."),
    "infer": Later("infer:infer", "Propose the YAML of new kinds of files, tried on them."),
    "plan": Later("plan:plan", "What brings the tables to what the YAML says, and what that costs."),
    "apply": Later("plan:apply", "Bring the tables to what the YAML says."),
    "status": Later("status:status", "What needs attention, and whether all is up."),
    "explain": Later("explain:explain", "Where a row came from, or where it waits."),
    "verify": Later("verify:verify", "Recount the books of every file against the tables."),
    "sql": Later("sql_shell:sql", "Run a statement on the warehouse, and show its rows."),
    "psql": Later("sql_shell:psql", "Run psql on the warehouse.", _TAKES_ANYTHING),
    "drift": Later("drift:drift", "Columns that files had and their schemas have not."),
    "adopt": Later("drift:adopt", "Make a kept column one of its type."),
    "undo": Later("repairs:undo", "Take back what one file brought."),
    "reprocess": Later("repairs:reprocess", "Judge a file by today's rules; load what passes now."),
    "erase": Later("repairs:erase", "Blank a person's values, everywhere and for good.", _TAKES_ANYTHING),
    "config": Later("config_check:app", "The configuration."),
    "files": Later("files:app", "What became of the files."),
    "quarantine": Later("quarantine:app", "Refused rows: look at them, mend them, load them, close them."),
}


class Commands(TyperGroup):
    """Those of COMMANDS stand for themselves until one is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first of `args` names, imported by now, and the other arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = COMMANDS[name].load(name)
        return name, command, rest
