"""The history on a real API server: written beside another writer, and read again."""

from collections.abc import Mapping

from bateau.runtimes.kubernetes.history import change_history, read_history
from runtimes.kubernetes.rig import Bench


async def test_two_writers_keep_both_entries(cluster_bench: Bench) -> None:
    b = cluster_bench
    where = {"owner": b.namespace, "namespace": b.namespace}
    assert await read_history(b.api, **where) is None
    await change_history(b.api, lambda _: {"format": "1", "revisions": "a"}, **where)
    calls = 0

    def second(texts: Mapping[str, str] | None) -> Mapping[str, str]:
        nonlocal calls
        calls += 1
        return {"format": "1", "revisions": f"{(texts or {})['revisions']}c"}

    async def in_between() -> None:
        await change_history(
            b.api, lambda texts: {"format": "1", "revisions": f"{(texts or {})['revisions']}b"}, **where
        )

    class Racing:
        """Another writer comes between the read and the write, once."""

        done = False

        def __getattr__(self, name: str) -> object:
            return getattr(b.api, name)

        async def update(self, *arguments: object) -> object:
            if not self.done:
                self.done = True
                await in_between()
            return await b.api.update(*arguments)  # type: ignore[arg-type]

    await change_history(Racing(), second, **where)  # type: ignore[arg-type]
    assert calls == 2
    assert await read_history(b.api, **where) == {"format": "1", "revisions": "abc"}
