"""What `polycast recipes` shows: every recipe and architecture, or all options of one."""

from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_contracts.loading import example_files
from data_contracts.recipes import architecture_names, ready_made, recipe_model, unknown
from data_contracts.recipes.brought import RecipeFault, brought, packages
from data_contracts.recipes.options import REQUIRED, Group, about_ready_made, groups, one_line

INDENT = "  "
OPTION, VALUE = 19, 14
"""The widths of the first two columns of options, alike in every group."""


def show_recipes(console: Console) -> None:
    """Print every ready-made recipe and every architecture, a line each."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("ready-made", no_wrap=True, style="bold")
    table.add_column("what it is", overflow="fold")
    for name, about in about_ready_made().items():
        table.add_row(name, Text(about))
    console.print(table)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("architecture", no_wrap=True, style="bold")
    table.add_column("what it is", overflow="fold")
    for name in architecture_names():
        table.add_row(name, _about(name))
    console.print(table)
    console.print("polycast recipes NAME   shows all its options, and how a contract names it")


def _about(name: str) -> Text:
    """Return what an architecture is, or why it cannot be used."""
    try:
        about = Text(one_line(recipe_model(name).__doc__))
    except RecipeFault as fault:
        return Text(str(fault), style="red")
    return about.append(f" (from {packages(name)})" if name in brought() else "", "dim")


def show_recipe(console: Console, name: str) -> None:
    """Print all options of an architecture or a ready-made recipe, and how it is used.

    Raises RecipeFault for a name that nobody has and for one that cannot be used.
    """
    known = [*ready_made(), *architecture_names()]
    if name not in known:
        raise RecipeFault(unknown(name, known))
    values = ready_made().get(name, {})
    model = recipe_model(values.get("architecture", name))
    about = about_ready_made().get(name) or " ".join((model.__doc__ or "").split())
    console.print(Text.assemble((name, "bold"), "  ", about))
    if values:
        console.print(Text.assemble("architecture  ", values["architecture"], style="dim"))
    found = groups(model)
    _show_use(console, name, found)
    head = f"{INDENT}{'option':<{OPTION}}{'value' if values else 'default':<{VALUE + 2}}"
    console.print(f"{head}what it may be, and what it does", style="dim")
    for group in found:
        console.print(_table(group, {} if group.of else values))
        console.print()
    _show_example(console, values.get("architecture", name))


def _show_use(console: Console, name: str, found: list[Group]) -> None:
    """Print three lines of a contract that name the recipe and set one option."""
    if name in ready_made():
        use: dict[str, Any] = {"base": name, "epochs": 50}
    else:
        use = {"architecture": name}
        options = [o for group in found for o in group.options]
        first = [o for o in options if o.default is not REQUIRED and o.default not in (None, [])]
        use |= {o.name: "…" for o in options if o.default is REQUIRED} or {
            first[0].name: first[0].default
        }
    console.print("\nIn a contract", style="bold")
    lines = [f"{key}: {_yaml(value)}" for key, value in use.items()]
    console.print(f"{INDENT}recipe:", markup=False)
    for line in lines:
        console.print(f"{INDENT * 2}{line}", markup=False, soft_wrap=True)
    if name in ready_made():
        console.print(f"{INDENT}or, as it is, recipe: {name}", style="dim", markup=False)
    console.print()


def _table(group: Group, values: dict[str, Any]) -> Table:
    """Return a group's options: name, default or the recipe's own value, types and meaning."""
    title = Text(group.title, style="bold")
    table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, min_width=OPTION)
    table.add_column(min_width=VALUE, max_width=VALUE)
    table.add_column(overflow="fold", ratio=1)
    for option in group.options:
        set_here = option.name in values
        value = values[option.name] if set_here else option.default
        shown = Text(_yaml(value), style="bold" if set_here else "")
        about = Text.assemble((option.takes, "cyan"), "\n", option.meaning)
        table.add_row(f"{INDENT}{option.name}", shown, about)
    return table


def _yaml(value: Any) -> str:
    """Return a value as it is written in a contract; a dash for none."""
    if value is REQUIRED:
        return "required"
    if value is None:
        return "–"
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000)
    return text.removesuffix("...\n").strip()


def _show_example(console: Console, architecture: str) -> None:
    file: Path | None = example_files().get(f"example_{architecture}")
    if file is None:
        return
    console.print("A whole contract with it", style="bold")
    console.print(f"{INDENT}{file}", markup=False, soft_wrap=True)
    console.print(f"{INDENT}polycast retrain example_{architecture}", markup=False)
