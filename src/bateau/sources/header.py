"""Read the properties of a model file that serving needs, or report why the file is not a model.

Called by sources.hugging_face and sources.models.

Invariant: a file that is not a complete GGUF never becomes a ModelHeader. Held by tests/sources/test_models.py.
"""

from functools import lru_cache
from pathlib import Path

from bateau.domain.errors import NotAModel, SourceError, SourceNotFound
from bateau.domain.model_file import ModelHeader, ModelTask
from bateau.kit.gguf import Gguf, GgufError, read_gguf

# general.type, after docs/gguf.md and gguf-py's GGUFType
_OTHER_KINDS = {
    "adapter": "an adapter (LoRA)",
    "mmproj": "a projector for images or sound",
    "imatrix": "an importance matrix",
}


def model_header(path: Path, *, says: str) -> ModelHeader:
    """Read the header of the model at `path`. `says` is its name in messages.

    The header is cached in memory until the inode, the size or the times of the file change.
    Raises NotAModel, SourceNotFound, SourceError.
    """
    try:
        stat = path.stat()
        gguf = _read(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    except FileNotFoundError as error:
        raise SourceNotFound(f"{says} does not exist", hint=f"looked for {path}") from error
    except GgufError as error:
        raise NotAModel(f"{says} {error}") from error
    except OSError as error:
        raise SourceError(f"{says} cannot be read: {error.strerror}") from error
    if gguf.split_count > 1:
        raise split_not_supported(says)
    other = _OTHER_KINDS.get(gguf.kind or "")
    if other:
        raise NotAModel(f"{says} is {other}, not a model", hint="use the model that it belongs to")
    if gguf.tensor_count == 0:
        raise NotAModel(f"{says} contains no tensors: it is only a vocabulary or a header, not a model")
    return ModelHeader(
        architecture=gguf.architecture,
        name=gguf.name,
        context_length_trained=gguf.context_length,
        kv_bytes_per_token=gguf.kv_bytes_per_token,
        chat_template=gguf.chat_template,
        task=_task(gguf),
        parameters=gguf.parameters,
        quantization=gguf.file_type,
    )


def _task(gguf: Gguf) -> ModelTask:
    if gguf.pooling == "rank":
        return "rerank"
    return "embed" if gguf.pooling in {"mean", "cls", "last"} or not gguf.causal else "generate"


def split_not_supported(says: str) -> SourceError:
    """Return the error for one part of a model in several files."""
    return SourceError(
        f"{says} is one part of a model that is split over several files, which is not supported yet",
        hint="choose a smaller quantisation in one file, or join the parts with `llama-gguf-split --merge`",
    )


@lru_cache(maxsize=64)
def _read(path: Path, _identity: tuple[int, ...]) -> Gguf:
    return read_gguf(path)
