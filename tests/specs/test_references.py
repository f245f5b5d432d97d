"""References between documents, beyond the single errors in the files of tests/mistakes."""

from bateau.specs import read

HEAD = "apiVersion: bateau.dev/v1alpha1\n"


def model(name: str, more: str = "") -> str:
    return f"{HEAD}kind: Model\nmetadata: {{name: {name}}}\nspec:\n  source: smollm2\n{more}"


def app(name: str, fields: str) -> str:
    return f"{HEAD}kind: App\nmetadata: {{name: {name}}}\nspec: {{{fields}}}\n"


def says(*documents: str) -> list[str]:
    return [problem.says for problem in read({"a.yaml": "---\n".join(documents)}).problems]


def test_a_document_that_breaks_off_makes_no_false_reference_problems():
    broken = model("chat", "  parallel: [1\n")
    assert says(broken, app("shop", "command: [x], uses: [model/chat]")) == ["a `[` is not closed before this"]
    assert len(says(broken, app("shop", "command: [x], uses: [model/other]"))) == 2


def test_a_document_of_an_unknown_kind_makes_no_false_reference_problems():
    misspelt = model("chat").replace("Model", "Modle")
    assert len(says(misspelt, app("shop", "command: [x], uses: [model/chat]"))) == 1


def test_ports_are_found_in_both_spellings_and_not_in_text_or_behind_an_escape():
    wrong = app("shop", """command: ["${ ports.a }", "${ ports['b'] }"], ports: {http: {}}""")
    assert len(says(wrong)) == 2
    right = app("shop", """command: ["${ 'ports.a' }", "$${ ports.b }", "${ ports['x-y'] }"], ports: {x-y: {}}""")
    assert says(right) == []


def test_an_escaped_expression_need_not_close():
    assert says(app("shop", 'command: ["$${x"]')) == []


def test_a_name_cannot_be_an_expression():
    (one,) = says(app("'${ values.name }'", "command: [x]"))
    assert one.startswith("metadata.name is an expression")


def test_mistakes_of_yaml_in_documents_of_others_are_not_ours():
    reading = read({"a.yaml": "a: !Ref x\na: 2\n---\n" + model("chat")})
    assert reading.problems == ()
    assert reading.foreign == ("a.yaml",)


def test_a_document_with_a_key_twice_is_not_among_the_specs():
    reading = read({"a.yaml": model("chat", "  replicas: 1\n  replicas: 2\n")})
    assert reading.specs == ()
    assert len(reading.problems) == 1


def test_numbers_of_any_length_are_problems_and_no_crash():
    (one,) = says(model("chat", "  replicas: 0x" + "f" * 290 + "\n"))
    assert one == "spec.replicas is beyond 18 digits, more than 1000"
    (one,) = says(model("chat", "  replicas: 1000001\n"))
    assert one == "spec.replicas is 1000001, more than 1000"


def test_an_expression_in_values_is_said_to_be_plain_text() -> None:
    text = (
        "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\n"
        "spec: {values: {a: 'x${ values.b }', b: '$${ plain }', c: {d: '$HOME'}}}\n"
    )
    (problem,) = read({"prod.yaml": text}).problems
    assert problem.severity == "warning"
    assert problem.says == "`${ }` in spec.values.a is plain text and not evaluated"


def test_apps_that_run_on_clusters_only_may_have_the_same_port() -> None:
    both = [app(name, f"image: 'a/{name}:1', ports: {{http: {{port: 8080}}}}") for name in "ab"]
    assert says(*both) == []
    here = [app(name, "command: [x], ports: {http: {port: 8080}}") for name in "ab"]
    assert says(*here) == ["port 8080 is used twice"]


def test_ports_that_share_a_variable_are_a_mistake() -> None:
    assert says(app("a", "command: [x], ports: {a-b: {}, a_b: {}}")) == [
        "port `a_b` and port `a-b` have the same variable, PORT_A_B"
    ]
