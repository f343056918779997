"""The package's commands: ``python -m ssimlab conformance kornia``."""

from __future__ import annotations

import argparse
import importlib

from ssimlab._command import exit_with

#: Each command, the module whose ``main`` carries it out, and what it does.
COMMANDS = {
    "conformance": ("ssimlab.conformance.command", "try an SSIM function on every known case"),
    "warm": ("ssimlab.kernels.command", "compile the CPU kernel, so that no first call waits"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ssimlab",
        description="\n".join(f"{name:<14}{does}" for name, (_, does) in COMMANDS.items()),
        epilog="python -m ssimlab COMMAND --help says what a command takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    module, _ = COMMANDS[options.command]
    return importlib.import_module(module).main(options.arguments)


if __name__ == "__main__":
    exit_with(main)
