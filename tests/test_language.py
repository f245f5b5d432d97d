"""The English of the documents, the help, the docstrings and the messages: plain, with a subject in every clause."""

import pytest

from prose import (
    NOT_YET,
    Passage,
    area,
    areas,
    bad_words,
    bare_clauses,
    comments,
    markdown,
    python,
)

AREAS = areas()


@pytest.mark.parametrize("name", sorted(AREAS))
def test_an_area_has_as_many_flaws_as_the_table_says(name: str):
    """None, or as many as NOT_YET allows: more are reported one by one, and fewer tighten the table."""
    found, allowed = AREAS[name], NOT_YET.get(name, (0, 0))
    assert found.excess(allowed) == []
    if name in NOT_YET:
        figures = (len(found.words), len(found.clauses))
        assert figures == allowed, f"lower the figures of {name} in NOT_YET (tests/prose.py) to {figures}"


@pytest.mark.parametrize(
    ("clauses", "words", "allowed", "count"),
    [(1, 3_400, (0, 0), 0), (1, 3_300, (0, 0), 1), (2, 100, (0, 2), 0), (2, 100, (0, 1), 2)],
)
def test_clauses_are_bounded_by_the_table_or_by_their_share_of_the_words(
    clauses: int, words: int, allowed: tuple[int, int], count: int
):
    passages = [Passage("page.md", 1, "what is, " * clauses), Passage("page.md", 1, "word " * (words - 2 * clauses))]
    assert len(area(passages).excess(allowed)) == count


def test_only_areas_that_exist_are_still_to_be_rewritten():
    assert NOT_YET.keys() <= AREAS.keys()
    assert all(figures != (0, 0) for figures in NOT_YET.values())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Mend it, and save.", "mend, put right"),
        ("It puts that right.", "mend, put right"),
        ("The specs have mistakes.", "mistake"),
        ("Replicas that shall run.", "shall"),
        ("Envoy is told\nover xDS.", "is told, tells of"),
        ("Missing programs are said to be not checked.", "is told, tells of"),
        ("A push that GitHub tells of.", "is told, tells of"),
        ("The other replicas go on.", "goes on"),
        ("The document is not written any more.", "any more"),
        ("A file that is no spec.", "is no X"),
        ("It is no `Model`.", "is no X"),
        ("Objects of ours.", "of ours"),
        ("An operator of somebody else's.", "of ours"),
        ("Write a file a service there.", "a file a service"),
        ("About 695 MB a replica.", "a file a service"),
        ("No Python on the way of a request.", "the way of"),
        ("What runs is not changed.", "what runs"),
        ("Apply what is written.", "what is written"),
        ("The header is looked at.", "looked at"),
        ("A commit is taken up.", "taken up, taken along"),
        ("A starter set comes along.", "taken up, taken along"),
        ("The replica is made anew.", "anew"),
        ("Back and forth.", "forth"),
        ("hint: there is: http, grpc", "there is:"),
        ("Both are rendered alike.", "alike"),
        ("One service hinders no other.", "hinder"),
        ("Nothing is ignored in silence.", "in silence"),
    ],
)
def test_a_word_from_the_list_is_found(text: str, name: str):
    (passage,) = markdown("page.md", text)
    assert name in {found for found, _ in bad_words(passage)}


@pytest.mark.parametrize(
    "text",
    [
        "There is no control plane for this instance.",
        "It is no longer running, and no more than one is needed.",
        "A process killed by mistake.",
        "Roll SERVICE back to its most recent healthy revision that differs from the current one.",
        "Write one file per service to this directory.",
        "`unknown`: the object belongs to a third-party operator, so the effect of the edit is not known.",
        "The message is `what is written has mistakes`.",
        "See [the list](mistakes.md#alike).",
        "Available: http, grpc.",
        "It exits with 3 if a service failed.",
        "Never reports a name that exists, nor one that a document may have.",
        "The model takes up 3 GB, at 40 requests a second.",
    ],
)
def test_plain_english_passes(text: str):
    (passage,) = markdown("page.md", text)
    assert bad_words(passage) == []
    assert bare_clauses(passage) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("What is written has errors; what runs is not changed.", 2),
        ("It compares them with what\nshould run.", 1),
        ("Bateau does not know what follows.", 1),
        ("What is it?", 0),
        ("Which field, and what does it mean? Ask `explain`.", 0),
        ("What Envoy printed.", 0),
        ("`explain` says what a field means.", 0),
    ],
)
def test_a_clause_without_a_subject_is_found_and_a_question_is_not(text: str, count: int):
    (passage,) = markdown("page.md", text)
    assert len(bare_clauses(passage)) == count


def test_a_page_is_read_without_its_code_and_with_its_lines():
    text = (
        "# Title\n\nOne `code`.\n\n```console\nwhat runs\n```\n\n- item\n  of two lines\n- next\n\n| cell | other |\n"
    )
    assert [(each.line, each.text) for each in markdown("page.md", text)] == [
        (1, "# Title"),
        (3, "One CODE."),
        (9, "- item\n  of two lines"),
        (11, "- next"),
        (13, " cell "),
        (13, " other "),
    ]


def test_a_module_is_read_as_docstrings_messages_and_comments():
    text = '''\
"""Module docstring.

>>> print("shall")
shall
"""
import re

# A comment
# of two lines.
PATTERN = re.compile("what runs")


def fail(name: str) -> str:
    """Say so."""
    return f"{name} is missing: " + "add it"  # at once
'''
    assert [(each.line, " ".join(each.text.split())) for each in python("module.py", text)] == [
        (1, "Module docstring."),
        (14, "Say so."),
        (15, "add it"),
        (15, "CODE is missing:"),
        (8, "A comment of two lines."),
        (15, "at once"),
    ]


def test_comments_of_a_spec_are_read():
    text = "# One\n# comment.\nspec:\n  port: 80  # the port\n  url: http://host/#x\n"
    assert [(each.line, each.text) for each in comments("spec.yaml", text)] == [(1, "One\ncomment."), (4, "the port")]


def test_a_place_is_that_of_the_match():
    passage = Passage("page.md", 3, "One line.\nThe other goes on.")
    assert bad_words(passage) == [("goes on", "page.md:4  ...One line. The other goes on....")]
