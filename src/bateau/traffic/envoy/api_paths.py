"""The paths at which a request names a model in its body, by the task that the model needs.

Called by traffic.envoy and wiring.story.
"""

from collections.abc import Mapping
from typing import Final

from bateau.domain.model_file import ModelTask
from bateau.domain.used import COUNTING
from bateau.traffic.envoy.anthropic_errors import MESSAGES

# The first path of each is the one to recommend.
PATHS: Final[Mapping[ModelTask, tuple[str, ...]]] = {
    "generate": ("/v1/chat/completions", "/v1/completions", "/v1/responses", MESSAGES),
    "embed": ("/v1/embeddings",),
    "rerank": ("/v1/rerank", "/v1/reranking"),
}
# The roles that `messages` may have, of the paths where an engine may answer others without an end. The roles are those
# of OpenAI's and Anthropic's API references.
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "/v1/chat/completions": ("system", "developer", "user", "assistant", "tool", "function"),
    MESSAGES: ("user", "assistant"),
}
# Each takes a POST. Tokens are counted by a model of any task.
MODEL_PATHS: Final = (*(path for paths in PATHS.values() for path in paths), *COUNTING)
# What llama.cpp has beyond them, in its own words: the tokens of a text.
TOKENIZE: Final = "/tokenize"
# Below these are the APIs that the translator has.
TRANSLATED: Final = ("/api/", "/v2/")
TRANSLATED_ROOT: Final = "/v2"
# Each takes a POST for the control plane, whose sender proves itself by a signature.
WEBHOOK: Final = "/-/webhooks/git"
MODEL_LIST: Final = "/v1/models"
EVENTS: Final = "/-/events"
# The dashboard; its stream of updates is the one path with answers that never end.
UI: Final = "/ui"
UI_LIVE: Final = "/ui/live"
HEALTH: Final = "/healthz"
HOME: Final = "/"
