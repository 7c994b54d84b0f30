"""Where the kernel is written: given memory, files, and what is left there when something fails."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import relative_error
from torch import Tensor

import ntteach
from ntteach import antk
from ntteach.tangent import closed_form, destination, panels, routes

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
LIMITS = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="this system cannot reserve room on a disk"
)
METHODS = pytest.mark.parametrize("method", ["closed_form", "jacobian", "products"])


def problem(
    N: int = 5, *, o: int = 0, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[dict[str, Tensor], Tensor]:
    """Two heads and sequences of three elements."""
    g = torch.Generator().manual_seed(seed)
    shapes = {"W_Q": (3, 4), "W_K": (3, 4), "W_V": (3, 2)}
    if o:
        shapes["W_O"] = (2, o)
    params = {name: torch.randn(*s, generator=g, dtype=dtype) for name, s in shapes.items()}
    return params, torch.randn(N, 3, 3, generator=g, dtype=dtype)


PARAMS, S = problem()
SHAPE = (5, 3, 2, 5, 3, 2)


def run(
    script: str, *arguments: object, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, with this library."""
    path = str(Path(ntteach.__file__).parents[1])
    return subprocess.run(
        [*before, sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        # what is freed goes back to the system at once, so that a peak is that of what is held
        env=os.environ
        | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# the same result, in the memory that was given


@METHODS
@pytest.mark.parametrize("trace_outputs", [False, True], ids=["every", "traced"])
@pytest.mark.parametrize("o", [0, 3])
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "against others"])
def test_a_tensor_takes_the_same_kernel(alone, o, trace_outputs, method):
    params, S = problem(o=o)
    batches: list[Any] = [params, S] if alone else [params, S, S[:2] + 1]
    options: dict[str, Any] = {
        "heads": 2,
        "trace_outputs": trace_outputs,
        "method": method,
        "block_size": 2,
    }
    expected = antk(*batches, **options)
    out = torch.full_like(expected, torch.nan)
    found = antk(*batches, **options, out=out)
    assert found.data_ptr() == out.data_ptr()
    assert found.shape == out.shape
    assert torch.equal(out, expected)
    array = np.full(expected.shape, np.nan)
    found = antk(*batches, **options, out=array)
    assert np.array_equal(array, expected.numpy())
    found[...] = 0  # the same memory
    assert (array == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_memory_map_takes_the_same_kernel_and_keeps_it(dtype, tmp_path):
    params, S = problem(dtype=dtype)
    expected = antk(params, S, heads=2)
    kind = np.float32 if dtype == torch.float32 else np.float64
    path = tmp_path / "kernel"
    out = np.memmap(path, dtype=kind, mode="w+", shape=SHAPE)
    found = antk(params, S, heads=2, out=out)
    assert torch.equal(found, expected)
    del found, out
    again = np.memmap(path, dtype=kind, mode="r", shape=SHAPE)
    assert np.array_equal(again, expected.numpy())
    assert path.stat().st_size == expected.numel() * expected.element_size()
    # a file that NumPy knows how to open, whose header stays
    path = tmp_path / "kernel.npy"
    out = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=SHAPE)
    antk(params, S, heads=2, out=out)
    del out
    assert np.array_equal(np.load(path), expected.numpy())


def test_a_memory_map_is_flushed(tmp_path, monkeypatch):
    flushed: list[bool] = []

    class Map(np.memmap):
        def flush(self) -> None:
            flushed.append(not np.isnan(self).any())
            super().flush()

    out = Map(tmp_path / "kernel", dtype=np.float64, mode="w+", shape=SHAPE)
    antk(PARAMS, S, heads=2, out=out)
    assert flushed[-1:] == [True]


def test_a_part_of_a_memory_map_leaves_the_rest(tmp_path):
    path = tmp_path / "kernels"
    every = np.memmap(path, dtype=np.float64, mode="w+", shape=(3, *SHAPE))
    every[:] = 7
    antk(PARAMS, S, heads=2, out=every[1])
    del every
    again = np.memmap(path, dtype=np.float64, mode="r", shape=(3, *SHAPE))
    assert np.array_equal(again[1], antk(PARAMS, S, heads=2).numpy())
    assert (again[0] == 7).all()
    assert (again[2] == 7).all()


