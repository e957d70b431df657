"""Command groups with a default: `vtdl plot RUN` beside `vtdl plot features F.h5`."""

from typing import Any

from typer.core import TyperGroup


class FirstIsDefault(TyperGroup):
    """A group whose first command may be omitted."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the name of the first command if the arguments begin with none."""
        named = not args or args[0] in {*self.commands, *self.get_help_option_names(ctx)}
        return super().parse_args(ctx, args if named else [next(iter(self.commands)), *args])
