"""Find the values that nobody may see, and hide them: those of Secrets, of variables with a telling name, and logins.

Called by control.explained, plan.difference, ui.secret_text and ui.spec_tree.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from bateau.domain.change import SECRET
from bateau.domain.expression import reads_variables
from bateau.domain.origin import Origin
from bateau.kit.json_value import ReadJson, ReadObject, object_at, part_at
from bateau.kit.position import steps

_OF_VARIABLES: Final = frozenset(("env", "data", "stringData", "binaryData"))
_SECRET_NAME: Final = re.compile(
    r"(?i)(passw|passphrase|(?:^|_)pass$|(?:^|_)pwd$|secret|token|credential|(?:api|private|access|signing)_?key)"
)
# A single word before the @ is a user's name, except for a web server, where it is a token.
_LOGIN: Final = re.compile(r"(\bhttps?://)[^/@\s]+@|(\b(?!https?:)[a-z][\w+.-]*://)[^/@\s]*:[^@\s]+@")


def reads_environment(chain: Iterable[Origin]) -> bool:
    """Whether `env()` gave a value: secrets come from there, so it is never shown."""
    return any(step.says and reads_variables(step.says) for step in chain)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret.

    >>> is_secret_name("DB_PASSWORD"), is_secret_name("TOKENS_MAX"), is_secret_name("PORT")
    (True, True, False)
    """
    return bool(_SECRET_NAME.search(name))


def is_secret(tree: ReadObject, path: str) -> bool:
    """Whether the leaf at `path` is never to be shown: it is in a Secret, or is named like one."""
    if tree.get("kind") == "Secret" and path.startswith(("data", "stringData")):
        return True
    return is_secret_name(variable_at(path, tree) or "")


def variable_at(path: str, desired: ReadObject) -> str | None:
    """Return the name of the variable or of the file that a path gives a value to."""
    taken = steps(path)
    if len(taken) > 1 and taken[-2] in _OF_VARIABLES and isinstance(taken[-1], str):
        return taken[-1]
    if not taken or taken[-1] != "value":
        return None
    at: ReadJson = desired
    for step in taken[:-1]:
        at = part_at(at, step)
    return str(object_at(at).get("name", ""))


def hidden(value: ReadJson, *, around: str = "") -> ReadJson:
    """Return the value at a path without the secrets in it: fields named like one, and logins in URLs."""
    if isinstance(value, str):
        return without_logins(value)
    if isinstance(value, Mapping):
        if around and steps(around)[-1] in _OF_VARIABLES:
            return _hidden_variables(value)
        if isinstance(value.get("value"), str) and is_secret_name(str(value.get("name", ""))):
            return {**value, "value": SECRET}
        return {
            key: _hidden_variables(each) if key in _OF_VARIABLES and isinstance(each, Mapping) else hidden(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [hidden(each) for each in value]
    return value


def without_logins(text: str) -> str:
    """Return a text without the logins in its URLs.

    >>> without_logins("postgres://shop:pw@db/1 https://token@git.example/x")
    'postgres://(secret)@db/1 https://(secret)@git.example/x'
    """
    return _LOGIN.sub(lambda found: f"{found[1] or found[2]}{SECRET}@", text)


def _hidden_variables(variables: ReadObject) -> ReadObject:
    return {name: SECRET if is_secret_name(name) else hidden(each) for name, each in variables.items()}
