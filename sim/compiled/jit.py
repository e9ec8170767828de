"""How functions of the kernel are compiled, and how they reach the structures in memory.

Numba knows records, but no pointers to them: :func:`element_of` adds that. A function of the kernel
gets the world (of the portal, or of the offices) and a few elements, each one machine word.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast, get_type_hints

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic

from sim.compiled.structs import Struct, dtype_of

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=Struct)

_WORD = ir.IntType(64)
_PLAIN = {
    int: numba.types.int64,
    float: numba.types.float64,
    bool: numba.types.boolean,
    np.uint64: numba.types.uint64,
}


def kernel(function: F) -> F:
    """Compile a function of the kernel when another first calls it.

    Arithmetic follows IEEE 754 to the bit (nothing is contracted or reordered), and a division by
    zero gives what NumPy gives.
    """
    return _compiled(function, forceinline=False)


def inlined(function: F) -> F:
    """Compile a function of the kernel into each of its callers.

    For what nearly every event passes and few places call. LLVM inlines small functions by itself,
    but cannot know that a larger one has only one caller; and a call costs much, since Numba
    returns values through memory beside a status that the caller looks at.
    """
    return _compiled(function, forceinline=True)


def _compiled(function: F, *, forceinline: bool) -> F:
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    options |= {"error_model": "numpy", "nogil": True, "forceinline": forceinline}
    compiled = numba.njit(**options)(function)
    _call_as_declared(compiled)
    return cast(F, compiled)


def _call_as_declared(compiled: Any) -> None:
    """Let callers convert arguments to the annotated types, as in C.

    Else Numba compiles a function anew for every constant and every width of an argument, which
    takes half as long again.
    """
    of_arguments = compiled.get_call_template

    def get_call_template(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        hints = [
            hint for name, hint in get_type_hints(compiled.py_func).items() if name != "return"
        ]
        declared = [_declared(*pair) for pair in zip(hints, arguments, strict=True)]
        return of_arguments(tuple(declared), keywords)

    compiled.get_call_template = get_call_template


def _declared(hint: Any, argument: Any) -> Any:
    """Return the type an argument is converted to; of a record, its own."""
    return _PLAIN.get(hint, argument)


def element_of(struct: type[S], array: str) -> Callable[[Struct, int], S]:
    """Return a compiled function that gives the element of a world's array by its index.

    Parameters
    ----------
    struct : type of Struct
        What the array is made of.
    array : str
        Field of the world that holds the array's address.
    """
    record = numba.from_dtype(dtype_of(struct))
    size = dtype_of(struct).itemsize

    def address(builder: ir.IRBuilder, offset: int, world: ir.Value, index: ir.Value) -> ir.Value:
        place = builder.add(builder.ptrtoint(world, _WORD), ir.Constant(_WORD, offset))
        first = builder.load(builder.inttoptr(place, ir.PointerType(_WORD)))
        if index.type.width < _WORD.width:
            index = builder.sext(index, _WORD)
        return builder.add(first, builder.mul(index, ir.Constant(_WORD, size)))

    def typed(_: Any, world: Any, index: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, _: Any, values: Any) -> ir.Value:
            at = address(builder, world.offset(array), *values)
            return builder.inttoptr(at, context.get_value_type(record))

        return record(world, index), generate

    return cast(Callable[[Struct, int], S], intrinsic(typed))
