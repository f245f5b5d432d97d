"""Addresses of Hugging Face that people paste."""

import pytest

from bateau.kit.hub_page import hub_reference


@pytest.mark.parametrize(
    ("address", "reference"),
    [
        ("hf.co/acme/demo:Q4_K_M", "hf://acme/demo:Q4_K_M"),
        ("https://huggingface.co/acme/demo", "hf://acme/demo"),
        ("https://huggingface.co/acme/demo/blob/v1/sub/m.gguf", "hf://acme/demo/sub/m.gguf@v1"),
        ("https://huggingface.co/acme/demo?show_file_info=m.gguf", "hf://acme/demo/m.gguf"),
    ],
)
def test_a_page_gives_the_reference(address: str, reference: str) -> None:
    assert hub_reference(address) == reference


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/acme/demo/resolve/main/m.gguf",
        "https://example.org/acme/demo",
        "hf://acme/demo",
        "smollm2",
        "./m.gguf",
    ],
)
def test_anything_that_may_be_a_model_is_not_a_page(text: str) -> None:
    assert hub_reference(text) is None
