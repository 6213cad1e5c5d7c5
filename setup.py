"""Wheels carry the workflow in the package, so that `truthward new-study` can lay it down without a checkout.

All else is in pyproject.toml.
"""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "src"))
from truthward.run import workflow  # noqa: E402


class BuildWithWorkflow(build_py):
    """Copies the workflow beside the modules; an editable install uses that of the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            workflow.copy(ROOT, Path(self.build_lib) / "truthward" / workflow.CARRIED)


setup(cmdclass={"build_py": BuildWithWorkflow})
