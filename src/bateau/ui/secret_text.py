"""Find the values of secrets in the text of spec files, so that no page shows them.

Called by ui.change_view and ui.changes.

Invariant: a text with the value of a secret is in no page; also if it is not valid YAML. Held by
tests/ui/test_change.py::test_a_file_with_a_secret_is_not_shown and
tests/ui/test_change_deletion.py::test_the_value_of_a_secret_is_not_brought_back_into_a_page.
"""

import re
from typing import Final

from bateau.domain.secrecy import is_secret, is_secret_name, without_logins
from bateau.kit.json_value import is_object
from bateau.kit.position import leaves
from bateau.kit.yaml_tree import read_documents

# A field with a value on its line, for texts that are not valid YAML.
_FIELD: Final = re.compile(r"[\"']?([A-Za-z0-9_.-]+)[\"']?\s*:\s*[\"']?([^\s\"'#,}\]].*)")
_EXPRESSION: Final = "${"


def secret_at(name: str, text: str) -> str | None:
    r"""Return the place of the first value of a secret, None if there is none.

    >>> secret_at("a.yaml", "kind: App\nspec: {env: {API_TOKEN: abc}}")
    'a.yaml:2:25'
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if without_logins(line) != line:
            return f"{name}:{number}"
    documents, unread = read_documents(name, text)
    for document in documents:
        tree = document.tree
        if not is_object(tree):
            continue
        for path, value in leaves(tree):
            if isinstance(value, str) and value and _EXPRESSION not in value and is_secret(tree, path):
                return str(document.positions.get(path, document.position))
    if not unread and not any(document.flaws for document in documents):
        return None
    for number, line in enumerate(text.splitlines(), start=1):
        found = _FIELD.search(line)
        if found and is_secret_name(found[1]) and _EXPRESSION not in found[2]:
            return f"{name}:{number}"
    return None
