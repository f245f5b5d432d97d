"""Findings that are read as one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bateau.api.plan_remarks import VERDICTS, remarks
from bateau.domain.finding import Finding

FINDINGS = st.lists(
    st.builds(
        Finding,
        rule=st.sampled_from(["a", "b"]),
        subject=st.sampled_from(["Pod x", "Pod y", "Secret x", "app/shop"]),
        verdict=st.sampled_from(VERDICTS),
        says=st.sampled_from(["this", "that"]),
    ),
    max_size=30,
)


@given(FINDINGS, st.integers(0, 3))
def test_every_finding_is_in_one_remark_and_errors_come_first(findings: list[Finding], alone_max: int) -> None:
    found = remarks(findings, alone_max=alone_max)
    assert sorted(map(repr, findings)) == sorted(repr(each) for remark in found for each in remark.findings)
    verdicts = [VERDICTS.index(remark.first.verdict) for remark in found]
    assert verdicts == sorted(verdicts)
    for one, other in pairwise(found):
        assert one.first.verdict != other.first.verdict or len(one.findings) >= len(other.findings)
