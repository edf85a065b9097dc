"""Puts the page, web/ and a few files of its libraries, into the wheel as server/page/. All else: pyproject.toml."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WEB = Path("web")
PAGE = ("index.html", "favicon.svg", "css", "js")


class BuildWithPage(build_py):
    """Copies the page beside the server, unless the installation is editable and serves web/ itself."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_page(Path(self.build_lib) / "server" / "page")

    def copy_page(self, target: Path) -> None:
        """Page, libraries and their licences; what is not installed is left out, and told."""
        shutil.rmtree(target, ignore_errors=True)
        for name in PAGE:
            for path in sorted(p for p in [WEB / name, *(WEB / name).rglob("*")] if p.is_file()):
                self.put(path, target / path.relative_to(WEB))
        for file in map(Path, runpy.run_path("server/vendor.py")["VENDOR"].values()):
            package = WEB / "node_modules" / file.parts[0]
            found = [WEB / "node_modules" / file, *package.glob("LICENSE*")]
            if not found[0].is_file():
                print(f"warning: {found[0]} is left out: run npm ci in web/ before building", file=sys.stderr)
                continue
            for path in found:
                self.put(path, target / path.relative_to(WEB))

    def put(self, source: Path, target: Path) -> None:
        """Copy one file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithPage})
