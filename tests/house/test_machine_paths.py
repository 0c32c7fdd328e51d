"""The checkout works wherever it lies, and asks whichever registries its user has set."""

import re

from helpers.checkout import ROOT, tracked_files

PERSONAL_FOLDER = re.compile(r"(?<![\w.<>{}$*-])/(?:home|root|work|Users|farm)/[\w.]")

REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(host))
        for host in (
            ("registry", "npmjs", "org"),
            ("registry", "yarnpkg", "com"),
            ("files", "pythonhosted", "org"),
            ("pypi", "org/simple"),
            ("deb", "debian", "org"),
        )
    )
)


def lines_with(pattern):
    found = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a picture
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_folder_of_one_machine():
    assert lines_with(PERSONAL_FOLDER) == []


def test_no_file_names_the_host_of_a_registry():
    assert lines_with(REGISTRIES) == []