def test_a_memory_map_is_written_where_it_begins(tmp_path):
    path = tmp_path / "kernel"
    path.write_bytes(b"x" * 8192)
    out = np.memmap(path, dtype=np.float64, mode="r+", offset=808, shape=SHAPE)
    antk(PARAMS, S, heads=2, out=out)
    del out
    content = path.read_bytes()
    assert content[:808] == b"x" * 808
    expected = antk(PARAMS, S, heads=2).numpy().tobytes()
    assert content[808 : 808 + len(expected)] == expected
    assert content[808 + len(expected) :] == b"x" * (8192 - 808 - len(expected))


def test_one_sequence_and_a_part_of_a_tensor_as_destinations():
    big = torch.zeros(3, 3, 2, 3, 2).double()
    antk(PARAMS, S[0], heads=2, out=big[1])
    assert torch.equal(big[1], antk(PARAMS, S[0], heads=2))
    assert (big[0] == 0).all()
    assert (big[2] == 0).all()
    none = torch.empty(0, 3, 2, 0, 3, 2).double()
    assert antk(PARAMS, S[:0], heads=2, out=none).shape == none.shape


def test_out_on_the_device(device):
    params = {name: W.to(device) for name, W in PARAMS.items()}
    out = torch.full(SHAPE, torch.nan, dtype=torch.float64, device=device)
    antk(params, S.to(device), heads=2, out=out)
    assert relative_error(out, antk(PARAMS, S, heads=2)) <= 1e-13
    if device != "cpu":
        with pytest.raises(ValueError, match="out is on the device of S, cuda"):
            antk(params, S.to(device), heads=2, out=out.cpu())
        with pytest.raises(ValueError, match="an array takes results from the CPU, S is on cuda"):
            antk(params, S.to(device), heads=2, out=np.zeros(SHAPE))


def test_no_gradient_flows_through_out():
    params = {name: W.clone().requires_grad_() for name, W in PARAMS.items()}
    out = torch.empty(SHAPE).double()
    found = antk(params, S.clone().requires_grad_(), heads=2, out=out)
    assert not found.requires_grad
    assert not out.requires_grad
    assert found.grad_fn is None
    assert torch.equal(out, antk(PARAMS, S, heads=2))


# what cannot be written into


