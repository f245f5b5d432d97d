"""The documents as tests see them: pages, their fenced blocks, links and headings."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<marks>`{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=marks)[ ]*$", re.MULTILINE | re.DOTALL)
_RUN_MARK = "<!-- run -->"


@dataclass(frozen=True)
class Block:
    """A fenced block. `runnable`: the line before it says `<!-- run -->`."""

    page: Path
    line: int
    language: str
    text: str
    runnable: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return every page that is written by hand, without built and generated ones."""
    found = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]
    return found + [
        path for path in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", "generated"} & set(path.parts)
    ]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text()
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"].strip(),
            text=match["text"],
            runnable=text[: match.start()].rstrip().endswith(_RUN_MARK),
        )
        for match in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Return the targets of links and images that do not lead out of the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in found if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(block: Block) -> list[str]:
    """Return the lines of a block that someone would type: all of a script, the `$` lines of a recorded terminal."""
    if block.language not in ("sh", "console"):
        return []
    text = block.text.replace("\\\n", " ")
    if block.language == "console":
        return re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
