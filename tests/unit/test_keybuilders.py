"""Compiled keys: one call, one name, however it is written; and what is refused when decorating."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from binascii import crc_hqx
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.keybuilders import CompiledKey, compile_key
from holdfast.policy.keys import entry_key, guard

MISSING = object()
texts = st.text(st.sampled_from(":%{}|,='\n a1") | st.characters(exclude_categories=()), max_size=12)


def product(product_id: int, lang: str = "en") -> None: ...
def pair(x: str, y: str) -> None: ...
def everything(a: int, /, b: int, *args: int, c: int, d: object = MISSING, **kwargs: int) -> None: ...


async def aproduct(product_id: int, lang: str = "en") -> None: ...


class Shop:
    id = 3

    def load(self, day: str) -> None: ...
    @classmethod
    def find(cls, day: str) -> None: ...
    @staticmethod
    def clean(day: str) -> None: ...


def names(function: Callable[..., Any], key: Any = None, version: str = "") -> Callable[..., str]:
    """Return what names a function's calls."""
    return compile_key(function, key, version=version).name_of


@pytest.mark.parametrize("key", ["product:{product_id}:{lang}", None])
@pytest.mark.parametrize("function", [product, aproduct])
def test_one_call_has_one_name_however_it_is_written(function: Any, key: str | None) -> None:
    """Positional, by keyword in any order, or by default: the same arguments are the same entry."""
    name_of = names(function, key)
    assert name_of(1) == name_of(product_id=1) == name_of(1, "en") == name_of(lang="en", product_id=1)
    assert len({name_of(1), name_of(2), name_of(1, "de")}) == 3


@given(texts, texts, texts, texts)
def test_arguments_of_one_call_cannot_pose_as_those_of_another(x1: str, y1: str, x2: str, y2: str) -> None:
    """Two calls share a name only if all their arguments are equal, whatever separators the values hold."""
    for key in ("a:{x}:{y}", None, "{x}:{y}"):
        name_of = names(pair, key, "2")
        assert (name_of(x1, y1) == name_of(x2, y2)) == ((x1, y1) == (x2, y2))