def read_only() -> np.ndarray:
    array = np.zeros(SHAPE)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (torch.zeros(5, 3, 5, 3).double(), ValueError, "has the shape of the kernel"),
        (torch.zeros(30, 30).double(), ValueError, r"\(5, 3, 2, 5, 3, 2\), got \(30, 30\)"),
        (torch.zeros(5, 3, 2, 5, 3, 1).double(), ValueError, r"got \(5, 3, 2, 5, 3, 1\)"),
        (np.zeros((30, 30)), ValueError, r"\(5, 3, 2, 5, 3, 2\), got \(30, 30\)"),
        (torch.zeros(SHAPE), TypeError, r"dtype of S, torch\.float64, got torch\.float32"),
        (np.zeros(SHAPE, np.float32), TypeError, r"dtype of S, torch\.float64, got torch\.float32"),
        (np.zeros(SHAPE, int), TypeError, r"dtype of S, torch\.float64, got torch\.int64"),
        (torch.zeros(SHAPE, device="meta").double(), ValueError, "device of S, cpu, got meta"),
        (torch.zeros(SHAPE[::-1]).double().permute(5, 4, 3, 2, 1, 0), ValueError, "contiguous"),
        (torch.zeros(1).double().expand(SHAPE), ValueError, "contiguous"),
        (np.zeros(SHAPE, order="F"), ValueError, "C-contiguous"),
        (np.zeros((10, *SHAPE[1:]))[::2], ValueError, "C-contiguous"),
        (np.zeros(SHAPE, ">f8"), ValueError, "native"),
        (np.zeros(SHAPE, object), ValueError, "C-contiguous array of native floating point"),
        (read_only(), ValueError, "out is read-only"),
        (torch.zeros(SHAPE).double().requires_grad_(), ValueError, "cannot require a gradient"),
        ([[0.0]], TypeError, "out is a tensor or a NumPy array, got list"),
        ("kernel.npy", TypeError, "out is a tensor or a NumPy array, got str"),
        (1, TypeError, "out is a tensor or a NumPy array, got int"),
    ],
)
def test_what_cannot_take_the_kernel_is_refused_and_left_alone(out, error, message, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("nothing is computed for a destination that is refused")

    monkeypatch.setattr(closed_form, "write", never)
    before = out.clone() if isinstance(out, Tensor) else np.array(out)
    with pytest.raises(error, match=message):
        antk(PARAMS, S, heads=2, out=out)
    if isinstance(out, Tensor):
        assert isinstance(before, Tensor)
        assert out.device.type == "meta" or torch.equal(out, before)
    else:
        assert np.array_equal(np.array(out), before)


@pytest.mark.parametrize("mode", ["r", "c"])
def test_memory_maps_that_never_reach_their_file_are_refused(mode, tmp_path):
    path = tmp_path / "kernel"
    np.zeros(SHAPE).tofile(path)
    out = np.memmap(path, dtype=np.float64, mode=mode, shape=SHAPE)
    with pytest.raises(ValueError, match=r"open (a memory map|it) with"):
        antk(PARAMS, S, heads=2, out=out)
    assert (np.fromfile(path) == 0).all()


def test_what_is_computed_from_is_never_written_into():
    # without other checks the kernel would be that of half overwritten sequences
    one = {name: torch.ones(1, 1).double() for name in ("W_Q", "W_K", "W_V")}
    tokens = torch.randn(1, 4, 1, generator=torch.Generator().manual_seed(0)).double()
    shared = torch.zeros(1, 4, 1, 1, 4, 1).double()
    storage = shared.view(-1)
    storage[:4] = tokens.view(-1)
    overlapping = storage[:4].view(1, 4, 1)
    mask = storage.view(1, 1, 4, 4)
    every: list[dict[str, Any]] = [
        {"S": overlapping},
        {"S": tokens, "S_other": overlapping},
        {"S": tokens, "context": overlapping},
        {"S": tokens, "S_other": tokens, "context": tokens, "context_other": overlapping},
        {"S": tokens, "mask": mask},
        {"S": tokens, "S_other": tokens, "mask_other": mask},
        {"S": tokens, "params": one | {"W_V": storage[:1].view(1, 1)}},
    ]
    for arguments in every:
        all_of_them: dict[str, Any] = {"params": one} | arguments
        with pytest.raises(ValueError, match="shares memory with an argument"):
            antk(**all_of_them, out=shared)
        with pytest.raises(ValueError, match="shares memory with an argument"):
            antk(**all_of_them, out=shared.numpy())
    assert torch.equal(overlapping, tokens)


# what fails half way


class Stopped(RuntimeError):
    pass


def fail_after(calls: int, error: BaseException, original: Callable[..., Any]) -> Any:
    """A stand-in for a function that raises at a later call."""
    count = 0

    def function(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count > calls:
            raise error
        return original(*arguments, **options)

    return function


@pytest.mark.parametrize("calls", [0, 1, 3])
@pytest.mark.parametrize(
    "error", [Stopped("now"), KeyboardInterrupt(), MemoryError(), SystemExit(3)]
)
@pytest.mark.parametrize("kind", ["tensor", "array", "memory map"])
def test_a_failure_leaves_nothing_but_nan(kind, error, calls, monkeypatch, tmp_path):
    path = tmp_path / "kernel"
    out: Any = torch.zeros(SHAPE).double()
    if kind == "array":
        out = np.zeros(SHAPE)
    elif kind == "memory map":
        out = np.memmap(path, dtype=np.float64, mode="w+", shape=SHAPE)
    monkeypatch.setattr(panels, "_put", fail_after(calls, error, panels._put))
    with pytest.raises(type(error)) as caught:
        antk(PARAMS, S, heads=2, out=out, block_size=2)
    assert caught.value is error
    assert torch.as_tensor(out).isnan().all()
    if kind == "memory map":
        del out
        assert np.isnan(np.fromfile(path)).all()


@pytest.mark.parametrize("method", ["jacobian", "products"])
def test_a_failure_of_the_other_routes_leaves_nothing_but_nan(method, monkeypatch):
    out = torch.zeros(SHAPE).double()
    monkeypatch.setattr(routes, "dense", fail_after(2, Stopped(), routes.dense))
    with pytest.raises(Stopped):
        antk(PARAMS, S, heads=2, out=out, block_size=2, method=method)
    assert out.isnan().all()


def test_a_map_that_cannot_be_flushed_is_a_failure(tmp_path):
    class Map(np.memmap):
        def flush(self) -> None:
            raise OSError(errno.EIO, "input/output error")

    out = Map(tmp_path / "kernel", dtype=np.float64, mode="w+", shape=SHAPE)
    with pytest.raises(OSError, match="input/output error"):
        antk(PARAMS, S, heads=2, out=out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("trace_outputs", [False, True], ids=["every", "traced"])
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "against others"])
@pytest.mark.parametrize("o", [0, 1, 3, 9])
def test_the_first_entry_is_written_last(o, alone, trace_outputs, monkeypatch):
    # so that a process that dies at any point leaves NaN there
    params, S = problem(o=o)
    monkeypatch.setattr(panels, "_CPU_NUMBERS", 64)
    monkeypatch.setattr(panels, "_CPU_ROWS", 8)
    batches: list[Any] = [params, S] if alone else [params, S, S[:3] + 1]
    expected = antk(*batches, heads=2, trace_outputs=trace_outputs)
    out = torch.zeros_like(expected)
    seen: list[bool] = []
    put = panels._put

    def watched(*arguments: Any) -> None:
        assert out.view(-1)[0].isnan()
        put(*arguments)
        seen.append(bool(out.view(-1)[0].isnan()))

    monkeypatch.setattr(panels, "_put", watched)
    for block_size in (None, 2):
        seen.clear()
        antk(*batches, heads=2, trace_outputs=trace_outputs, block_size=block_size, out=out)
        assert torch.equal(out, expected) or relative_error(out, expected) <= 1e-13
        written = seen.index(False)
        # with heads of their own the first head's panel is last but for those of the others
        assert len(seen) >= 4
        if o or trace_outputs:
            assert written == len(seen) - 1
        assert not any(seen[written:])


@pytest.mark.parametrize("method", ["jacobian", "products"])
def test_the_first_block_of_the_other_routes_is_written_last(method, monkeypatch):
    out = torch.zeros(SHAPE).double()
    dense = routes.dense

    def watched(*arguments: Any) -> Tensor:
        assert out.view(-1)[0].isnan()
        return dense(*arguments)

    monkeypatch.setattr(routes, "dense", watched)
    antk(PARAMS, S, heads=2, out=out, block_size=2, method=method)
    assert not out.isnan().any()


KILLED = """
    import os, signal, sys
    import numpy as np, torch
    from ntteach import antk
    from ntteach.tangent import panels

    path, end, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    g = torch.Generator().manual_seed(0)
    params = {n: torch.randn(3, 2, generator=g) for n in ("W_Q", "W_K", "W_V")}
    S = torch.randn(5, 3, 3, generator=g)
    out = np.memmap(path, dtype=np.float32, mode="r+", shape=(5, 3, 2, 5, 3, 2))
    put = panels._put

    def deadly(*arguments):
        global calls
        if not calls:
            if end == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(9)
        calls -= 1
        put(*arguments)

    panels._put = deadly
    antk(params, S, out=out, block_size=1)
"""


@pytest.mark.parametrize(("end", "calls"), [("exit", 3), ("kill", 22)])
def test_a_process_that_dies_leaves_no_result(end, calls, tmp_path):
    # 5 blocks of one sequence: 15 panels, 10 of them also written as their transpose
    path = tmp_path / "kernel"
    np.zeros((5, 3, 2, 5, 3, 2), np.float32).tofile(path)
    dead = run(KILLED, path, end, calls)
    assert dead.returncode == (-signal.SIGKILL if end == "kill" else 9), dead.stderr
    left = np.fromfile(path, np.float32)
    assert np.isnan(left[0])
    assert np.count_nonzero(left[1:])  # and it had begun


# a full disk


FULL = """
    import errno, os, sys
    import numpy as np, torch
    from ntteach import antk
    from ntteach.tangent import closed_form, destination

    path, counted = sys.argv[1], sys.argv[2] == "counted"
    if not counted:
        # as if others had taken the room after it was counted
        os.fstatvfs = lambda _, real=os.fstatvfs: os.statvfs_result([2**40] * 10)
    closed_form.write = lambda *_: sys.exit("something was computed")
    out = np.memmap(path, dtype=np.float64, mode="w+", shape=(64, 8, 1, 64, 8, 1))
    params = {n: torch.ones(1, 1).double() for n in ("W_Q", "W_K", "W_V")}
    try:
        antk(params, torch.ones(64, 8, 1).double(), out=out)
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        print(error)
    if counted:
        assert os.stat(path).st_blocks < 16  # the one page that made it as long as it is
"""


@LIMITS
@LINUX
@pytest.mark.parametrize("how", ["counted", "asked for"])
def test_a_disk_that_is_full_is_found_before_anything_is_computed(how, tmp_path):
    # a disk of 1 MB that only this process sees, for a kernel of 2 MB
    path = tmp_path / "kernel"
    mount = 'mount -t tmpfs -o size=1m small "$0" && exec "$@"'
    shell = ["unshare", "--mount", "sh", "-c", mount, str(tmp_path)]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*shell, "true"], capture_output=True).returncode
    ):
        pytest.skip("this process may not mount a disk of its own")
    told = run(FULL, path, how, before=shell)
    assert told.returncode == 0, told.stderr
    assert "no room for a memory map of 0.00195 GiB: No space left on device" in told.stdout
    assert str(path) in told.stdout
    assert not list(tmp_path.iterdir())


