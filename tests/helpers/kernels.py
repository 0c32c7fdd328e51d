"""A real IPython kernel and what a front end sees of it, message by message.

One thread reads everything that the kernel publishes and files it under the run (the message
id of the execute request) that it belongs to, as JupyterLab does: output that comes after its
cell is over, or while another one runs, lands where it belongs.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from helpers.wait import wait_until

START_TIMEOUT_S = 60.0
"""A kernel needs about a second; a loaded machine with two cores may need many."""

READ_PAUSE_S = 0.1
"""How soon the reading thread notices that it shall end."""

Message = dict[str, Any]


@dataclass
class CellRun:
    """One execution of one cell: the reply to it and all output that came for it so far."""

    msg_id: str
    code: str
    messages: list[Message] = field(default_factory=list)
    reply: Message | None = None
    is_idle: bool = False

    @property
    def is_done(self) -> bool:
        """Whether the kernel has answered and published that it is idle again."""
        return self.reply is not None and self.is_idle

    @property
    def status(self) -> str:
        """ "ok", "error", "aborted", or "running"."""
        return str(self.reply["content"]["status"]) if self.reply else "running"

    def contents(self, *kinds: str) -> list[Message]:
        """The contents of the messages of these kinds, in the order of their coming."""
        return [m["content"] for m in list(self.messages) if m["msg_type"] in kinds]

    def stream(self, name: str) -> str:
        """All text of `stdout` or `stderr`."""
        return "".join(c["text"] for c in self.contents("stream") if c["name"] == name)

    @property
    def stdout(self) -> str:
        """What was printed under this cell."""
        return self.stream("stdout")

    @property
    def stderr(self) -> str:
        """What was written to stderr under this cell."""
        return self.stream("stderr")

    @property
    def result(self) -> dict[str, Any] | None:
        """The MIME bundle of the cell's last expression."""
        found = self.contents("execute_result")
        return found[-1]["data"] if found else None

    @property
    def text(self) -> str:
        """The plain text of the cell's last expression."""
        return str((self.result or {}).get("text/plain", ""))

    @property
    def displays(self) -> list[dict[str, Any]]:
        """The MIME bundles under this cell as they look now: updates replace what they update."""
        shown: dict[str, dict[str, Any]] = {}
        for message in list(self.messages):
            if message["msg_type"] not in {"display_data", "update_display_data"}:
                continue
            content = message["content"]
            name = content.get("transient", {}).get("display_id") or message["header"]["msg_id"]
            if message["msg_type"] == "display_data" or name in shown:
                shown[name] = content["data"]
        return list(shown.values())

    @property
    def error(self) -> Message | None:
        """`ename`, `evalue` and `traceback` of the exception that ended the cell."""
        found = self.contents("error")
        return found[-1] if found else None

    @property
    def traceback(self) -> str:
        """The traceback that was shown, with its colours."""
        return "\n".join(self.error["traceback"]) if self.error else ""


