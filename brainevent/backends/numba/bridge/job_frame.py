"""Reading a call frame that holds many jobs of one kernel, and running them, those onto different targets on threads of XLA's.

The operands are, in this order: which target is whose, int32 (jobs,), each at least once; how many threads there are, and from how much
work on they are worth it, int32 (2,); the targets; what is each job's own, if there is such; and the operands of one job after another.
The results are the targets and what is each job's own, which share the memory of the operands.
"""

import platform
from typing import Any

import llvmlite.ir as ir
import numba
import numba.extending
import numpy as np
from numba import types
from numba.core import cgutils

from .abi import AS_WORDS, CALL_FRAME_SIZE, DTYPE_CODES, HEAD, api_word
from .call_frame import pointer_at, view_of, word_at
from .inner import njit

intrinsic: Any = numba.extending.intrinsic
_I32, _I64, _BYTES = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
_OPERANDS, _RESULTS = 0, 1  # which list of buffers


@intrinsic
def call_of(typingctx, pointer):
    """The address of a call frame as a number, which threads can be given."""
    return types.int64(types.voidptr), lambda context, builder, signature, arguments: builder.ptrtoint(arguments[0], _I64)


def _frame(builder, call):
    return builder.inttoptr(call, _BYTES)


def _buffer(builder, call, which, index):
    """The address of a buffer of the operands (word 9 of the frame) or of the results (14)."""
    word = builder.select(builder.icmp_signed("==", which, _I64(_OPERANDS)), _I64(9), _I64(14))
    frame = builder.bitcast(_frame(builder, call), _I64.as_pointer())
    buffers = builder.inttoptr(builder.load(builder.gep(frame, [word])), _I64.as_pointer())
    return builder.inttoptr(builder.load(builder.gep(buffers, [index])), _BYTES)


@intrinsic
def count(typingctx, call, which):
    """How many operands or results a frame has; -1 if it is shorter than the layout read here."""

    def codegen(context, builder, signature, arguments):
        frame = _frame(builder, arguments[0])
        short = builder.icmp_unsigned("<", word_at(builder, frame, 0), _I64(CALL_FRAME_SIZE))
        wanted = builder.icmp_signed("==", arguments[1], _I64(_OPERANDS))
        count = builder.select(wanted, word_at(builder, frame, 7), word_at(builder, frame, 12))
        return builder.select(short, _I64(-1), count)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _is(typingctx, call, which, index, code, rank):
    """Whether a buffer is of a dtype, by its code, and of a rank."""

    def codegen(context, builder, signature, arguments):
        call, which, index, code, rank = arguments
        buffer = _buffer(builder, call, which, index)
        dtype = builder.zext(word_at(builder, buffer, 2, _I32), _I64)
        return builder.and_(builder.icmp_signed("==", dtype, code), builder.icmp_signed("==", word_at(builder, buffer, 4), rank))

    return types.boolean(*(types.int64,) * 5), codegen


@intrinsic
def _nothing(typingctx, call, which, index):
    """None, where jobs have nothing of their own."""
    return types.none(types.int64, types.int64, types.int64), lambda context, builder, signature, arguments: context.get_dummy_value()


def reader(leaf: str | None):
    """An intrinsic `(call, which, index)`: a buffer of this "dtype:rank" as `call_frame.readers_of` gives it, or None."""
    if leaf is None:
        return _nothing
    dtype, rank = leaf.split(":")
    array_type = types.Array(getattr(types, AS_WORDS.get(dtype, dtype)), max(int(rank), 1), "C")

    @intrinsic
    def array(typingctx, call, which, index):
        def codegen(context, builder, signature, arguments):
            buffer = _buffer(builder, *arguments)
            dims = pointer_at(builder, buffer, 5)
            shape = [word_at(builder, dims, axis) for axis in range(int(rank))] or [_I64(1)]
            return view_of(context, builder, array_type, pointer_at(builder, buffer, 3), shape)

        return array_type(types.int64, types.int64, types.int64), codegen

    return array


order_of = reader("int32:1")


def _code(leaf: str):
    dtype, _, rank = leaf.partition(":")
    return DTYPE_CODES[dtype], int(rank)