@LIMITS
def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    path = tmp_path / "kernel"
    out = np.memmap(path, dtype=np.float64, mode="w+", shape=SHAPE)
    out[:] = 3
    asked: list[tuple[int, int]] = []

    def full(_: int, offset: int, size: int) -> None:
        asked.append((offset, size))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def never(*_: object) -> None:
        raise AssertionError("something was computed")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(closed_form, "write", never)
    with pytest.raises(
        OSError, match=r"no room for a memory map of .* GiB: No space left"
    ) as caught:
        antk(PARAMS, S, heads=2, out=out)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert caught.value.__cause__ is not None
    # the room of everything that will be written
    ((offset, size),) = asked
    assert offset == 0
    assert size == out.nbytes
    # nothing was written, so that what is there is what was there
    assert (out == 3).all()


@LIMITS
@LINUX
def test_a_sparse_file_gets_its_room_first(tmp_path):
    path = tmp_path / "kernel"
    params, S = problem(64)
    shape = (64, 3, 2, 64, 3, 2)
    out = np.memmap(path, dtype=np.float64, mode="w+", shape=shape)
    if path.stat().st_blocks * 512 >= out.nbytes:
        pytest.skip("files have no holes on this file system")
    destination._reserve(out)
    assert path.stat().st_blocks * 512 >= out.nbytes
    antk(params, S, heads=2, out=out)
    assert path.stat().st_size == out.nbytes