class Kernel:
    """A kernel in a process of its own. Make one with `Kernel.start`."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.runs: dict[str, CellRun] = {}
        self._filing = threading.Lock()
        self._stopping = threading.Event()
        self._readers = [
            threading.Thread(target=self._read_iopub, name="test-iopub", daemon=True),
            threading.Thread(target=self._read_shell, name="test-shell", daemon=True),
        ]

    @classmethod
    def start(cls, *, cwd: Path, connections: Path, env: dict[str, str] | None = None) -> Kernel:
        """Starts a kernel of this interpreter's and waits until it answers.

        Over Unix sockets in `connections`: no port is taken, and nothing warns about TCP.
        """
        manager = KernelManager(
            transport="ipc",
            connection_file=str(connections / f"k-{uuid4().hex[:8]}.json"),
        )
        manager.kernel_spec_manager.ensure_native_kernel = True
        manager.start_kernel(cwd=str(cwd), env={**os.environ, **(env or {})})
        client = manager.client()
        client.start_channels(hb=False)
        try:
            client.wait_for_ready(timeout=START_TIMEOUT_S)
        except BaseException:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            raise
        kernel = cls(manager, client)
        for reader in kernel._readers:
            reader.start()
        return kernel

    @property
    def pid(self) -> int:
        """The kernel's process id."""
        pid: int = self.manager.provisioner.pid
        return pid

    @property
    def is_alive(self) -> bool:
        """Whether the kernel's process lives."""
        return bool(self.manager.is_alive())

    def submit(self, code: str, *, cell_id: str | None = None, allow_stdin: bool = True) -> CellRun:
        """Sends a cell for execution and returns at once. `cell_id` as JupyterLab sends it.

        Without `allow_stdin` and `cell_id` it is sent as programs do that run notebooks.
        """
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        metadata = {"cellId": cell_id} if cell_id else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        run = CellRun(message["header"]["msg_id"], code)
        with self._filing:
            self.runs[run.msg_id] = run
        self.client.shell_channel.send(message)
        return run

    def answer(self, line: str, within_s: float = 30.0) -> str:
        """Answers the kernel's next question for a line of input; returns its prompt."""
        question = self.client.get_stdin_msg(timeout=within_s)
        assert question["msg_type"] == "input_request"
        self.client.input(line)
        return str(question["content"]["prompt"])

    def wait(self, run: CellRun, within_s: float = 30.0) -> CellRun:
        """Waits until the cell has been executed; later output may still come."""
        what = f"the end of the cell {run.code!r}"
        wait_until(lambda: run.is_done or not self.is_alive, within_s, what)
        assert run.is_done, f"the kernel died in the cell {run.code!r}"
        return run

    def run(self, code: str, *, cell_id: str | None = None, within_s: float = 30.0) -> CellRun:
        """Executes a cell and waits for its end, however it ends."""
        return self.wait(self.submit(code, cell_id=cell_id), within_s)

    def run_ok(self, code: str, *, cell_id: str | None = None, within_s: float = 30.0) -> CellRun:
        """As `run`; an exception in the cell fails the test."""
        run = self.run(code, cell_id=cell_id, within_s=within_s)
        assert run.status == "ok", f"{code}\n{run.stderr}\n{run.traceback}"
        return run

    def interrupt(self) -> None:
        """What the stop button does: SIGINT to the kernel's process group."""
        self.manager.interrupt_kernel()

    def kill(self) -> None:
        """`kill -9` of the kernel's process alone, without a word to its children."""
        os.kill(self.pid, signal.SIGKILL)

    def restart(self) -> None:
        """What the restart button does. Earlier runs keep what they have."""
        self.manager.restart_kernel(now=True)
        self.run_ok("None", within_s=START_TIMEOUT_S)

    def shutdown(self) -> None:
        """Ends the kernel as a server does, politely first, and the reading threads."""
        self._stopping.set()
        for reader in self._readers:
            reader.join()
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        self.manager.cleanup_resources()

    def _read_iopub(self) -> None:
        while not self._stopping.is_set():
            try:
                message = self.client.get_iopub_msg(timeout=READ_PAUSE_S)
            except queue.Empty:
                continue
            run = self._run_of(message)
            if run is None:
                continue
            if message["msg_type"] == "status":
                run.is_idle = message["content"]["execution_state"] == "idle"
            elif message["msg_type"] == "clear_output":
                run.messages.clear()
            elif message["msg_type"] == "update_display_data":
                self._update_display(message)
            else:
                run.messages.append(message)

    def _update_display(self, message: Message) -> None:
        # As in a front end, an update goes to where the display is, whichever cell sent it.
        name = message["content"]["transient"]["display_id"]
        with self._filing:
            runs = list(self.runs.values())
        for run in runs:
            shown = run.contents("display_data")
            if any(content.get("transient", {}).get("display_id") == name for content in shown):
                run.messages.append(message)

    def _read_shell(self) -> None:
        while not self._stopping.is_set():
            try:
                message = self.client.get_shell_msg(timeout=READ_PAUSE_S)
            except queue.Empty:
                continue
            run = self._run_of(message)
            if run is not None:
                run.reply = message

    def _run_of(self, message: Message) -> CellRun | None:
        with self._filing:
            return self.runs.get(message["parent_header"].get("msg_id", ""))
