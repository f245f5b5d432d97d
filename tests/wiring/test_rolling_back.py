"""A hold whose commit cannot be read is an error, and is not dropped."""

from functools import partial
from pathlib import Path

from bateau.control.deliveries import Deliveries, digests_of
from bateau.control.holding import with_holds
from bateau.control.rollback import Hold
from bateau.wiring.delivery import rendered
from bateau.wiring.question import Question
from bateau.wiring.rolling_back import service_at

SHOP = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: shop}\nspec: {image: r.example/shop:1}\n"


def test_a_hold_that_cannot_be_read_blocks_and_a_hold_that_has_ended_does_not(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP)
    question = Question(directory=tmp_path, environment=None)
    made = rendered(question)
    held = with_holds(
        made, Deliveries(holds={"app/shop": Hold(3, digests_of(made)["app/shop"])}), partial(service_at, question)
    )
    (problem,) = held.problems
    assert problem.says == "app/shop is rolled back to revision 3, which cannot be read: its commit is not known"
    ended = with_holds(
        made, Deliveries(holds={"app/shop": Hold(3, "of an earlier spec")}), partial(service_at, question)
    )
    assert (ended.problems, ended.says, ended.made) == ((), (), made)
