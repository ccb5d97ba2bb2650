"""Every Triton kernel compiles for the GPUs that it is meant for, without one, within its bounds of registers and shared memory."""

import os
import re
import subprocess

import pytest

if os.environ.get("TRITON_INTERPRET", "0") == "1":
    pytest.skip("interpreted: nothing is compiled", allow_module_level=True)
triton = pytest.importorskip("triton", reason="triton compiles for a GPU anywhere, once it is installed")

from triton import language as tl  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from brainevent.backends.triton.kernels import compressed, coo, jitc, spikes, steps, sums  # noqa: E402
from brainevent.backends.triton.network import WARPS  # noqa: E402
from brainevent.core.launch import BLOCKS  # noqa: E402

CAPABILITIES = (80, 90, 100)  # A100, H100, B200
WIDE = {"fp32": tl.float32, "fp64": tl.float64, "bf16": tl.float32, "fp16": tl.float32}


def stored(w: str, *, event: bool, homo=False, fixed=False, what=0, columns=1):
    """Types of the arrays and constants of a product of a stored format."""
    types = {"x": "*i1" if event else f"*{w}", "w": f"*{w}", "out": f"*{w}"}
    constants = {"EVENT": event, "HOMO": homo, "FIXED": fixed, "T": 128 // columns, "C": columns}
    passing = {"PASS": what, "SHIFT": 30 if w == "fp64" else 40, "WORDS": 2 if w == "fp64" else 1}
    return types, constants, passing


def scattering(kernel, w, *, later=False, **options):
    types, constants, passing = stored(w, **options)
    extra = {"B": 128, "LATER": later} if kernel is compressed.scatter else {}
    left_out = () if kernel is compressed.scatter else ("FIXED",)
    return kernel, types | {"out": "*i32", "delays": "*u8"}, {k: v for k, v in (constants | passing | extra).items() if k not in left_out}


def drawing(kernel, w, kind, **options):
    types = dict.fromkeys(("x", "w", "fold", "left", "right", "out"), f"*{w}")
    constants = {"KIND": kind, "FOLD": kind == 2, "HOLE": True, "BITS": 8, "NB": 64, "WIDE": WIDE[w], "C": 1} | options
    return kernel, types | ({"out": "*i32"} if kernel is jitc.scatter else {}), constants


# name: (kernel, types of the arrays that are not int32, constants, registers at most, bytes of shared memory at most)
TABLE = {
    "scatter, counted": (*scattering(compressed.scatter, "fp32", event=True, homo=True), 40, 1 << 10),
    "scatter, the largest": (*scattering(compressed.scatter, "fp32", event=True, what=1), 48, 1 << 10),
    "scatter, summed": (*scattering(compressed.scatter, "fp32", event=True, what=2), 48, 1 << 10),
    "scatter, lines of one length": (*scattering(compressed.scatter, "fp32", event=True, what=2, fixed=True), 48, 1 << 10),
    "scatter, later": (*scattering(compressed.scatter, "fp32", event=True, what=2, later=True), 48, 1 << 10),
    "scatter, float64": (*scattering(compressed.scatter, "fp64", event=False, what=2), 64, 1 << 10),
    "scatter, bfloat16": (*scattering(compressed.scatter, "bf16", event=False, what=2), 48, 1 << 10),
    "scatter, float16": (*scattering(compressed.scatter, "fp16", event=False, what=2), 48, 1 << 10),
    "scatter, 16 columns": (*scattering(compressed.scatter, "fp32", event=False, what=2, columns=16), 128, 4 << 10),
    "pairs, counted": (*scattering(coo.pairs, "fp32", event=True, homo=True), 40, 1 << 10),
    "pairs, summed": (*scattering(coo.pairs, "fp32", event=False, what=2), 48, 1 << 10),
    "pairs, float64": (*scattering(coo.pairs, "fp64", event=False, what=2, columns=16), 128, 4 << 10),
    "gather": (compressed.gather, *stored("fp32", event=True)[:2], 48, 1 << 10),
    "gather, bfloat16": (compressed.gather, *stored("bf16", event=False)[:2], 48, 1 << 10),
    "gather, 16 columns": (compressed.gather, *stored("fp64", event=False, columns=16)[:2], 64, 4 << 10),
    "outer": (compressed.outer, {"left": "*fp32", "right": "*fp32", "out": "*fp32"}, {"FIXED": False, "T": 128, "C": 1}, 48, 1 << 10),
    "ends": (coo.ends, {"left": "*fp64", "right": "*fp64", "out": "*fp64"}, {"T": 128, "C": 1}, 48, 1 << 10),
    "settle": (sums.settle, {"out": "*bf16"}, {"SHIFT": 40, "WORDS": 1, "B": 1024}, 64, 1 << 10),
    "settle, two words": (sums.settle, {"out": "*fp64"}, {"SHIFT": 30, "WORDS": 2, "B": 1024}, 64, 1 << 10),
    **{
        f"drawn {kind}, {w}: {kernel.fn.__name__}": (*drawing(kernel, w, kind, **options), registers, 4 << 10)
        for kind in (0, 1, 2)
        for w in ("fp32", "fp64")
        for kernel, options, registers in (
            (jitc.scatter, {"PASS": 2 if kind else 0, "SHIFT": 40, "WORDS": 2 if w == "fp64" else 1, "B": 32}, 64),
            (jitc.gather, {"EVENT": False}, 64),
            *([(jitc.pull_back, {}, 64)] if kind else []),
        )
    },
    "tally": (jitc.tally, {}, {"HOLE": True, "BITS": 8, "NB": 64}, 48, 4 << 10),
    "write": (jitc.write, {}, {"KIND": 2, "HOLE": True, "BITS": 8, "NB": 64}, 64, 4 << 10),
    **{
        f"steps, {channels} channels, jumps {jumps}, delays {delays}, registers {one}, {drives} inputs, {drawn} drawn, blocks of {block}": (
            steps.run_steps,
            dict.fromkeys(("V", "G", "V_out", "G_out", "current", "par"), "*fp32")
            | dict.fromkeys(("drive_weights", "factors", "inflows"), "*fp32")
            | dict.fromkeys(("tables", "keys", "gaps"), "*u32")
            | {"spiked": "*i8", "spiked_out": "*i8", "delays": "*u8"},
            {"S": channels, "JUMPS": jumps, "DELAYS": delays, "B": block, "R": 4, "T": 128}
            | {
                "SHARED": shared,
                "HISTORY": delays,
                "DUE": shared,
                "ONE": one,
                "RECORDED": True,
                "DRIVES": drives,
                "ALL": drives,
                "DRAWN": drawn,
                "WEIGHTS": drawn > 1,
                "NB": 64,
            },
            min(136, 2048 // WARPS[block] // (1 if one else 2)),  # so that a program of so many warps fits on a multiprocessor
            16 << 10,
        )
        for channels, jumps, delays, shared, one, drives, drawn in (
            (2, 0, False, False, True, 0, 0),
            (2, 0, False, False, False, 0, 0),
            (2, 1, True, False, False, 0, 0),
            (0, 1, False, False, True, 0, 0),
            (1, 0, True, True, True, 1, 0),
            (2, 1, True, True, False, 2, 2),
        )
        for block in (BLOCKS[0], BLOCKS[-1])
    },
    "list of spikes": (spikes.list_bits, {}, {"W": 32}, 64, 4 << 10),
}
CALLED = frozenset(("add_up", "total", "exponent_of", "two_to", "span", "arrive", "terms"))  # by kernels
INTEGERS = frozenset(
    ("n", "m", "nse", "width", "columns", "share", "lines", "size", "period", "positions", "span", "chunks", "hole", "programs", "room")
) | {"blocks", "slots", "kept", "words", "capacity", "parts", "slot", "offset"}
WORDS = frozenset(("seed", "table", "basis"))  # uint32


def compiled(kernel, types, constants, capability: int):
    """`(registers, bytes that spill, bytes of shared memory)` of a kernel on a GPU of that compute capability."""
    signature = {}
    for name in kernel.arg_names:
        other = "i32" if name in INTEGERS and name not in types else "*u32" if name in WORDS else "*i32"
        signature[name] = "constexpr" if name in constants else types.get(name, other)
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(kernel.arg_names) if signature[name].startswith("*")}
    source = ASTSource(kernel, signature, constants, aligned)
    warps = WARPS[constants["B"]] * (1 if constants["ONE"] else 2) if kernel is steps.run_steps else 4
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
    words = [get_ptxas(capability).path, "-v", "--gpu-name", sm_arch_from_capability(capability), "-", "-o", os.devnull]
    said = subprocess.run(words, input=made.asm["ptx"], capture_output=True, text=True, check=True).stderr
    registers = re.search(r"Used (\d+) registers", said)
    assert registers, said
    return int(registers[1]), sum(map(int, re.findall(r"(\d+) bytes spill", said))), made.metadata.shared


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("name", TABLE)
def test_every_kernel_compiles_within_its_bounds(name, capability):
    kernel, types, constants, most_registers, most_shared = TABLE[name]
    registers, spilled, shared = compiled(kernel, types, constants, capability)
    assert registers <= most_registers and shared <= most_shared and spilled <= (128 if constants.get("DRAWN") else 64), (
        registers,
        spilled,
        shared,
    )


def test_every_kernel_is_in_the_table():
    listed = {row[0].fn.__name__ for row in TABLE.values()}
    for module in (compressed, coo, jitc, spikes, steps, sums):
        own = {
            name for name, value in vars(module).items() if isinstance(value, triton.JITFunction) and value.fn.__module__ == module.__name__
        }
        assert own <= listed | CALLED, own - listed - CALLED
