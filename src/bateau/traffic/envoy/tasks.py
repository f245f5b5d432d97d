"""Refuse requests for what a model does not do, in a sentence that names what it does.

Called by traffic.envoy.routes. Its routes come before the route of the model.

Invariant: a model whose task is unknown gets every request. Held by
tests/traffic/test_routing.py::test_every_path_below_v1_goes_to_the_model_as_it_is.
Refused: leaving it to llama.cpp; a reranker that is asked for embeddings answers 200 with zeros, and other models
answer 501 with a flag that nobody can set.
"""

import json
from collections.abc import Mapping
from typing import Final

from bateau.domain.endpoint import Backend
from bateau.domain.model_file import ModelTask
from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.api_paths import PATHS
from bateau.traffic.envoy.openai_errors import direct_response, invalid_request, json_content_type

_DOES: Final[Mapping[ModelTask, str]] = {
    "generate": "generates text",
    "embed": "creates embeddings",
    "rerank": "ranks documents",
}


def other_tasks(model: Backend, alias: str | None = None) -> list[ReadObject]:
    """Return a Route for each path of a task that `model` does not have; its text has the name or the alias."""
    if model.task is None:
        return []
    says = f"The model {json.dumps(alias or model.name)} {_DOES[model.task]}: send requests to {PATHS[model.task][0]}."
    body = invalid_request(says, code="unsupported_by_model", param="model")
    return [
        {
            "name": "-unsupported-",
            "match": {"path": path},
            "direct_response": direct_response(400, body),
            "response_headers_to_add": json_content_type(),
        }
        for task, paths in PATHS.items()
        if task != model.task
        for path in paths
    ]