@LIMITS
def test_a_sparse_file_beyond_the_disk_is_refused_and_takes_none_of_it(tmp_path, monkeypatch):
    # a reservation that fails half way may keep what it took, and leave the disk full: the room
    # is counted before, here on a disk that only claims to be full
    path = tmp_path / "kernel"
    params, S = problem(64)
    out = np.memmap(path, dtype=np.float64, mode="w+", shape=(64, 3, 2, 64, 3, 2))
    room = os.statvfs(path)
    few = max(1, 2**18 // room.f_frsize)

    def nearly_full(_: object) -> os.statvfs_result:
        fields = list(room)
        fields[3] = fields[4] = few  # f_bfree, f_bavail
        return os.statvfs_result(fields)

    def never(*_: object) -> None:
        raise AssertionError("the disk was filled, or something was computed")

    monkeypatch.setattr(os, "statvfs", nearly_full)
    monkeypatch.setattr(os, "fstatvfs", nearly_full)
    monkeypatch.setattr(os, "posix_fallocate", never)
    monkeypatch.setattr(closed_form, "write", never)
    before = path.stat().st_blocks
    with pytest.raises(OSError, match="no room for a memory map") as caught:
        antk(params, S, heads=2, out=out)
    assert caught.value.errno == errno.ENOSPC
    assert path.stat().st_blocks == before


# memory


MEMORY = """
    import sys
    from pathlib import Path
    import numpy as np, torch
    from ntteach import antk, antk_operator
    from ntteach.tangent import closed_form, operator

    # blocks of about 30 sequences, so that the smaller batch has several of them too
    closed_form._BLOCK_BYTES, operator._BLOCK_NUMBERS = 2**20, 2**18
    torch.set_num_threads(1)

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(x for x in lines if x.startswith("VmHWM")).split()[1])

    what, sizes = sys.argv[1], [int(N) for N in sys.argv[2:]]
    g = torch.Generator().manual_seed(0)
    params = {n: torch.randn(16, 16, generator=g) / 4 for n in ("W_Q", "W_K", "W_V")}

    def work(N):
        S = torch.randn(N, 16, 16, generator=g)
        if what == "operator":
            K, x = antk_operator(params, S), torch.randn(N * 16 * 16, generator=g)
            return lambda: (K @ x, K.trace())
        out = np.empty((N, 16, N, 16), np.float32)
        out[:] = 0  # in memory before the measurement begins
        other = S.flip(0) if what == "rectangle" else None
        return lambda: antk(params, S, other, trace_outputs=True, out=out)

    # what is allocated once, and what the system keeps of small blocks, is there before
    work(64)()
    for N in sizes:
        call = work(N)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = peak()
        call()
        print(peak() - before)
"""


@LINUX
@pytest.mark.parametrize(
    ("what", "N", "more"),
    # in MB: three times as many sequences have features of 39 MB; the operator's are 315 MB, and
    # its vectors, x and K x and the diagonal, with what they are put together from, 12 MB
    [("square", 96, 3), ("rectangle", 96, 3), ("operator", 768, 20)],
)
def test_memory_beyond_inputs_and_output_does_not_grow_with_the_batch(what, N, more):
    process = run(MEMORY, what, N, 4 * N)
    if "clear_refs" in process.stderr:
        pytest.skip("this process may not reset its peak memory")
    assert process.returncode == 0, process.stderr
    few, many = (int(line) / 1e3 for line in process.stdout.split())
    assert many <= few + more


def test_parts_of_one_buffer_that_do_not_overlap_are_accepted() -> None:
    W, g = torch.ones(2, 2), torch.Generator().manual_seed(0)
    params = {"W_Q": W, "W_K": W, "W_V": W[:, :1].contiguous()}
    buffer = torch.randn(6 + 9, generator=g)
    S, out = buffer[:6].view(3, 2), buffer[6:].view(3, 1, 3, 1)
    expected = antk(params, S.clone())
    assert torch.equal(antk(params, S, out=out), expected)


def test_a_destination_is_refused_under_transforms() -> None:
    W, S = torch.ones(2, 2), torch.ones(3, 4, 2)
    params = {"W_Q": W, "W_K": W, "W_V": W}
    with pytest.raises(ValueError, match="leave it out under vmap"):
        torch.func.vmap(lambda s: antk(params, s, out=torch.empty(4, 2, 4, 2)))(S)
