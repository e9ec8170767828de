"""The compiled kernels: loaded when needed, kept for later, and clear about what is wrong."""

import os
import shutil
import subprocess
import sys

import pytest

from sim.compiled import CompiledEngineError
from sim.compiled.library import OFFICES, PORTAL, cache_folder, load_kernel
from sim.compiled.offices.structs import Dossier
from sim.compiled.structs import Request, Session, dtype_of

COMPILE = """
from sim.compiled import CompiledEngineError
from {package} import compile_kernel
try:
    compile_kernel(print)
except CompiledEngineError as error:
    print(error)
"""

both_kernels = pytest.mark.parametrize("source", [PORTAL, OFFICES], ids=["portal", "offices"])


def python(code, **environment):
    """Run code in another process; returns what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@both_kernels
def test_importing_the_engine_imports_neither_numba_nor_simpy(source):
    heavy = "{'numba', 'simpy', 'llvmlite'}"
    code = f"import sys, {source.package}; print({heavy} & set(sys.modules))"
    assert python(code) == "set()\n"


@pytest.mark.parametrize("module", ["run", "chunks", "offices.run"])
def test_the_compiled_engine_needs_no_simpy(module):
    code = f"import sys, sim.compiled.{module}; print('simpy' in sys.modules)"
    assert python(code) == "False\n"


def test_the_portal_alone_does_not_load_the_kernel_of_the_offices():
    load_kernel()
    code = (
        "import sys, sim.compiled; sim.compiled.compile_kernel()\n"
        "print([name for name in sys.modules if name.startswith('sim.compiled.offices.')])"
    )
    assert python(code) == "[]\n"


@both_kernels
def test_a_kernel_compiled_before_is_loaded_without_a_word(source):
    load_kernel(source)
    assert python(COMPILE.format(package=source.package)) == ""


@both_kernels
def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(source, tmp_path):
    (tmp_path / "file").touch()
    said = python(
        COMPILE.format(package=source.package), HOSO_CACHE=str(tmp_path / "file" / "folder")
    )
    assert str(tmp_path / "file" / "folder") in said
    assert "HOSO_CACHE" in said
    assert "--engine simpy" in said


@both_kernels
def test_a_damaged_kernel_is_named_with_what_to_do(source, tmp_path):
    load_kernel(source)
    name = cache_folder(source).name
    shutil.copytree(cache_folder(source), tmp_path / name)
    for path in (tmp_path / name).rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:100])
    said = python(COMPILE.format(package=source.package), HOSO_CACHE=str(tmp_path))
    assert "delete that folder" in said
    assert str(tmp_path / name) in said


@both_kernels
def test_what_the_compiler_says_is_passed_on(source, tmp_path, monkeypatch):
    """Here: there is no Python to compile with."""
    monkeypatch.setenv("HOSO_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    load = load_kernel.__wrapped__
    with pytest.raises(CompiledEngineError, match=r"cannot be compiled.*--engine simpy"):
        load(source)


@both_kernels
def test_a_machine_without_numba_is_told_to_use_the_other_engine(source, tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('no Numba for this machine')\n")
    said = python(COMPILE.format(package=source.package), PYTHONPATH=str(tmp_path))
    assert "no Numba for this machine" in said
    assert "--engine simpy" in said


def test_sessions_and_requests_take_as_much_memory_as_is_said():
    assert dtype_of(Session).itemsize == 64
    assert dtype_of(Request).itemsize == 64


def test_a_dossier_lies_in_two_lines_of_the_cache():
    assert dtype_of(Dossier).itemsize == 128
