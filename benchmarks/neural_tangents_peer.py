"""`neural_tangents` as a peer: run by another interpreter, in a process that waits for its turn."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import Case, problem
from torch import Tensor

SERVER = Path(__file__).parent / "neural_tangents_server.py"


def importable(python: str | None) -> str:
    """Empty if `neural_tangents` can be imported by that interpreter, else why it cannot."""
    if python is None:
        return "no interpreter given (--neural-tangents)"
    command = [python, "-c", "import jax, neural_tangents"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not importable: {type(error).__name__}"
    if answer.returncode == 0:
        return ""
    return f"not importable: {answer.stderr.strip().splitlines()[-1]}"


class NeuralTangents:
    """One implementation on one case: compiled, run once, and ready to run again.

    Attributes:
        kernel: what it gave for the rows asked for, in our order of axes.
        peak_mb: peak memory of its first run, the result included.
        versions: of `jax` and `neural_tangents`.

    Raises:
        RuntimeError: it failed; with the last line of what it said.
    """

    def __init__(self, python: str, implementation: int, case: Case, rows: int) -> None:
        params, S = problem(case)
        with tempfile.TemporaryDirectory() as folder:
            inputs, result = f"{folder}/inputs.npz", f"{folder}/kernel.npy"
            np.savez(inputs, S=S.numpy(), **{name: W.numpy() for name, W in params.items()})
            task = {
                **asdict(case),
                "outputs": case.outputs,
                "implementation": implementation,
                "rows": rows,
                "inputs": inputs,
                "result": result,
            }
            self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (lives as long as the process)
            self._process = subprocess.Popen(
                [python, str(SERVER), json.dumps(task)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
            answer = self._answer()
            self.kernel: Tensor | None = torch.from_numpy(np.load(result))
        self.peak_mb: float = answer["peak_mb"]
        self.versions: dict[str, str] = answer["versions"]

    def run(self) -> float:
        """One run; its seconds of process time, measured there."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return self._answer()["seconds"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        said = [part for part in self._errors.read().strip().splitlines() if part.strip()]
        # jax ends its tracebacks with a note on what it left out
        told = [part for part in said if "Error" in part.split(":")[0]] or said
        raise RuntimeError(told[-1] if told else "ended without a word")
