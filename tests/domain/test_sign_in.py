"""Roles that claims give, and the names of people."""

import pytest

from bateau.domain.sign_in import Person, Role, SignInIssuer


def an_issuer(*roles: tuple[Role, str]) -> SignInIssuer:
    return SignInIssuer(
        name="corp", url="https://login.example.org", client_id="dashboard", secret_file=None, roles=roles, created_at=1
    )


@pytest.mark.parametrize("values", [["a", "b"], ["b", "a"], ["b", "a", "c"], ["b", "b"]])
def test_the_highest_mapped_role_counts(values: list[str]) -> None:
    assert an_issuer(("view", "a"), ("operate", "b"), ("view", "b")).role_of(values) == "operate"


@pytest.mark.parametrize("values", [[], [""], ["A"], ["a "], ["*"], ["view"]])
def test_without_a_mapped_value_there_is_no_role(values: list[str]) -> None:
    assert an_issuer(("admin", "a")).role_of(values) is None


@pytest.mark.parametrize(
    ("full_name", "email", "author"),
    [
        ("Ada Lovelace", "ada@example.org", "Ada Lovelace <ada@example.org>"),
        ("Ada", None, "Ada <>"),
        ("A<b>\nx", "a@example.org", "A b  x <a@example.org>"),
        ("<>", None, "4711 <>"),
    ],
)
def test_a_person_is_an_author_that_git_can_read(full_name: str, email: str | None, author: str) -> None:
    person = Person(issuer=an_issuer(), subject="4711", name="ada", full_name=full_name, email=email)
    assert (person.author, person.actor) == (author, "ada (corp)")
