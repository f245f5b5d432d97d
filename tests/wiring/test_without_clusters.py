"""Why an environment has no clusters, in a sentence that is true."""

from pathlib import Path

import pytest

from bateau.wiring.comparing import why_without_clusters
from bateau.wiring.question import Question

HEAD = "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\n"


@pytest.mark.parametrize(
    ("text", "environment", "says"),
    [
        (HEAD, "prod", "prod names no clusters"),
        (HEAD, "live", "there is no environment live; there is prod"),
        ("", "prod", "there is no environment prod; there is none"),
        (HEAD + "spec: {", "prod", "prod is not known, because the specs have errors; see `bateau check`"),
    ],
)
def test_the_reason_is_the_right_one(tmp_path: Path, text: str, environment: str, says: str) -> None:
    (tmp_path / "prod.yaml").write_text(text)
    assert why_without_clusters(Question(directory=tmp_path, environment=environment)) == says
