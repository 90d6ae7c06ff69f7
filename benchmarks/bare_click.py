"""A click command with as many options and commands as dsjobs, all of them empty."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, help="Show the version.")
def cli(version: bool) -> None:
    """Do nothing, in as many words."""


for name in ("init", "validate", "plan", "apply", "status", "serve", "open", "doctor", "schema"):
    cli.add_command(click.Command(name, short_help=f"The command {name}, which does nothing at all."))

if __name__ == "__main__":
    cli()
