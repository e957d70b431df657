"""What to type for an option that does not exist: a setting of the preset, or a path that begins with a dash."""

import shlex
from pathlib import Path
from typing import Any

WORDS = "words"
"""The key of the command line in the contexts of all commands."""


def describe_unknown_option(error: Any) -> str:
    """Say what to type for a setting or a path that was taken for an option; empty for everything else."""
    option, context = getattr(error, "option_name", ""), getattr(error, "ctx", None)
    if not option or context is None:
        return ""
    words: list[str] = context.meta[WORDS]
    for place, word in enumerate(words):
        if _looks_like_path(word) and word.startswith(option):
            hint = f"If it is a path: ./{word}, or -- before it"
            return f"argument '{word}' begins with a dash, and is taken for options. {hint}"
        name, equals, value = word.partition("=")
        if name == option:
            return _describe_setting(context, option, value if equals else "".join(words[place + 1 : place + 2]))
    return ""


def _looks_like_path(word: str) -> bool:
    return not word.startswith("--") and ("/" in word or bool(Path(word).suffix))


def _describe_setting(context: Any, option: str, value: str) -> str:
    """Say how to change the setting that `option` is called after, in the section of the command; else empty."""
    if not any("--set" in parameter.opts for parameter in context.command.params):
        return ""
    from vtdl_cli.setting_keys import keys_named

    command = context.command.name
    keys = keys_named(option.lstrip("-").replace("-", "_"))
    of_command = [key for key in keys if key.partition(".")[0] in (command, "data", "model", "method")]
    if not of_command:
        return ""
    value = "..." if not value or value.startswith("--") else value
    typed = f"--set {shlex.quote(f'{of_command[0]}={value}')}"
    return f"option '{option}' is not one of vtdl {command}, but a setting of the preset. Type {typed}"
