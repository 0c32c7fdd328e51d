"""Imports go down only; the contracts stand in pyproject.toml, with their reasons."""

import subprocess
import sys


def test_imports_keep_every_contract(root):
    # Started by name of the module's function: the script of that name may belong to another
    # environment. It looks at the checkout, whichever Burrow is installed.
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"

    checked = subprocess.run(
        [sys.executable, "-c", code, "--verbose", "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
