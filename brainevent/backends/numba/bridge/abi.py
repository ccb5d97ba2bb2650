"""The XLA FFI calling convention as numba handlers use it: layout check, data type codes, and the source text of a handler."""

import hashlib
import re
from functools import cache
from pathlib import Path

import jax
import jaxlib.version

__all__ = ["CALL_FRAME_SIZE", "DTYPE_CODES", "INTERNAL_FAILURES", "api_version", "api_word", "handler_source", "jobs_source"]

CALL_FRAME_SIZE = 168  # bytes up to and including `attrs`: 21 words
_DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPE_CODES = {**{name: code for code, name in enumerate(_DTYPES, 1)}, "float16": 10, "float32": 11, "float64": 12}  # XLA_FFI_DataType
AS_WORDS = {"bool": "uint8", "float16": "uint16"}  # how kernels see what numba has no arrays of on a CPU

HEAD = 2  # operands of a call of many jobs before those of the jobs
EXCEPTION, MISMATCH = -1, -2
INTERNAL_FAILURES = {
    EXCEPTION: "the kernel raised an exception (out of memory, or an assertion of its own)",
    MISMATCH: "the buffers XLA passed are not of the number, data types and ranks the handler was compiled for: "
    "this is a bug in brainevent, or a jaxlib with another call frame",
}

_HEAD = ("size_t struct_size", "* extension_start")
_LAYOUT = {  # the structs the handlers read, and whether later jaxlibs may append fields without moving the ones read here
    "XLA_FFI_Extension_Base|XLA_FFI_InternalExtension": (("size_t struct_size", "XLA_FFI_(Internal)?Extension_Type type", "* next"), False),
    "XLA_FFI_Api_Version": ((*_HEAD, "int major_version", "int minor_version"), False),
    "XLA_FFI_Buffer": ((*_HEAD, "XLA_FFI_DataType dtype", "* data", "int64_t rank", "* dims"), True),
    "XLA_FFI_Args": ((*_HEAD, "int64_t size", "* types", "* args"), False),
    "XLA_FFI_Rets": ((*_HEAD, "int64_t size", "* types", "* rets"), False),
    "XLA_FFI_CallFrame": (
        (*_HEAD, "* api", "* ctx", "XLA_FFI_ExecutionStage stage", "XLA_FFI_Args args", "XLA_FFI_Rets rets", "XLA_FFI_Attrs attrs"), True,
    ),
    "XLA_FFI_Error_Create_Args": ((*_HEAD, "* message", "XLA_FFI_Error_Code errc"), True),
    "XLA_FFI_Error_Destroy_Args": ((*_HEAD, "* error"), True),
    "XLA_FFI_ThreadPool_Schedule_Args": ((*_HEAD, "* ctx", "* task", "* data"), True),
    "XLA_FFI_Metadata": (("size_t struct_size", "XLA_FFI_Api_Version api_version"), True),
    "XLA_FFI_Metadata_Extension": (("XLA_FFI_(Extension_Base|InternalExtension) extension_base", "* metadata"), True),
    "XLA_FFI_Api": ((*_HEAD, "XLA_FFI_Api_Version api_version", "* internal_api", "_XLA_FFI_API_STRUCT_FIELD(XLA_FFI_Error_Create)"), True),
}  # fmt: skip
"""{name of the struct: (its fields, may grow)}: names are alternatives of what jaxlib has called it, a pointer is one to anything."""


@cache
def api_version():
    """(major, minor) of the XLA FFI API of the installed jaxlib, read from its header once its structs are found to be as expected.

    Raises RuntimeError, naming the jaxlib and the struct, if the header is missing or a struct is laid out otherwise.
    """
    path = _header()
    try:
        return _version_in(path.read_text())
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"the numba backend does not know the XLA FFI of the installed jaxlib {jaxlib.version.__version__}: {error} "
            f"(read from {path}). Use the xla backend, or a jaxlib that this brainevent supports."
        ) from error


def _header():
    return Path(jax.ffi.include_dir()) / "xla/ffi/api/c_api.h"


@cache
def api_word(name):
    """At which word of the table of XLA's functions the address of one stands."""
    body = re.search(r"struct XLA_FFI_Api \{(.*?)\}", _header().read_text(), re.DOTALL)
    functions = re.findall(r"_XLA_FFI_API_STRUCT_FIELD\((\w+)\)", body[1] if body else "")
    if name not in functions:
        raise RuntimeError(f"the installed jaxlib {jaxlib.version.__version__} has no {name}")
    return 6 + functions.index(name)  # after its size, extensions, version and internals


def _version_in(header):
    """(major, minor) from the text of c_api.h; ValueError if a struct differs from `_LAYOUT`."""
    code = re.sub(r"//[^\n]*", "", header)
    for struct, (expected, may_grow) in _LAYOUT.items():
        body = re.search(rf"struct (?:{struct}) \{{(.*?)\}}", code, re.DOTALL)
        fields = tuple(_field(text) for text in body[1].split(";") if text.strip()) if body else ()
        alike = len(fields) >= len(expected) if may_grow else len(fields) == len(expected)
        if not (alike and all(_same(*pair) for pair in zip(fields, expected))):
            raise ValueError(f"struct {struct} has the fields {fields}, expected {expected}")
    numbers = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", code))
    if len(numbers) != 2:
        raise ValueError("it defines no XLA_FFI_API_MAJOR and XLA_FFI_API_MINOR")
    return int(numbers["MAJOR"]), int(numbers["MINOR"])


