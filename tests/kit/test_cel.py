"""The CEL dialect: the examples of Kubernetes' documentation, plain dicts, and bounds on cost."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.kit.cel import CelError, Scope, evaluate
from bateau.kit.cel_cost import growth
from bateau.kit.cel_function import Function
from bateau.kit.cel_library import LENGTH_MAX, program
from bateau.kit.cel_reading import mere_path, reading, reading_of, renamed

NAMES: dict[str, Any] = {"object": {"a": {"b-c": 1, "n": None}, "l": [1, 2, 3], "s": "hello"}}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("isQuantity('1.3G')", True),
        ("isQuantity('1.3Gi')", True),
        ("isQuantity('1,3G')", False),
        ("isQuantity('10000k')", True),
        ("isQuantity('200K')", False),
        ("isQuantity('Three')", False),
        ("isQuantity('Mi')", False),
        ("quantity('50000000G').isInteger()", True),
        ("quantity('50k').isInteger()", True),
        ("quantity('9999999999999999999999999999999999999G').isInteger()", False),
        ("quantity('50k').asInteger() == 50000", True),
        ("quantity('50.7k').asApproximateFloat()", 50700.0),
        ("quantity('50k').add(quantity('20k')) == quantity('70k')", True),
        ("quantity('50k').add(20) == quantity('50020')", True),
        ("quantity('50k').sub(20000) == quantity('30k')", True),
        ("quantity('50k').add(20).sub(quantity('100k')).sub(-50000) == quantity('20')", True),
        ("quantity('200M').compareTo(quantity('0.2G'))", 0),
        ("quantity('50M').compareTo(quantity('50Mi'))", -1),
        ("quantity('50Mi').compareTo(quantity('50M'))", 1),
        ("quantity('150Mi').isGreaterThan(quantity('100Mi'))", True),
        ("quantity('50M').isLessThan(quantity('100M'))", True),
        ("quantity('100M').isLessThan(quantity('50M'))", False),
        ("quantity('-1').sign()", -1),
        ("quantity('500m') == quantity('0.5')", True),
        ("isURL('https://user:pass@example.com:80/path?query=val#fragment')", True),
        ("isURL('/absolute-path')", True),
        ("isURL('https://a:b:c/')", False),
        ("isURL('../relative-path')", False),
        ("url('https://example.com:80/').getScheme()", "https"),
        ("url('https://example.com:80/').getHost()", "example.com:80"),
        ("url('https://[::1]:80/').getHost()", "[::1]:80"),
        ("url('https://example.com:80/').getHostname()", "example.com"),
        ("url('https://[::1]:80/').getHostname()", "::1"),
        ("url('https://example.com:80/').getPort()", "80"),
        ("url('/path').getPort()", ""),
        ("url('https://example.com/path').getEscapedPath()", "/path"),
        ("url('https://example.com/path?k1=a&k2=b&k2=c').getQuery()", {"k1": ["a"], "k2": ["b", "c"]}),
        ("isIP('127.0.0.1')", True),
        ("isIP('::ffff:1.2.3.4')", False),
        ("isIP('fe80::1%eth0')", False),
        ("isIP('127.0.0.01')", False),
        ("ip('127.0.0.1').family()", 4),
        ("ip.isCanonical('2001:db8::abcd')", True),
        ("ip.isCanonical('2001:DB8::ABCD')", False),
        ("ip('0.0.0.0').isUnspecified()", True),
        ("ip('127.0.0.1').isLoopback()", True),
        ("ip('224.0.0.1').isLinkLocalMulticast()", True),
        ("ip('169.254.169.254').isLinkLocalUnicast()", True),
        ("ip('192.168.0.1').isGlobalUnicast()", True),
        ("ip('255.255.255.255').isGlobalUnicast()", False),
        ("cidr('192.168.0.0/24').containsIP(ip('192.168.0.1'))", True),
        ("cidr('192.168.0.0/24').containsIP('192.168.1.1')", False),
        ("cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24'))", True),
        ("cidr('192.168.1.0/24').containsCIDR('192.168.2.0/24')", False),
        ("cidr('192.168.1.5/24').ip() == ip('192.168.1.5')", True),
        ("cidr('192.168.1.5/24').masked() == cidr('192.168.1.0/24')", True),
        ("cidr('192.168.0.0/24').prefixLength()", 24),
        ("isCIDR('192.168.0.0/33')", False),
        ("'abc 123'.find('[0-9]+')", "123"),
        ("'abc'.find('[0-9]+')", ""),
        ("'123 abc 456'.findAll('[0-9]+')", ["123", "456"]),
        ("'123 abc 456'.findAll('[0-9]+', 1)", ["123"]),
        ("'123 abc 456'.findAll('[0-9]+', 0)", []),
        ("[1, 2, 3].isSorted()", True),
        ("['b', 'a'].isSorted()", False),
        ("[1, 3].sum()", 4),
        ("[1.5, 3.0].sum()", 4.5),
        ("[1, 3].min()", 1),
        ("object.l.max()", 3),
        ("sets.contains([1, 2], [2])", True),
        ("sets.equivalent([1], [1, 1])", True),
        ("sets.intersects([1], [2])", False),
        ("'a,b'.split(',').join('-').upperAscii()", "A-B"),
        ("'hello'.indexOf('l')", 2),
        ("'%s %d'.format(['x', 1])", "x 1"),
        ("has(object.a.x)", False),
        ("object.a.n == null", True),
        ("object.?a.?x.orValue(5)", 5),
        ("object.l.exists_one(x, x == 1)", True),
        ("1 / 0 > 0 || true", True),
    ],
)
def test_an_expression_has_the_value_that_kubernetes_documents(expression: str, expected: Any) -> None:
    assert evaluate(expression, NAMES) == expected


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("quantity('x')", "quantities must match"),
        ("quantity('0.5').asInteger()", "cannot convert value to integer"),
        ("object.a.isLessThan(quantity('1'))", "not the result of quantity"),
        ("'a'.find('(')", "error parsing regexp"),
        ("'a'.find('(?=a)')", "error parsing regexp"),
        ("[].min()", "min called on empty list"),
        ("[1, 'a'].max()", "cannot be compared"),
        ("object.zz == 1", 'Key not found in map : "zz"'),
        ("object.?a", "the result is or contains an optional"),
        ("'abc'.reverse()", "undeclared reference to 'reverse'"),
        ("math.greatest(1, 2)", "undeclared reference to 'math'"),
        ("boom(", "Syntax error: mismatched input '<EOF>'"),
        ("1" + " + 1" * LENGTH_MAX, f"at most {LENGTH_MAX}"),
        ("object.l" + ".map(x, x + x + x + x)" * 12, "may make its values grow"),
        ("[object.s]" + ".map(x, x.replace('l', 'llllllll'))" * 9, "may make its values grow"),
    ],
)
def test_what_fails_says_so_in_one_line(expression: str, says: str) -> None:
    with pytest.raises(CelError) as caught:
        evaluate(expression, NAMES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nested_loops_end_at_the_budget() -> None:
    with pytest.raises(CelError, match="Iteration budget exceeded"):
        evaluate("l.all(a, l.all(b, l.all(c, true)))", {"l": list(range(300))})


def test_a_pattern_that_backtracks_elsewhere_costs_nothing_here() -> None:
    assert evaluate("text.find('(a+)+$')", {"text": "a" * 5000 + "b"}) == ""


def test_a_scope_is_bound_once_and_asked_often() -> None:
    scope = Scope(NAMES)
    assert [scope.value("size(object.l)"), scope.value("object.s")] == [3, "hello"]


def test_functions_of_the_caller_join_the_dialect() -> None:
    env = Function("env", ("string",), "string", {"REGION": "eu"}.__getitem__)
    assert evaluate("env('REGION')", {}, (env,)) == "eu"
    with pytest.raises(CelError, match="undeclared reference to 'env'"):
        evaluate("env('REGION')", {})


def test_names_are_told_from_fields_functions_strings_and_comments() -> None:
    text = "[spec.spec, a[?'spec'], // spec2\n r'\\d', o.?spec, l.map(x, x.y)[i], 'é😀', spec.z]"
    found = reading(text, ("a", "i", "l", "o", "spec"))
    assert found.names == {"spec", "a", "o", "l", "i"}
    assert found.bound == {"x"}
    assert found.fields_of("spec") == {"spec", "z"}
    new = renamed(text, found, {"spec": "S", "i": "index"})
    assert new == "[S.spec, a[?'spec'], // spec2\n r'\\d', o.?spec, l.map(x, x.y)[index], 'é😀', S.z]"


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("values.a.b", [("values", ("a", "b"))]),
        ("values['a.b'].c[0]", [("values", ("a.b", "c", 0))]),
        ("values.a.startsWith('b')", [("values", ("a",))]),
        ("values[spec.x].y", [("spec", ("x",)), ("values", ())]),
        ("values.?a.?b.orValue(1)", [("values", ("a", "b"))]),
        ("has(values.a.b)", [("values", ("a", "b"))]),
        ("spec.all(spec, spec.x) || spec.y", [("spec", ()), ("spec", ("y",))]),
        ("spec.a.optMap(values, values.b)", [("spec", ("a",))]),
        ("{'values': spec.a, values.b: 'values.c'}", [("spec", ("a",)), ("values", ("b",))]),
        ("spec.l.exists_one(x, x.values == values.a)", [("spec", ("l",)), ("values", ("a",))]),
        ("spec.l.filter(x, has(x.a) && x.b == values.c)", [("spec", ("l",)), ("values", ("c",))]),
    ],
)
def test_the_paths_that_an_expression_reads(expression: str, paths: list[tuple[str, tuple[str | int, ...]]]) -> None:
    found = reading(expression, ("spec", "values")).paths
    assert sorted((path.name, path.steps) for path in found) == paths
    assert {expression[path.at : path.at + len(path.name)] for path in found} == {path.name for path in found}


@given(st.text(alphabet="values.in[]'\"a0 +()", max_size=16))
def test_what_is_read_without_the_library_is_what_the_library_reads(text: str) -> None:
    """The fast path for names joined by dots agrees with the parser on every text that it takes."""
    steps = mere_path(text)
    if steps and steps[0] == "values":
        assert reading(text, ("values",)) == reading_of(program(text, ("values",)))


def test_an_expression_that_is_nested_too_deep_has_one_message() -> None:
    with pytest.raises(CelError, match=r"nested too deep|recursion"):
        reading("[1].map(a, " * 25 + "a" + ")" * 25, ())


def test_rules_as_people_write_them_do_not_grow() -> None:
    assert growth(reading("c.filter(x, has(x.a)).map(x, string(x.a) + '!').join(', ') + '; and' + 'more'", "c")) < 1000


@given(
    st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**63), 2**63 - 1),
            st.text(max_size=5),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        lambda inner: (
            st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3) | st.lists(inner, max_size=2)
        ),
        max_leaves=8,
    ),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3),
)
def test_a_mere_path_gives_what_the_library_gives(tree: Any, path: list[str]) -> None:
    expression = ".".join(["values", *path])

    assert _outcome(lambda: evaluate(expression, {"values": tree})) == _outcome(
        lambda: Scope({"values": tree}).value(expression)
    )


@pytest.mark.parametrize("value", [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**65])
def test_a_number_beyond_64_bits_is_refused_as_the_library_refuses_it(value: int) -> None:
    """The library also rejects it beside the value that is read; a plain path reads nothing else."""
    assert _outcome(lambda: evaluate("values.a", {"values": {"a": value}})) == _outcome(
        lambda: Scope({"values": {"a": value}}).value("values.a")
    )
    assert evaluate("values.b", {"values": {"a": value, "b": "x"}}) == "x"


def _outcome(run: Callable[[], Any]) -> Any:
    try:
        value = run()
    except CelError as error:
        return str(error)
    return type(value), repr(value)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("duration('1h')", "the result is a duration; make it text with `string(…)`"),
        ("[timestamp('2024-01-01T00:00:00Z')]", "the result is a timestamp; make it text with `string(…)`"),
        ("{'a': b'abc'}", "the result is bytes; make it text with `string(…)`"),
        ("{1: 'a'}", "the result has a map with the key 1; keys must be strings"),
        ("{'a': {false: 1}}", "the result has a map with the key False; keys must be strings"),
        ("1.0 / 0.0", "the result is inf, which a document cannot contain"),
        ("type(1)", "the result has the type Type"),
    ],
)
def test_what_no_document_can_hold_is_refused(expression: str, says: str) -> None:
    with pytest.raises(CelError) as raised:
        evaluate(expression, {})
    assert str(raised.value) == says


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("quantity('256Mi').add(quantity('256Mi'))", "536870912"),
        ("[quantity('0.0000001')]", ["100n"]),
        ("url('https://example.com/a')", "https://example.com/a"),
        ("{'a': cidr('10.0.0.0/8')}", {"a": "10.0.0.0/8"}),
        ("string(duration('90s'))", "90s"),
    ],
)
def test_a_result_of_a_type_of_kubernetes_is_its_text(expression: str, text: Any) -> None:
    assert evaluate(expression, {}) == text


@pytest.mark.parametrize(
    "expression",
    [
        '{"a": optional.of("x")}',
        "[optional.none()]",
        "[1].map(x, optional.of(x))",
        '{"a": [1][?0]}',
        '[[{"a": object.?zz}]]',
    ],
)
def test_an_optional_inside_a_collection_is_refused_and_ends_no_process(expression: str) -> None:
    with pytest.raises(CelError, match="the result is or contains an optional"):
        evaluate(expression, NAMES)
    with pytest.raises(CelError, match="the result is or contains an optional"):
        Scope(NAMES).value(expression)


def test_what_uses_an_optional_and_gives_none_is_a_value() -> None:
    assert evaluate("[object.?zz.orValue('x'), {?'a': optional.of(1)}]", NAMES) == ["x", {"a": 1}]


@pytest.mark.parametrize(
    "expression",
    [
        '"aaaaaaaaaa"' + '.replace("a","aaaaaaaaaa")' * 9,
        "text" + ".replace('a', text)" * 4,
        "text.replace('', text).replace('a', text)",
        "text.split('').join(text)",
    ],
)
def test_what_would_fill_the_memory_is_refused_before_it_does(expression: str) -> None:
    with pytest.raises(CelError, match="may make its values grow"):
        evaluate(expression, {"text": "a" * 900_000})


def test_what_people_do_to_names_is_not_refused() -> None:
    names = {"name": "A_b.c/d e"}
    replaced = (
        "name.replace('_', '-').replace('.', '-').replace('/', '-').replace(' ', '').replace('A', 'a').lowerAscii()"
    )
    assert evaluate(replaced, names) == "a-b-c-de"
    assert evaluate("'%s-%s'.format([name, name]).replace(' ', '  ')", names) == "A_b.c/d  e-A_b.c/d  e"


@pytest.mark.parametrize("value", [{"~quantity": "1/0"}, {"~quantity": "abc"}, {"~quantity": 5}, {"~ip": 5}])
def test_a_map_that_only_looks_like_a_type_of_kubernetes_stays_a_map(value: dict[str, Any]) -> None:
    assert evaluate("given.map(x, x)[0]", {"given": [value]}) == value


def test_equal_functions_are_one_key() -> None:
    read = {"REGION": "eu"}.__getitem__
    one, other = (Function("env", ("string",), "string", read) for _ in range(2))
    assert len({one, other}) == 1
