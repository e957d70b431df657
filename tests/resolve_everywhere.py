"""Whether all dependencies have wheels on each platform and Python: `python tests/resolve_everywhere.py`.

Needs the network and uv (`pip install uv`), so that it runs by hand, not with the tests. uv evaluates the markers of
each platform, which `pip download --platform` does not. Nothing is installed.
"""

import os
import subprocess
import sys
from pathlib import Path

PLATFORMS = {
    "linux x86-64": "x86_64-manylinux_2_28",
    "linux aarch64": "aarch64-manylinux_2_28",
    "macOS arm64": "aarch64-apple-darwin",
    "windows x86-64": "x86_64-pc-windows-msvc",
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACOS = "14.0"  # the oldest that torch's wheels are for
SHOWN = ("torch", "torchvision", "av", "decord", "h5py", "numpy", "scipy", "scikit-learn")
ROOT = Path(__file__).parent.parent


def resolve(platform: str, python: str, extras: list[str]) -> tuple[bool, str]:
    """Whether wheels alone satisfy pyproject.toml there, and the main versions or the reason why not."""
    options = [f"--python-platform={platform}", f"--python-version={python}", "--only-binary=:all:"]
    quiet = ["--quiet", "--no-header", "--no-annotate", *(f"--extra={extra}" for extra in extras)]
    done = subprocess.run(
        ["uv", "pip", "compile", "pyproject.toml", *options, *quiet],
        cwd=ROOT,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return False, " ".join(done.stderr.split())
    versions = dict(line.split("==") for line in done.stdout.splitlines() if "==" in line)
    return True, ", ".join(f"{name} {versions[name].split(' ')[0]}" for name in SHOWN if name in versions)


def main() -> None:
    failures = 0
    for name, platform in PLATFORMS.items():
        for python in PYTHONS:
            resolves, text = resolve(platform, python, sys.argv[1:])
            failures += not resolves
            print(f"{'ok  ' if resolves else 'FAIL'}  {name}, Python {python}: {text}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
