"""How the notebook shows things: HTML that needs no script, no style sheet and no widget.

Everything that comes from the user is escaped here. Colours are the front end's own
variables with fallbacks, so that the same output is right in a light and a dark theme,
in an exported page, and, where styles are stripped, as plain words.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLOURS = {
    "waiting": "var(--jp-border-color1, #bdbdbd)",
    "ready": "var(--jp-brand-color1, #1976d2);opacity:0.4",  # paler than "running" in each theme
    "running": "var(--jp-brand-color1, #1976d2)",
    "finished": "var(--jp-success-color1, #388e3c)",
    "failed": "var(--jp-error-color1, #d32f2f)",
    "cancelled": "var(--jp-ui-font-color3, #9e9e9e)",
}
"""Of the states of tasks; other words for a state are in the table below."""

_STATES = {
    "blocked": "running",
    "starting": "ready",
    "restarting": "ready",
    "pending": "waiting",
    "alive": "finished",
    "dead": "failed",
    "ended": "cancelled",
    "unknown": "cancelled",
}
_MUTED = "color:var(--jp-content-font-color2, #757575)"
_CODE = "font-family:var(--jp-code-font-family, monospace)"
_ROOT = (
    "display:flex;flex-direction:column;gap:2px;font-size:var(--jp-code-font-size, 13px);"
    "line-height:1.5;color:var(--jp-content-font-color1, inherit)"
)
_LINE = "display:flex;align-items:baseline;gap:0 8px;flex-wrap:wrap"
_MARKED = "display:inline-flex;align-items:baseline;gap:8px;max-width:100%"
"""The dot stays with what it is the state of, in however narrow a window."""
_BREAKS = "min-width:0;overflow-wrap:anywhere"
_BAR = (
    "display:flex;height:6px;width:240px;max-width:100%;border-radius:3px;overflow:hidden;"
    "background:var(--jp-layout-color3, #e0e0e0);align-self:center"
)


def colour(state: str) -> str:
    """Return the colour of a task's or actor's state."""
    return COLOURS[_STATES.get(state, state)]


def view(*lines: str) -> str:
    """Put lines into one view."""
    return f'<div class="burrow-view" style="{_ROOT}">{"".join(lines)}</div>'


def line(*parts: str) -> str:
    """Put parts side by side."""
    return f'<div style="{_LINE}">{" ".join(part for part in parts if part)}</div>'


def marked(state: str, part: str) -> str:
    """Return a part with the dot before it that shows a state; the words behind it say the same."""
    dot = f'<span aria-hidden="true" style="color:{colour(state)}">●</span>'
    return f'<span style="{_MARKED}">{dot} {part}</span>'


def name(text: str) -> str:
    """Return a name from the user's code."""
    return f'<span style="{_CODE};{_BREAKS};font-weight:600">{escape(text)}</span>'


def words(text: str) -> str:
    """Return what is said about a thing, "" if that is nothing."""
    return f'<span style="{_MUTED};{_BREAKS}">{escape(text)}</span>' if text else ""


def error(text: str) -> str:
    """Return one line that says what went wrong."""
    return f'<span style="{_CODE};color:{COLOURS["failed"]}">{escape(text)}</span>'


def code(text: str, *, below: bool = True) -> str:
    """Return a value's text, line breaks kept; set in if it is below what it is of."""
    return (
        f'<pre style="{_CODE};margin:0 0 0 {18 if below else 0}px;padding:0;background:none;border:0;'
        f'white-space:pre-wrap;color:inherit">{escape(text)}</pre>'
    )


def block(html: str) -> str:
    """Return a value's own HTML, set in as `code` is."""
    return f'<div style="margin:0 0 0 18px">{html}</div>'


def image(png_base64: str) -> str:
    """Return a picture."""
    return block(f'<img alt="" src="data:image/png;base64,{escape(png_base64)}">')


def bar(counts: Mapping[str, int]) -> str:
    """Return a bar of the shares of the states, ended ones first."""
    total = sum(counts.values()) or 1
    order = ("finished", "failed", "cancelled", "unknown", "running", "blocked", "ready")
    parts = "".join(
        f'<span style="width:{100 * counts[state] / total:.2f}%;background:{colour(state)}"></span>'
        for state in order
        if counts.get(state)
    )
    return f'<span role="img" aria-hidden="true" style="{_BAR}">{parts}</span>'


def stop_button(session: str, run: str) -> str:
    """Return a button for a run's tasks; shown by the front end that can carry it out."""
    return (
        '<button class="burrow-stop" style="display:none" title="Stop the tasks of this cell" '
        f'data-burrow-session="{escape(session)}" data-burrow-run="{escape(run)}">Stop</button>'
    )


def duration(seconds: float) -> str:
    """Return a time as people say it: "3 ms", "1.2 s", "2 min 5 s", "3 h 2 min"."""
    if seconds < 0.0995:  # what rounds to 0.1 s is said in seconds
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 59.95:  # what rounds to 60 is said in minutes
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # minutes an hour
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(nbytes: int) -> str:
    """Return an amount of memory as people say it, in powers of ten."""
    amount = float(nbytes)
    for unit in ("bytes", "kB", "MB"):
        if amount < 999.5:  # what rounds to 1000 is said in the next unit
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"


def several(count: int, thing: str) -> str:
    """Return "1 task", "2 tasks"."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def listed(parts: Iterable[str]) -> str:
    """Join parts that are there with a middle dot."""
    return " · ".join(part for part in parts if part)
