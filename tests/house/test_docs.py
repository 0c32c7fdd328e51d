"""The documents keep their promises: links lead somewhere, code runs, commands exist."""

import re
import subprocess

import pytest

from helpers.checkout import ROOT, tracked_files

DOCUMENTS = [path for path in tracked_files() if path.suffix == ".md"]
LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\./run (\S+)", re.MULTILINE)


def name_of(path):
    return str(path.relative_to(ROOT))


def anchors(text):
    """The anchors that headings get, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(text)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_and_pictures_lead_somewhere(document):
    broken = []
    for link in LINK.findall(document.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path) if path else document
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target.read_text())
        ):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if CODE.search(d.read_text())], ids=name_of
)
def test_code_in_a_document_runs_in_a_notebook(document, kernel):
    for cell in CODE.findall(document.read_text()):
        run = kernel.run_ok(cell)
        assert "is not an IPython extension" not in run.stdout  # %load_ext says so without failing
    kernel.run_ok("import burrow\nburrow.shutdown()")


def test_the_readme_names_commands_that_exist():
    offered = subprocess.run(
        [ROOT / "run", "help"], capture_output=True, text=True, check=True
    ).stdout

    named = COMMAND.findall((ROOT / "README.md").read_text())

    assert named
    assert [command for command in named if f"./run {command}" not in offered] == []
