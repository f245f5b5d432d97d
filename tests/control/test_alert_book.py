"""Which receiver must be told what: once each, in groups, and with silences."""

from dataclasses import replace

from bateau.control.alert_book import ENDED_MAX, GROUP_WAIT_S, AlertBook
from bateau.domain.alert import Alert
from control.alerts import firing, silence

LATER = 1000.0 + GROUP_WAIT_S


def book(*alerts: Alert) -> AlertBook:
    made = AlertBook()
    made.take({each.key: each for each in alerts}, [], 1000.0)
    return made


def test_a_receiver_is_told_once_that_an_alert_fires_and_once_that_it_is_over():
    alert = firing()
    made = book(alert)
    assert made.undelivered("hook", LATER) == {"model/chat": [alert]}
    made.delivered("hook", [alert])
    assert made.undelivered("hook", LATER) == {}
    assert made.undelivered("mail", LATER) == {"model/chat": [alert]}, "another one does not know"
    over = replace(alert, ended_at=2000.0)
    made.take({}, [over], 2000.0)
    assert made.undelivered("hook", 2000.0 + GROUP_WAIT_S) == {"model/chat": [over]}
    made.delivered("hook", [over])
    assert made.undelivered("hook", 3000.0) == {}
    assert made.undelivered("mail", 3000.0) == {}, "it was away while the alert came and went"


def test_alerts_of_a_service_wait_for_each_other_and_are_one_notice():
    first, second, other = firing(), firing("BateauServiceDown", at=1002.0), firing(service="app/shop")
    made = book(first, second, other)
    assert made.undelivered("hook", 1000.0) == {}
    assert made.undelivered("hook", LATER) == {"app/shop": [other], "model/chat": [first, second]}


def test_an_alert_that_fires_again_before_its_end_was_told_is_still_firing_for_the_receiver():
    alert = firing()
    made = book(alert)
    made.delivered("hook", [alert])
    made.take({}, [replace(alert, ended_at=1100.0)], 1100.0)
    again = firing(at=1103.0)
    made.take({again.key: again}, [], 1103.0)
    assert made.undelivered("hook", 2000.0) == {}
    over = replace(again, ended_at=2000.0)
    made.take({}, [over], 2000.0)
    assert made.undelivered("hook", 2010.0) == {"model/chat": [over]}


def test_a_silence_never_keeps_back_the_end_of_an_alert():
    alert, later = firing(), firing("BateauServiceDown")
    made = book(alert)
    made.delivered("hook", [alert])
    made.silences["s1"] = silence(service="model/chat", until=5000.0)
    made.take({later.key: later}, [over := replace(alert, ended_at=1100.0)], 1100.0)
    assert made.undelivered("hook", 1200.0) == {"model/chat": [over]}
    assert made.undelivered("hook", 5001.0) == {"model/chat": [later, over]}, "the silence is over, and it fires"


def test_a_silence_covers_a_service_a_rule_or_both():
    alert = firing()
    for each, covers in (
        (silence(service="model/chat", until=2000.0), True),
        (silence(name="BateauRestartLoop", until=2000.0), True),
        (silence(name="BateauRestartLoop", service="model/chat", until=2000.0), True),
        (silence(name="BateauRestartLoop", service="app/shop", until=2000.0), False),
        (silence(name="BateauServiceDown", service="model/chat", until=2000.0), False),
        (silence(service="model/chat", until=1000.0), False),
    ):
        assert each.covers(alert, 1000.0) == covers, each


def test_receivers_that_are_gone_and_alerts_that_nobody_knows_are_forgotten():
    alert, unknown = firing(), firing("BateauServiceDown")
    made = book(alert)
    made.delivered("hook", [alert, unknown])
    made.delivered("mail", [alert])
    made.keep_receivers(["hook", "slack"])
    assert made.told == {"hook": {alert.key: 1000.0}, "slack": {}}


def test_what_has_ended_is_bounded():
    made = AlertBook()
    ended = [firing(f"Bateau{number}", ended=1000.0) for number in range(ENDED_MAX + 7)]
    made.take({}, ended, 1000.0)
    assert made.ended == ended[7:]
    made.take({}, [], 1000.0 + 8 * 86_400)
    assert made.ended == []
