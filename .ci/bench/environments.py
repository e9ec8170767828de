"""Python environments of peers, made once beside the project's own and never part of it."""

import shutil
import subprocess
import sys
from pathlib import Path

ASYNCFLOW = "asyncflow-sim==0.1.1"
ASYNCFLOW_PYTHONS = ("python3.12", "python3.13", "python3.14")
SALABIM = "salabim==26.0.9"


def asyncflow_python() -> str | None:
    """Return a Python with AsyncFlow, which needs 3.12; None where there is none."""
    return _python_with("asyncflow", ASYNCFLOW, ASYNCFLOW_PYTHONS)


def salabim_python() -> str | None:
    """Return a Python with salabim; None where it cannot be installed."""
    return _python_with("salabim", SALABIM, (sys.executable,))


def _python_with(package: str, requirement: str, bases: tuple[str, ...]) -> str | None:
    folder = Path(".venv") / package
    python = folder / "bin" / "python"
    if python.exists() and _has(python, package):
        return str(python)
    base = next((found for base in bases if (found := _working(base))), None)
    if base is None:
        return None
    subprocess.run([base, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "-q", requirement]
    done = subprocess.run(install, capture_output=True, check=False)
    return str(python) if done.returncode == 0 else None


def _has(python: Path, package: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([str(python), "-c", code], check=False).returncode == 0


def _working(name: str) -> str | None:
    """Return the path of an interpreter that runs, not of a launcher that refuses."""
    path = shutil.which(name)
    if path is None:
        return None
    done = subprocess.run([path, "-c", ""], capture_output=True, check=False)
    return path if done.returncode == 0 else None