def named(function, unique):
    """A function for machine code to call, under a name of its own: machine code from disk is linked by name."""
    function.__qualname__ = f"{function.__qualname__}_{unique}"
    return njit(function, error_model="numpy")


def differs_of(unique, target, own, leaves):
    """A function of a call: whether its frame is not of jobs that have a target, what is their own (or None) and operands like these, all
    "dtype:rank".
    """
    head_code, head_rank = _code("int32:1")
    (target_code, target_rank), (own_code, own_rank), width = _code(target), _code(own or target), len(leaves)
    codes, ranks = zip(*map(_code, leaves))
    each = 0 if own is None else 1

    def differs(call):
        n, made = count(call, _OPERANDS), count(call, _RESULTS)
        if n < HEAD or not _is(call, _OPERANDS, 0, head_code, head_rank) or not _is(call, _OPERANDS, 1, head_code, head_rank):
            return True
        jobs = order_of(call, _OPERANDS, 0).shape[0]
        shared = made - jobs * each
        if shared < 1 or n != HEAD + made + jobs * width:
            return True
        differ = 0
        for i in range(made):
            code, rank = (own_code, own_rank) if i >= shared else (target_code, target_rank)
            differ += not _is(call, _OPERANDS, HEAD + i, code, rank) or not _is(call, _RESULTS, i, code, rank)
        for i in range(jobs * width):
            differ += not _is(call, _OPERANDS, HEAD + made + i, codes[i % width], ranks[i % width])
        return differ > 0

    return named(differs, unique)


def runner_of(unique, job, work, threaded):
    """What runs all jobs of a call, those onto one target in their order, and returns the first status that is not 0, or 0.

    Args:
      job, work: functions of a call and the number of a job: run it; how much there is to do.
      threaded: whether there are threads.
    """

    def in_order(call):
        for k in range(order_of(call, _OPERANDS, 0).shape[0]):
            status = job(call, k)
            if status != 0:
                return status
        return 0

    def onto(call, target):
        whose = order_of(call, _OPERANDS, 0)
        for k in range(whose.shape[0]):
            if whose[k] == target:
                status = job(call, k)
                if status != 0:
                    return status
        return 0

    in_order = named(in_order, unique)
    if not threaded:
        return in_order
    return _sharing(unique, in_order, named(onto, unique), work)


def _sharing(unique, in_order, onto, work):
    """The same with threads: `onto` runs the jobs of a call onto one target; `in_order` all of them, where there is too little to share."""
    take_part, leave = named(_taking_part(onto), unique), named(_leave, unique)

    def help_out(state):
        take_part(state)
        return leave(state)

    ask = _asks(unique, named(help_out, unique))

    def share_out(call):
        whose, (threads, least) = order_of(call, _OPERANDS, 0), order_of(call, _OPERANDS, 1)
        load, total = np.zeros(whose.max() + 1, np.int64), 0
        for k in range(whose.shape[0]):
            todo = work(call, k)
            load[whose[k]] += todo
            total += todo
        if total < least:
            return in_order(call)
        state = _reserved(FIRST + load.shape[0])
        _put(state, CALL, call)
        _put(state, TARGETS, load.shape[0])
        for t in range(load.shape[0]):
            heaviest = load.argmax()
            _put(state, FIRST + t, heaviest)
            load[heaviest] = -1
        for word in (NEXT, DONE, STATUS):
            _put(state, word, 0)
        _put(state, USERS, threads)
        for _ in range(threads - 1):
            if not ask(call, state):
                leave(state)
        take_part(state)
        while _word(state, DONE) < load.shape[0]:
            _relax()
        status = _word(state, STATUS)
        leave(state)
        return status

    return named(share_out, unique)


# What threads share while they run the jobs of a call, words of 64 bits: the call; how many targets; the place of the next one that nobody
# has taken; how many are done; a status that is not 0; who may still look; and the targets, those with the most work first. A target is
# taken by who is free, so that a thread of XLA's that comes late, or never, costs nothing: then its caller does all.
CALL, TARGETS, NEXT, DONE, STATUS, USERS, FIRST = range(7)


def _taking_part(onto):
    def take_part(state):
        while True:
            t = _add(state, NEXT, 1)
            if t >= _word(state, TARGETS):
                return 0
            status = onto(_word(state, CALL), _word(state, FIRST + t))
            if status != 0:
                _put(state, STATUS, status)
            _add(state, DONE, 1)

    return take_part


