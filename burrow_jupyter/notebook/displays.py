"""What tasks display: rich objects and figures, shown under the cell that launched them.

Runs in workers. A worker has no IPython shell, without which IPython's `display` only
prints: so, should user code import it, it is given another way out, over which the bundle
travels like printed text. Formatting stays IPython's.

Source: IPython 9 `IPython.core.display_functions`, whose signatures are kept. Differs:
`clear_output` clears what this task has displayed, not the cell, which others share.
"""

from __future__ import annotations

import builtins
import sys
import traceback
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core.messages import DISPLAY, Displayed
from burrow_jupyter.engine import current, execute, on_import

if TYPE_CHECKING:
    from types import ModuleType

    from burrow_jupyter.engine.output import Output

DISPLAY_MAX_BYTES = 8 * 1024 * 1024
"""Of one display."""

_PYPLOT = "matplotlib.pyplot"
_INLINE = "matplotlib_inline.backend_inline"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_to_json = msgspec.json.Encoder(enc_hook=str).encode  # bytes as base64, as front ends expect


def _use_plain_bars(module: ModuleType) -> None:
    """Have notebook bars be plain ones: a widget in a worker has no kernel to be moved by.

    A plain bar is shown as a line that moves, like those of `tqdm.tqdm` and `tqdm.auto`.
    """
    from tqdm import std  # noqa: PLC0415  # what has just been imported needs it

    for name in ("tqdm", "tqdm_notebook"):
        setattr(module, name, std.tqdm)
    for name in ("trange", "tnrange"):
        setattr(module, name, std.trange)


class Displays:
    """The way out for what the calls of one worker display."""

    def __init__(self, output: Output) -> None:
        """Be ready, at no cost for tasks that display nothing."""
        self._output = output
        self._formatter: Any = None
        self._shown: tuple[int, str] = (0, "")  # by the latest call that has displayed
        self._replace = False
        # As in every cell, it needs no import.
        builtins.display = self._first_display  # type: ignore[attr-defined]  # IPython's custom
        on_import.patch("IPython.core.display_functions", self._patch)
        on_import.patch("tqdm.notebook", _use_plain_bars)
        execute.after_call.append(self._show_figures)

    def _first_display(self, *objects: Any, **options: Any) -> Any:
        from IPython.display import display  # noqa: PLC0415  # for those who use it

        return display(*objects, **options)

    def _patch(self, module: ModuleType) -> None:
        """Give IPython's module another way out."""
        module.display = self._display  # type: ignore[attr-defined]  # it has one
        module.publish_display_data = self.publish  # type: ignore[attr-defined]
        module.clear_output = self._clear  # type: ignore[attr-defined]

    # ---- what user code calls ----------------------------------------------------------

    def _display(
        self,
        *objs: Any,
        include: Any = None,
        exclude: Any = None,
        metadata: dict[str, Any] | None = None,
        transient: dict[str, Any] | None = None,
        display_id: str | bool | None = None,
        raw: bool = False,
        clear: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Display objects under the cell that launched the task."""
        from IPython.core.display_functions import DisplayHandle  # noqa: PLC0415  # user code's

        transient = dict(transient or {})
        if display_id:
            transient["display_id"] = uuid.uuid4().hex if display_id is True else display_id
        if kwargs.get("update") and "display_id" not in transient:
            msg = "display_id required for update_display"
            raise TypeError(msg)
        if clear:
            self._clear(wait=True)
        if not objs and display_id:
            objs, raw = ({},), True  # a place that is filled later
        for thing in objs:
            if raw:
                bundle, extra = thing, {}
            else:
                bundle, extra = self._format(thing, include, exclude)
                if not bundle:
                    continue  # it has displayed itself
            self.publish(bundle, {**extra, **(metadata or {})}, transient=transient, **kwargs)
        return DisplayHandle(transient["display_id"]) if display_id else None

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        """Send a MIME bundle to the driver."""
        call = current.call()
        given = (transient or {}).get("display_id", "")
        display_id = given or uuid.uuid4().hex
        if self._replace and not given and self._shown[0] == call.task_id:
            display_id, update = self._shown[1], True
        self._replace = False
        self._shown = (call.task_id, display_id)
        # A widget's model lives in the worker, where no front end finds it.
        data = {kind: value for kind, value in data.items() if kind != _WIDGET}
        message = _to_json(Displayed(data, metadata or {}, display_id, update))
        if len(message) > DISPLAY_MAX_BYTES:
            plain = str(data.get("text/plain", ""))[:1000]
            size = f"{len(message) / 1e6:.1f} MB, more than {DISPLAY_MAX_BYTES / 1e6:.1f} MB"
            text = f"{plain}\n(not displayed: {size}; return the object instead)"
            message = _to_json(Displayed({"text/plain": text}, {}, display_id, update))
        self._output.send(DISPLAY, message)

    def _clear(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002  # IPython's call
        """Have the next display of this call replace its latest one; or remove that now."""
        task_id, display_id = self._shown
        if task_id != current.call().task_id:
            return
        if not wait:
            self.publish({"text/plain": ""}, transient={"display_id": display_id}, update=True)
        self._replace = True

    # ---- formatting --------------------------------------------------------------------

    def _format(self, thing: Any, include: Any, exclude: Any) -> Any:
        if self._formatter is None:
            from IPython.core.formatters import DisplayFormatter  # noqa: PLC0415  # user code's

            self._formatter = DisplayFormatter()
            self._formatter.formatters["image/png"].for_type_by_name(
                "matplotlib.figure", "Figure", _picture
            )
        return self._formatter.format(thing, include=include, exclude=exclude)

    def _show_figures(self, result: Any) -> None:
        """Show the figures that a call has left open, as they show at the end of a cell.

        Figures that it returns show, in the same way, at the end of the cell that gets them.
        """
        if _PYPLOT not in sys.modules:
            return
        pyplot: Any = sys.modules[_PYPLOT]
        if not pyplot.get_fignums() or _INLINE not in sys.modules:
            return  # none, or not drawn for a notebook
        returned = list(result.values()) if isinstance(result, dict) else result
        for figure in returned if isinstance(returned, list | tuple) else (returned,):
            if isinstance(figure, sys.modules["matplotlib.figure"].Figure):
                pyplot.close(figure)
        try:
            sys.modules[_INLINE].show(True)  # closes them
        except Exception:  # noqa: BLE001  # of the user's artists, after the task
            traceback.print_exc()


def _picture(figure: Any) -> Any:
    from IPython.core.pylabtools import print_figure  # noqa: PLC0415  # user code's

    return print_figure(figure, fmt="png")
