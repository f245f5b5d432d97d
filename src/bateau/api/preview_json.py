"""Convert a preview and a rollback to JSON.

Called by api.operations and cli.apply.
"""

from bateau.api.encoding import plain
from bateau.api.trees import PreviewTree, RollbackTree, RowTree
from bateau.control.preview import Preview
from bateau.control.rollback import RolledBack
from bateau.domain.change import Delivery
from bateau.plan import Documents, compare
from bateau.plan.words import SIGNS, counted, fold_words, headline


def preview_tree(preview: Preview) -> PreviewTree:
    """Return a preview: rows of edits with their origins, and the effect on each service."""
    written = preview.written
    return {
        "environment": written.release.environment,
        "problems": [plain(each) for each in written.problems],
        "wrong": written.wrong,
        "mistaken": written.mistaken,
        "pending": preview.delivery.pending or preview.keys_changed > 0,
        "headline": _headline(preview),
        "rows": _rows(preview.delivery),
        "effects": [{"service": each.service, "does": each.does} for each in preview.effects],
        "services": [service.key for service in written.release.services],
    }


def _headline(preview: Preview) -> str:
    keys = preview.keys_changed
    more = f"; {counted(keys, 'key')} {'changes' if keys == 1 else 'change'}" if keys else ""
    return f"{headline(preview.delivery)}{more}"


def rolled_back_tree(made: RolledBack) -> RollbackTree:
    """Return a rollback: the service, its target revision, and the resulting edits."""
    delivery = compare((), (), documents=Documents(desired=[made.after], observed=[made.before]))
    return {
        "service": made.before.key,
        "revision": made.revision.id,
        "commit": made.revision.commit,
        "whenS": made.revision.when_s,
        "rows": _rows(delivery),
    }


def _rows(delivery: Delivery) -> list[RowTree]:
    found: list[RowTree] = []
    for fold in delivery.folds:
        who, what, whence = fold_words(fold)
        found.append({"sign": SIGNS[fold.act], "who": who, "what": what, "whence": whence})
    return found