def _field(text):
    """A declaration in one line; of a pointer only that it is one, and its name."""
    return re.sub(r"^[^*]*\*+", "*", " ".join(text.split()))


def _same(field, expected):
    return field == expected or re.fullmatch(expected.replace("*", r"\*"), field) is not None


def handler_source(name, kernel_line, operands, results, failures):
    """Python text of a module with a function `handle(call)`, to be compiled by numba as an XLA FFI handler.

    Arguments: name, the kernel as errors call it; kernel_line, the statement that binds `kernel` ("" if the caller does);
    operands, a nested tuple of "dtype:rank" and None; results, a flat tuple of "dtype:rank"; failures, {status: text}.
    """
    leaves = tuple(_leaves(operands))
    numbers = iter(range(len(leaves) + len(results)))
    arguments = [_argument(part, numbers) for part in (*operands, *results)]
    return "\n".join([
        f'"""XLA FFI handler of {name}, written by brainevent.backends.numba.bridge.abi."""',
        "from brainevent.backends.numba.bridge import call_frame as abi",
        kernel_line,
        "null, status_of = abi.null, abi.status_of",
        f"answers_probe = abi.probe_of{api_version()}",
        f"differs, array = abi.readers_of({leaves!r}, {results!r})",
        f"failure = abi.failure_of({name!r}, { {**INTERNAL_FAILURES, **failures}!r})",
        "",
        "def handle(call):",
        "    if answers_probe(call):",
        "        return null()",
        "    if differs(call):",
        f"        return failure(call, {MISMATCH})",
        f"    status = status_of(kernel, ({', '.join(arguments)},))",
        "    if status == 0:",
        "        return null()",
        "    return failure(call, status)",
        "",
    ])  # fmt: skip


def jobs_source(name, kernel_lines, target, own, operands, failures, threaded):
    """The same for a kernel that one call runs for many jobs: `kernel_lines` bind `kernel` and `work`, which is what a job of it takes.

    Arguments: target and own, "dtype:rank" of what a job updates in place, shared with other jobs and its own (or None); operands, of each
    job; threaded, whether jobs that share no target may run beside each other.
    """
    leaves, numbers = tuple(_leaves(operands)), iter(range(1 << 30))
    arguments = ", ".join(
        ["target", "own", *(_argument(part, numbers, "at{0}(call, 0, first + {0})") for part in operands), "target", "own"]
    )
    unique = hashlib.sha256(repr((name, target, own, operands, threaded)).encode()).hexdigest()[:24]
    frame = [
        "    whose, made = order_of(call, 0, 0), count(call, 1)",
        f"    first = {HEAD} + made + k * {len(leaves)}",
        "    target, own = target_at(call, 1, whose[k]), own_at(call, 1, made - whose.shape[0] + k)",
    ]
    return "\n".join([
        f'"""XLA FFI handler of many jobs of {name}, written by brainevent.backends.numba.bridge.abi."""',
        "from brainevent.backends.numba.bridge import call_frame as abi, job_frame as jobs",
        kernel_lines,
        "null, status_of, call_of, count, order_of = abi.null, abi.status_of, jobs.call_of, jobs.count, jobs.order_of",
        f"answers_probe = abi.probe_of{api_version()}",
        f"differs = jobs.differs_of({unique!r}, {target!r}, {own!r}, {leaves!r})",
        f"target_at, own_at = jobs.reader({target!r}), jobs.reader({own!r})",
        *(f"at{j} = jobs.reader({leaf!r})" for j, leaf in enumerate(leaves)),
        f"failure = abi.failure_of({name!r}, { {**INTERNAL_FAILURES, **failures}!r})",
        "",
        f"def job_{unique}(call, k):",
        *frame,
        f"    return status_of(kernel, ({arguments},))",
        "",
        f"def work_{unique}(call, k):",
        *frame,
        f"    return status_of(work, ({arguments},))",
        "",
        f"run = jobs.runner_of({unique!r}, abi.njit(job_{unique}), abi.njit(work_{unique}), {threaded})",
        "",
        "def handle(pointer):",
        "    if answers_probe(pointer):",
        "        return null()",
        "    call = call_of(pointer)",
        "    if differs(call):",
        f"        return failure(pointer, {MISMATCH})",
        "    status = run(call)",
        "    if status == 0:",
        "        return null()",
        "    return failure(pointer, status)",
        "",
    ])  # fmt: skip


def _leaves(operand):
    """The "dtype:rank" of a nested tuple, left to right."""
    if isinstance(operand, tuple):
        for part in operand:
            yield from _leaves(part)
    elif operand is not None:
        yield operand


def _argument(operand, numbers, array="array(call, {})"):
    """The expression that rebuilds one operand from the buffers, taken in order."""
    if isinstance(operand, tuple):
        return "(" + "".join(_argument(part, numbers, array) + ", " for part in operand) + ")"
    return "None" if operand is None else array.format(next(numbers))
