"""Groups of commands of which the first may go unnamed: `vtdl plot RUN` beside `vtdl plot features F.h5`."""

from typing import Any

from typer.core import TyperGroup


class FirstIsDefault(TyperGroup):
    """Takes what names none of its commands for arguments of the first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the first command's name before arguments that begin with no other's."""
        named = not args or args[0] in {*self.commands, *self.get_help_option_names(ctx)}
        return super().parse_args(ctx, args if named else [next(iter(self.commands)), *args])
