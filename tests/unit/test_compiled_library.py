"""The compiled kernel: loaded when needed, kept for later, and clear about what is wrong."""

import os
import shutil
import subprocess
import sys

import pytest

from sim.compiled import CompiledEngineError
from sim.compiled.library import cache_folder, load_kernel
from sim.compiled.structs import Request, Session, dtype_of

COMPILE = """
from sim.compiled import CompiledEngineError, compile_kernel
try:
    compile_kernel(print)
except CompiledEngineError as error:
    print(error)
"""


def python(code, **environment):
    """Run code in another process; returns what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_importing_the_engine_imports_neither_numba_nor_simpy():
    code = "import sys, sim.compiled; print({'numba', 'simpy', 'llvmlite'} & set(sys.modules))"
    assert python(code) == "set()\n"


def test_the_compiled_engine_needs_no_simpy():
    code = "import sys, sim.compiled.run, sim.compiled.chunks; print('simpy' in sys.modules)"
    assert python(code) == "False\n"


def test_a_kernel_compiled_before_is_loaded_without_a_word():
    load_kernel()
    assert python(COMPILE) == ""


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    said = python(COMPILE, HOSO_CACHE=str(tmp_path / "file" / "folder"))
    assert str(tmp_path / "file" / "folder") in said
    assert "HOSO_CACHE" in said
    assert "--engine simpy" in said


def test_a_damaged_kernel_is_named_with_what_to_do(tmp_path):
    load_kernel()
    name = cache_folder().name
    shutil.copytree(cache_folder(), tmp_path / name)
    for path in (tmp_path / name).rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:100])
    said = python(COMPILE, HOSO_CACHE=str(tmp_path))
    assert "delete that folder" in said
    assert str(tmp_path / name) in said


def test_what_the_compiler_says_is_passed_on(tmp_path, monkeypatch):
    """Here: there is no Python to compile with."""
    monkeypatch.setenv("HOSO_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    load = load_kernel.__wrapped__
    with pytest.raises(CompiledEngineError, match=r"cannot be compiled.*--engine simpy"):
        load()


def test_a_machine_without_numba_is_told_to_use_the_other_engine(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('no Numba for this machine')\n")
    said = python(COMPILE, PYTHONPATH=str(tmp_path))
    assert "no Numba for this machine" in said
    assert "--engine simpy" in said


def test_sessions_and_requests_take_as_much_memory_as_is_said():
    assert dtype_of(Session).itemsize == 64
    assert dtype_of(Request).itemsize == 64
