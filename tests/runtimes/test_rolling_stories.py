"""Rolling follows every story in tests/stories/rolling. `--accept` rewrites the stories with the current output."""

from pathlib import Path

import pytest

from runtimes.story import retell

STORIES = sorted((Path(__file__).parent.parent / "stories/rolling").glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_the_story_goes_as_it_is_written(story: Path, request: pytest.FixtureRequest) -> None:
    written = story.read_text()
    told = retell(written)
    if request.config.getoption("--accept", default=False):
        story.write_text(told)
    else:
        assert told == written


def test_there_are_stories() -> None:
    assert len(STORIES) >= 9
