"""Sphinx reads this file. `make docs` builds the site into build/docs; every warning is an error."""

import inspect
import re

import click

import ddpm_rt
from ddpm_rt.cli import main

project = "ddpm-rt"
author = "the ddpm-rt contributors"
release = version = ddpm_rt.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
source_suffix = {".md": "markdown"}
smartquotes = False  # would print --option with a dash
html_theme = "furo"
html_title = "ddpm-rt"
html_copy_source = False
html_theme_options = {
    "source_repository": "https://github.com/ddpm-rt/ddpm-rt/",
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_heading_anchors = 4  # a page links to a heading as GitHub does: page.md#a-heading

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
default_role = "literal"  # docstrings write `x` for code, as Markdown does
nitpicky = True
# Types in signatures that the reference does not describe: other projects' (an inventory of theirs would need the
# network), and classes of ours that no caller has to name.
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|np|torch|pathlib|collections|typing|click|onnx)\..*|NDArray|u?int(eger|\d+)|float\d+"),
    ("py:class", r"ddpm_(rt|ref|export)\..*|[A-Z]\w*"),  # a name without a module is imported for types only
]


def show_indented_text_as_written(app, what, name, obj, options, lines):
    """Put paragraphs that a docstring lays out by hand, such as equations, into literal blocks.

    Docstrings are plain text, not reStructuredText: in a paragraph with lines of unequal indentation, the line breaks
    mean something.
    """
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    lines[:] = "\n\n".join(map(_as_written, paragraphs)).split("\n")


def _as_written(paragraph):
    lines = paragraph.split("\n")
    indents = {len(line) - len(line.lstrip()) for line in lines}
    if len(indents) == 1 and indents != {0}:
        return "::\n\n" + paragraph
    if len(indents) > 1 and not lines[0].lstrip().startswith((">>>", "- ", "* ", "::")):
        return "::\n\n" + "\n".join(f"    {line}" for line in lines)
    return paragraph if lines[0].startswith(">>>") else _escaped(paragraph)


def _escaped(text):
    return re.sub(r"(?<!`)\|(?!`)", r"\\|", text)  # reStructuredText reads |x| as a substitution


FIELD = re.compile(r"    (?P<name>[a-z]\w*): .*?  # (?P<comment>.+)")


def show_comments_on_fields(app, what, name, obj, options, lines):
    """List the fields of a data class or named tuple with the comments that stand behind them in the source."""
    if what != "class" or not hasattr(obj, "__annotations__"):
        return
    classes = [parent for parent in obj.__mro__[::-1] if parent.__module__.startswith("ddpm_")]
    fields = [field for parent in classes for line in _source(parent) if (field := FIELD.fullmatch(line))]
    lines += [f":param {field['name']}: {_escaped(field['comment'])}" for field in fields]


def _source(kind):
    try:
        return inspect.getsource(kind).split("\n")
    except (OSError, TypeError):  # made by a decorator, not written
        return []


ARRAY = re.compile(r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[~?(?:numpy\.)?(\w+)\]\]")


def shorten_arrays(app, what, name, obj, options, signature, returns):
    """Write `NDArray[float32]`, as the source does; autodoc expands the alias."""
    return tuple(text and ARRAY.sub(r"NDArray[\1]", text) for text in (signature, returns))


def escape_help(app, context, lines):
    """Help texts are plain text as well."""
    lines[:] = map(_escaped, lines)


def load_verbs():
    """Put every verb into the group: sphinx-click lists what is there, and most verbs are loaded when called."""
    context = click.Context(main)
    for verb in main.list_commands(context):
        main.add_command(main.get_command(context, verb), verb)


def setup(app):
    load_verbs()
    app.connect("sphinx-click-process-options", escape_help)
    app.connect("autodoc-process-signature", shorten_arrays)
    app.connect("autodoc-process-docstring", show_indented_text_as_written)
    app.connect("autodoc-process-docstring", show_comments_on_fields)