def _leave(state):
    """The last to leave frees what was shared."""
    if _add(state, USERS, -1) == 1:
        _freed(state)
    return 0


def _place(builder, state, i):
    return builder.gep(builder.inttoptr(state, _I64.as_pointer()), [i])


@intrinsic
def _word(typingctx, state, i):
    def codegen(context, builder, signature, arguments):
        return builder.load_atomic(_place(builder, *arguments), "seq_cst", 8)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _put(typingctx, state, i, value):
    def codegen(context, builder, signature, arguments):
        builder.store_atomic(arguments[2], _place(builder, *arguments[:2]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), codegen


@intrinsic
def _add(typingctx, state, i, value):
    """Add to a word; what it was before."""

    def codegen(context, builder, signature, arguments):
        return builder.atomic_rmw("add", _place(builder, *arguments[:2]), arguments[2], "seq_cst")

    return types.int64(types.int64, types.int64, types.int64), codegen


def _of_c(builder, name, result, *parameters):
    """A function of the C library, or an instruction of the processor, declared."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, parameters), name)


@intrinsic
def _reserved(typingctx, words):
    """The address of so many words."""

    def codegen(context, builder, signature, arguments):
        size = builder.mul(arguments[0], _I64(8))
        return builder.ptrtoint(builder.call(_of_c(builder, "malloc", _BYTES, _I64), [size]), _I64)

    return types.int64(types.int64), codegen


@intrinsic
def _freed(typingctx, state):
    def codegen(context, builder, signature, arguments):
        builder.call(_of_c(builder, "free", ir.VoidType(), _BYTES), [builder.inttoptr(arguments[0], _BYTES)])
        return context.get_dummy_value()

    return types.none(types.int64), codegen


@intrinsic
def _relax(typingctx):
    """Tell the processor that a thread waits, where it knows the word."""

    def codegen(context, builder, signature, arguments):
        if platform.machine() in ("x86_64", "AMD64"):
            builder.call(_of_c(builder, "llvm.x86.sse2.pause", ir.VoidType()), [])
        return context.get_dummy_value()

    return types.none(), codegen


def _asks(unique, help_out):
    """An intrinsic `(call, state) -> bool`: whether XLA will have one of its threads run `help_out(state)`."""
    schedule, destroy = api_word("XLA_FFI_ThreadPool_Schedule"), api_word("XLA_FFI_Error_Destroy")
    returns_pointer = ir.FunctionType(_BYTES, [_BYTES])

    @intrinsic
    def ask(typingctx, call, state):
        signature = typingctx.resolve_function_type(numba.typeof(help_out), (types.int64,), {})

        def codegen(context, builder, _, arguments):
            compiled = help_out.get_compile_result(signature)
            context.active_code_library.add_linking_library(compiled.library)
            task = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [_BYTES]), f"brainevent_task_{unique}")
            task.linkage = "internal"
            inside = ir.IRBuilder(task.append_basic_block())
            context.call_internal_no_propagate(inside, compiled.fndesc, signature, [inside.ptrtoint(task.args[0], _I64)])
            inside.ret_void()
            frame, none = _frame(builder, arguments[0]), ir.Constant(_BYTES, None)
            api = pointer_at(builder, frame, 2)

            def called(word, *fields):
                """A function of XLA's on its struct of arguments."""
                size = ir.Constant(_I64, 8 * (2 + len(fields)))
                struct = cgutils.pack_struct(builder, [size, none, *fields])
                place = cgutils.alloca_once_value(builder, struct)
                function = builder.bitcast(pointer_at(builder, api, word), returns_pointer.as_pointer())
                return builder.call(function, [builder.bitcast(place, _BYTES)])

            data = builder.inttoptr(arguments[1], _BYTES)
            error = called(schedule, pointer_at(builder, frame, 3), builder.bitcast(task, _BYTES), data)
            failed = builder.icmp_unsigned("!=", error, none)
            with builder.if_then(failed, likely=False):
                called(destroy, error)
            return builder.not_(failed)

        return types.boolean(types.int64, types.int64), codegen

    return ask
