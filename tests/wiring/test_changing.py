"""A draft is planned in a process of its own, and becomes a commit where a repository is followed."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from bateau.control.reading import InProcess
from bateau.domain.errors import ControlError, SourceError
from bateau.domain.inventory import Machine
from bateau.domain.model_file import ModelFile, ModelHeader
from bateau.domain.offered import Offered
from bateau.domain.text_change import ChangedMeanwhileError, TextChange
from bateau.sources.git import parse
from bateau.sources.models import Models
from bateau.wiring.changing import Changing
from bateau.wiring.offered_models import OfferedModels
from bateau.wiring.promotion import promoted
from bateau.wiring.question import Question
from bateau.wiring.reading import WorkerReader
from bateau.wiring.repository import FollowedRepository
from control.world import World, app, world
from git.workshop import SPEC, Workshop

TODAY = date(2026, 11, 28)
ONE, TWO = SPEC.format(1), SPEC.format(2)


async def nothing() -> Sequence[Offered]:
    return ()


def home(folder: Path) -> dict[str, str]:
    """Return an environment in which git knows who commits."""
    (folder / ".gitconfig").write_text("[user]\n  name = Grace\n  email = grace@example.org\n")
    return {"HOME": str(folder), "PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_NOSYSTEM": "1"}


async def followed(workshop: Workshop, folder: Path) -> FollowedRepository:
    """Follow the folder `deploy` of a repository."""
    found = FollowedRepository(
        parse(f"{workshop.url}@main#subdirectory=deploy"),
        cache=folder / "cache",
        directory=folder / "source",
        environ=home(folder),
    )
    await found.open()
    return found


def changing_of(made: World, repository: FollowedRepository, folder: Path) -> Changing:
    return Changing(
        made.control,
        directory=folder / "source",
        follows="repository",
        reader=InProcess(),
        offered=nothing,
        repository=repository,
    )


async def test_a_draft_becomes_a_commit_on_a_branch(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "acme")
    (workshop.directory / "deploy").mkdir()
    first = workshop.commit("one", **{"deploy/shop": ONE})
    repository = await followed(workshop, tmp_path)
    async with world(shop=ONE) as made:
        await made.until(lambda: made.status.rolled_out)
        changing = changing_of(made, repository, tmp_path)
        says = await changing.apply({"shop.yaml": TextChange(before=ONE, after=TWO)}, message="Two shops")
        branch = says.partition("is on branch ")[2].partition(";")[0]
        assert workshop.git("show", f"{branch}:deploy/shop.yaml") + "\n" == TWO
        assert workshop.git("log", "-1", "--format=%an: %s", branch) == "Grace: Two shops"
        assert workshop.git("rev-parse", f"{branch}^") == first
        assert workshop.git("rev-parse", "main") == first, "the followed branch is as before"
        assert workshop.git("status", "--porcelain") == "", "and so is the work tree"
        assert (tmp_path / "source/shop.yaml").read_text() == ONE, "and the files of the instance"
        with pytest.raises(ChangedMeanwhileError, match=r"shop.yaml has changed since this draft began"):
            await changing.apply({"shop.yaml": TextChange(before=TWO, after=ONE)}, message="")
        with pytest.raises(ControlError, match="is not the name of a spec file"):
            await changing.apply({"../shop.yaml": TextChange(before=None, after=ONE)}, message="")
        again = await changing.apply({"new/cart.yaml": TextChange(before=None, after=ONE)}, message="A cart")
        branch = again.partition("is on branch ")[2].partition(";")[0]
        assert workshop.git("diff", "--name-only", "main", branch) == "deploy/new/cart.yaml"
        says = await changing.apply({"shop.yaml": TextChange(before=ONE, after=None)}, message="No shop")
        branch = says.partition("is on branch ")[2].partition(";")[0]
        assert workshop.git("diff", "--name-status", "main", branch) == "D\tdeploy/shop.yaml"
        assert (tmp_path / "source/shop.yaml").read_text() == ONE, "it is deleted with the merge"
        for author, mail in (("Ada Lovelace <ada@example.org>", "ada@example.org"), ("Ada Lovelace <>", "")):
            says = await changing.apply({"b.yaml": TextChange(before=None, after=ONE)}, message="B", author=author)
            branch = says.partition("is on branch ")[2].partition(";")[0]
            who = workshop.git("log", "-1", "--format=%an/%ae/%cn", branch)
            assert who == f"Ada Lovelace/{mail}/Grace", "git's own author commits for the person"


def environment(name: str, tag: str) -> str:
    head = f"apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {{name: {name}}}\n"
    return head + f"spec:\n  values:\n    shop: {{image: 'r.example/shop:{tag}'}}  # seen by customers\n"


async def test_versions_are_promoted_in_the_followed_repository_as_in_a_clone(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "acme")
    (workshop.directory / "deploy").mkdir()
    shop = (
        "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: shop}\nspec: {image: '${ values.shop.image }'}\n"
    )
    files = {
        "deploy/shop": shop,
        "deploy/staging": environment("staging", "2.0"),
        "deploy/prod": environment("prod", "1.9"),
    }
    first = workshop.commit("one", **files)
    repository = await followed(workshop, tmp_path)
    async with world(shop=ONE) as made:
        changing = changing_of(made, repository, tmp_path)
        workshop.commit("two", **{"deploy/prod": environment("prod", "1.9") + "# edited meanwhile\n"})
        found = await changing.promote("shop", source="staging", target="prod", author="Ada <ada@example.org>")
        assert found.commit
        assert found.promotion.changes == ("values.shop.image: r.example/shop:1.9 -> r.example/shop:2.0",)
        assert workshop.git("rev-parse", f"{found.branch}^") == first, "the commit whose versions were read"
        who = workshop.git("log", "-1", "--format=%an/%cn: %s", found.branch)
        assert who == "Ada/Grace: Promote shop from staging to prod"
        workshop.git("checkout", "--quiet", "-b", "before", first)
        workshop.git("config", "user.name", "Linus")
        workshop.git("config", "user.email", "linus@example.org")
        place = Question(directory=workshop.directory / "deploy", environment=None)
        here = await asyncio.to_thread(
            promoted, place, "HEAD", service="shop", source="staging", target="prod", branch="by-hand"
        )
        assert here.promotion == found.promotion
        assert workshop.git("rev-parse", "by-hand^{tree}") == workshop.git("rev-parse", f"{found.branch}^{{tree}}")
        with pytest.raises(SourceError, match=f"cannot push branch {found.branch}") as refused:
            await changing.promote("shop", source="staging", target="prod")
        assert refused.value.hint == "a branch with this name exists there: merge it, or delete it"
        with pytest.raises(ControlError, match="no valid Environment nowhere"):
            await changing.promote("shop", source="staging", target="nowhere")


async def test_a_repository_that_takes_no_push_is_an_error_with_its_reason(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "acme")
    workshop.commit("one", shop=ONE)
    hook = workshop.directory / ".git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho this branch is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    repository = FollowedRepository(
        parse(f"{workshop.url}@main"), cache=tmp_path / "cache", directory=tmp_path / "source", environ=home(tmp_path)
    )
    await repository.open()
    for _ in range(2):
        with pytest.raises(SourceError, match=r"cannot push branch next to git\+file"):
            await repository.commit_on_branch("next", {"shop.yaml": TWO}, message="Two", when_s=1_700_000_000)
    assert workshop.git("branch", "--list", "next") == ""
    hook.unlink()
    await repository.commit_on_branch("next", {"shop.yaml": TWO}, message="Two", when_s=1_700_000_000)
    with pytest.raises(SourceError, match="cannot push branch next"):
        await repository.commit_on_branch("next", {"shop.yaml": SPEC.format(3)}, message="Three", when_s=1_700_000_000)
    assert workshop.git("show", "next:shop.yaml") + "\n" == TWO, "a branch that exists is not changed"


async def test_a_plan_that_takes_too_long_is_stopped() -> None:
    many = {f"V{each}": "x" for each in range(50)}
    texts = {f"app-{number}.yaml": app(f"app-{number}", env=many) for number in range(2000)}
    reader = WorkerReader(None, {}, limit_s=1)
    try:
        await reader.understood({"shop.yaml": app()}, today=TODAY)  # the process is there
        with pytest.raises(ControlError, match="reading the specs took more than 1 s, and was stopped"):
            await reader.understood(texts, today=TODAY)
        written = await reader.understood({"shop.yaml": app()}, today=TODAY)
        assert [each.key for each in written.release.services] == ["app/shop"], "the next one has a new process"
    finally:
        reader.close()


async def test_a_draft_delays_no_turn_of_the_loop() -> None:
    texts = {f"app-{number}": app(f"app-{number}") for number in range(300)}
    async with world(shop=app()) as made:
        reader = WorkerReader(None, {})
        changing = Changing(
            made.control, directory=Path("/nowhere"), follows="directory", reader=reader, offered=nothing
        )
        draft = {f"{name}.yaml": TextChange(before=None, after=text) for name, text in texts.items()}
        planning = asyncio.create_task(changing.preview(draft))
        turns = made.control.counts.turns
        try:
            while not planning.done():
                made.control.wake()
                await asyncio.sleep(0)
            assert len((await planning).effects) == 300
        finally:
            reader.close()
        assert made.control.counts.turns > turns + 10


async def test_a_model_fits_as_the_control_plane_places_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = ModelHeader(
        architecture="llama",
        name=None,
        context_length_trained=8192,
        kv_bytes_per_token=20_000,
        chat_template=True,
        task="generate",
    )

    def find(_: Models, reference: str) -> ModelFile | None:
        if reference != "smollm2":
            return None
        return ModelFile(
            reference=reference, path=tmp_path / "m.gguf", size_bytes=98_000_000, sha256=None, header=header
        )

    monkeypatch.setattr(Models, "find", find)
    for memory, fits in ((16 * 2**30, True), (2**29, False)):
        machine = Machine(cores=4, memory_bytes_total=memory)
        offered = await OfferedModels(tmp_path, {"HOME": str(tmp_path)}, lambda machine=machine: machine).now()
        found = {each.name: each for each in offered}
        assert (found["smollm2"].here, found["smollm2"].fits) == (True, fits)
        unknown = found["qwen2.5-0.5b"]
        assert (unknown.here, unknown.fits, unknown.size_bytes) == (False, None, None)