@given(st.text("a:|,%", max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_a_separator_in_a_value_does_not_move_the_border(text: str, first: int, second: int) -> None:
    """One text split at two places makes two names, unless it is the same place."""
    name_of = names(pair, "{x}:{y}")
    one, two = (text[:first], text[first:]), (text[:second], text[second:])
    assert (name_of(*one) == name_of(*two)) == (one == two)


@given(texts, st.sampled_from(["a:{x}:{y}", "{x}{y}", "ü{x}{{{y}", None]), st.sampled_from(["", "2", "|v{"]))
def test_the_hash_tag_is_the_name(text: str, key: str | None, version: str) -> None:
    """No argument gets a brace, a space or a newline into a key, and the cluster hashes exactly the name."""
    name = names(pair, key, version)(text, text)
    full = entry_key("shop", "cache", name, "lease")
    tag = full[full.index("{") + 1 : full.index("}")]
    assert tag == name
    assert not re.search(r"[\s{}\x00]", name)
    assert 0 <= crc_hqx(tag.encode(), 0) % 16384 < 16384
    assert 0 < len(name.encode()) <= 200


def test_a_long_argument_is_hashed() -> None:
    """A name stays within 200 bytes, and long arguments that differ stay apart."""
    for key in ("p:{lang}", None):
        name_of = names(product, key)
        assert len(name_of(1, "x" * 1000)) <= 200
        assert name_of(1, "x" * 1000 + "a") != name_of(1, "x" * 1000 + "b")


def test_by_arguments_names_module_function_and_arguments() -> None:
    """The default name can be read: where the function is, and each argument by its name."""
    assert names(product)(7) == f"{__name__}.product(product_id=7,lang='en')"
    assert names(product)(True) != names(product)(1) != names(product)("1")


def test_by_arguments_takes_every_kind_of_parameter() -> None:
    """Positional-only, keyword-only, collected: all count, and the order of keywords does not."""
    name_of = names(everything)
    assert name_of(1, 2, 3, c=4, x=5, y=6) == name_of(1, 2, 3, y=6, x=5, c=4)
    calls = [name_of(1, b=2, c=3), name_of(1, 2, 3, c=3), name_of(1, 2, c=3, args=(3,)), name_of(1, 2, c=3, a=1)]
    assert len(set(calls)) == 4


def test_a_default_without_text_reads_default() -> None:
    """A default such as `object()` for "not given" works; another object without text does not."""
    name_of = names(everything)
    assert "d=default" in name_of(1, 2, c=3)
    assert name_of(1, 2, c=3) == name_of(1, 2, c=3, d=MISSING) != name_of(1, 2, c=3, d="default")
    with pytest.raises(ConfigurationError, match="'d' cannot be part of a key: object"):
        name_of(1, 2, c=3, d=object())


def test_a_mutable_default_counts_as_it_is_at_the_call() -> None:
    """The default is the function's own object, not a copy from when it was decorated."""
    shared: list[int] = []

    def f(found: list[int] = shared) -> None: ...

    name_of = names(f)
    before = name_of()
    shared.append(1)
    assert name_of() == name_of([1]) != before == name_of([])


def test_parameters_may_be_called_like_anything() -> None:
    """Names of built-ins and of the generated code's own are free for parameters."""

    def f(type: Any, len: Any, _key_field: Any, _key_default_0: int = 1, bound: int = 2) -> None: ...  # noqa: A002 - so it is

    assert names(f, "{type}:{len}:{_key_field}:{_key_default_0}:{bound}")(1, 2, "a:b") == "1:2:a%3Ab:1:2"
    assert names(f)(1, 2, "x").endswith("(type=1,len=2,_key_field='x',_key_default_0=1,bound=2)")


def test_methods_are_named_without_their_instance() -> None:
    """`self` and `cls` are known by the first parameter's name, however they arrive; a template may use them."""
    load, find = vars(Shop)["load"], vars(Shop)["find"].__func__
    assert names(load)(Shop(), "mon") == names(load)(self=Shop(), day="mon") == f"{__name__}.Shop.load(day='mon')"
    assert names(find)(Shop, "mon") == f"{__name__}.Shop.find(day='mon')"
    assert names(Shop.clean)("mon") == f"{__name__}.Shop.clean(day='mon')"
    assert [compile_key(f).takes_instance for f in (load, find, Shop.clean, product)] == [True, True, False, False]


def test_a_partial_is_named_as_the_call_that_it_makes() -> None:
    """Arguments bound beforehand count, so that two partials of one function are not taken for each other."""
    for key in (None, "{product_id}:{lang}"):
        assert names(partial(product, 5), key)("de") == names(partial(product, lang="de"), key)(5)
        assert names(partial(product, 5), key)() == names(product, key)(5) != names(partial(product, 6), key)()
    assert compile_key(partial(partial(product, 5), lang="de")).pattern == f"{__name__}.product"


def test_a_function_without_a_name_needs_a_key() -> None:
    """Lambdas and callable objects have no name that tells them from others; with a key= they work."""
    for function in (lambda x: x, partial(lambda x: x), type("Loader", (), {"__call__": product})()):
        with pytest.raises(ConfigurationError, match="give key="):
            compile_key(function)
    assert names(lambda x: x, "double:{x}")(2) == "double:2"


@pytest.mark.parametrize(
    "call", [lambda f: f(), lambda f: f(1, 2, 3), lambda f: f(1, product_id=2), lambda f: f(nope=1)]
)
@pytest.mark.parametrize("key", ["{product_id}", None, lambda *args, **kwargs: "constant"])
def test_arguments_that_do_not_fit_raise_what_the_function_would(key: Any, call: Any) -> None:
    """A wrong call fails as it would undecorated, so that a hit cannot hide it."""
    with pytest.raises(TypeError) as undecorated:
        call(product)
    with pytest.raises(TypeError, match=re.escape(str(undecorated.value))):
        call(names(product, key))


def test_a_callable_gets_the_call_and_its_result_is_guarded() -> None:
    """It sees the arguments as they were written; what it returns cannot break out of the hash tag."""
    seen: list[Any] = []

    def key(*args: Any, **kwargs: Any) -> str:
        seen.append((args, kwargs))
        return "a {b}:c"

    assert names(product, key)(1, lang="de") == "a%20%7Bb%7D:c"
    assert seen == [((1,), {"lang": "de"})]
    assert names(partial(product, 5), lambda lang: f"l:{lang}")("de") == "l:de"


@pytest.mark.parametrize("result", [None, 7, b"x", ""])
def test_a_callable_that_returns_no_name_is_refused(result: Any) -> None:
    """The error names the function whose key it is."""
    with pytest.raises(ConfigurationError, match=r"key= of .*product returns"):
        names(product, lambda product_id: result)(1)


def test_a_function_without_signature_is_refused() -> None:
    """Some functions written in C cannot be bound; the message says to wrap them."""
    with pytest.raises(ConfigurationError, match=r"builtins\.type.* no signature"):
        compile_key(type, "x")


def test_an_unstable_argument_names_its_parameter_or_field() -> None:
    """The first call with a value that has no stable text fails, and says which argument it was."""
    with pytest.raises(ConfigurationError, match="'lang' cannot be part of a key"):
        names(product)(1, object())
    with pytest.raises(ConfigurationError, match=r"'lang.x' cannot be part of a key.*\{lang.x.id\}"):
        names(product, "{lang.x}")(1, SimpleNamespace(x=object()))


def test_patterns_stay_few() -> None:
    """Counters go by the template or the function, never by a call."""
    assert compile_key(product, "p:{product_id}").pattern == "p:{product_id}"
    assert compile_key(product).pattern == compile_key(product, lambda product_id: "x").pattern == f"{__name__}.product"


def upper(function: Callable[..., Any], signature: inspect.Signature, /) -> Callable[[Mapping[str, Any]], str]:
    """Build names out of all arguments, to see which there are."""
    return lambda arguments: f"{function.__name__}{{{list(arguments.items())}}}"


def test_a_builder_of_ones_own_gets_all_arguments_by_name() -> None:
    """Defaults are filled in and the instance is there under its own name; the result is guarded."""
    shop = SimpleNamespace()
    name = compile_key(vars(Shop)["load"], builder=upper).name_of(shop, day="mon")
    assert name == guard(f"load{{[('self', {shop!r}), ('day', 'mon')]}}")
    assert compile_key(partial(product, 5), builder=upper).name_of() == guard(
        "product{[('product_id', 5), ('lang', 'en')]}"
    )


def test_a_builder_that_does_not_build_is_refused() -> None:
    """One that returns the name instead of a function fails when decorating, one that returns no text at the call."""
    with pytest.raises(ConfigurationError, match="must return a function"):
        compile_key(product, builder=lambda function, signature: "name")  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match=r"key builder of .*product returns must be text, not int"):
        compile_key(product, builder=lambda function, signature: lambda arguments: 7).name_of(1)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("key", ["{x}{y}", None, lambda x, y: f"{x}{y}" or "-"])
def test_a_version_starts_a_new_set_of_entries(key: Any) -> None:
    """Names with different versions differ, and no argument can write a version of its own."""
    calls = [("a", ""), ("a", "|v2"), ("a", "%7Cv2"), ("a", "x" * 300), ("a" * 150, "|v2"), ("a", "2")]
    found = [names(pair, key, version)(*call) for version in ("", "2", "v2", "|v2", "3") for call in calls]
    assert len(set(found)) == len(found)
    assert max(map(len, found)) <= 200
    assert names(pair, key, "2")("a", "").endswith("|v2")
    with pytest.raises(ConfigurationError, match="version must be text"):
        compile_key(pair, key, version=2)  # type: ignore[arg-type]


def test_names_are_the_same_in_another_process() -> None:
    """What is named by a set or by keywords does not depend on the process's hash seed."""
    code = (
        "from holdfast.keybuilders import compile_key\n"
        "def f(members, **more): ...\n"
        "print(compile_key(f).name_of(set('abcdef'), z=1, a={'k', 'l', 'm'}))"
    )
    command = [sys.executable, "-R", "-c", code]
    assert len({subprocess.run(command, capture_output=True, check=True).stdout for _ in range(4)}) == 1


def test_a_compiled_key_is_a_value() -> None:
    """It cannot be changed once a decorator holds it."""
    compiled = compile_key(product, "{product_id}")
    assert isinstance(compiled, CompiledKey)
    with pytest.raises(AttributeError):
        compiled.pattern = "x"  # type: ignore[misc]
