"""Four of the serializers that every layer knows: json, msgpack, pickle and raw."""

from __future__ import annotations

import pickle
import typing
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, cast

import msgspec

from holdfast._typed import Compiled, UnknownTypeError, compile_models, decode_other, encode_other, unknown
from holdfast.errors import ConfigurationError, SerializationError

_ADVICE: Final = "annotate the function with what it returns, use serializer='pickle' with a secret, or register one"


class MsgspecFormat:
    """What JSON and MessagePack have in common."""

    name: str
    _encoder: Any
    _decoder: Any

    def __init__(self) -> None:
        self._encode = self._encoder(enc_hook=encode_other).encode
        self._compiled = lru_cache(maxsize=512)(self._compile)

    def check(self, kind: Any, /) -> None:
        """Raise `ConfigurationError` unless values can be decoded to this type."""
        self.compile(kind)

    def dumps(self, value: Any, kind: Any, /) -> bytes:
        """Return `value` as bytes."""
        return self.compile(kind).dumps(value)

    def loads(self, data: bytes, kind: Any, /) -> Any:
        """Return the value that `data` holds, as a `kind`."""
        return self.compile(kind).loads(data)

    def compile(self, kind: Any, /) -> Compiled:
        """Return what writes and reads one type, made once.

        Raises:
            ConfigurationError: the type cannot be told from the data.
        """
        try:
            return self._compiled(kind)
        except TypeError:  # an annotation whose metadata has no hash
            return self._compile(kind)

    def _compile(self, kind: Any) -> Compiled:
        try:
            models = compile_models(kind)
            if models is not None:
                return Compiled(
                    partial(self._store, self._wrap_models(models.dumps)), self._unwrap_models(models.loads)
                )
            decoder = self._decoder(kind, dec_hook=decode_other)
            foreign = next(unknown(kind), None)
        except Exception as error:  # of msgspec, of pydantic, or of evaluating a user's annotations
            reason = str(error) if isinstance(error, TypeError) else type(error).__name__
            msg = f"{self.name} cannot decode to {describe(kind)} ({reason}): {_ADVICE}"
            raise ConfigurationError(msg) from error
        if foreign is not None:
            msg = f"{self.name} cannot decode to {describe(kind)} (it does not know {describe(foreign)}): {_ADVICE}"
            raise ConfigurationError(msg)
        return Compiled(partial(self._store, self._encode), decoder.decode)

    def _store(self, encode: Callable[[Any], bytes], value: Any) -> bytes:
        try:
            return encode(value)
        except UnknownTypeError as error:
            problem = f"{self.name} cannot store a {describe(error.kind)}: {_ADVICE}"
        except RecursionError:
            problem = f"a {describe(type(value))} is nested too deeply for {self.name}, or contains itself"
        except OverflowError:
            problem = f"{self.name} cannot store an int beyond 64 bits: use serializer='json'"
        except UnicodeError:
            problem = f"a {describe(type(value))} holds text that is not Unicode: store it as bytes"
        except Exception as error:
            problem = f"{self.name} cannot store this {describe(type(value))} ({type(error).__name__}): {_ADVICE}"
        raise SerializationError(problem) from None  # the cause may quote the value

    def _wrap_models(self, dumps: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        return dumps

    def _unwrap_models(self, loads: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        return loads


class Json(MsgspecFormat):
    """JSON, decoded to the annotated type."""

    name = "json"
    _encoder = msgspec.json.Encoder
    _decoder = msgspec.json.Decoder


class Msgpack(MsgspecFormat):
    """MessagePack, decoded to the annotated type; models are JSON inside."""

    name = "msgpack"
    _encoder = msgspec.msgpack.Encoder
    _decoder = msgspec.msgpack.Decoder

    def _wrap_models(self, dumps: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        return lambda value: msgspec.msgpack.encode(dumps(value))

    def _unwrap_models(self, loads: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        return lambda data: loads(msgspec.msgpack.decode(data, type=bytes))


class Pickle:
    """Any object that pickle takes. Reading it runs what it says, so it is read from verified frames only."""

    name = "pickle"
    requires_signature = True

    def dumps(self, value: Any, kind: Any, /) -> bytes:
        """Return `value` as bytes."""
        try:
            return pickle.dumps(value, protocol=5)
        except Exception as error:
            msg = f"pickle cannot store this {describe(type(value))} ({type(error).__name__}): return plain data"
            raise SerializationError(msg) from None  # the cause may quote the value

    def loads(self, data: bytes, kind: Any, /) -> Any:
        """Return the value that `data` holds."""
        return pickle.loads(data)  # noqa: S301 - the codec comes here with a verified signature only


class Raw:
    """Bytes as they are."""

    name = "raw"

    def check(self, kind: Any, /) -> None:
        """Raise `ConfigurationError` unless the type is bytes, or not said."""
        if kind not in {bytes, Any}:
            msg = f"raw stores bytes, and the function returns {describe(kind)}: return bytes, or choose a serializer"
            raise ConfigurationError(msg)

    def dumps(self, value: Any, kind: Any, /) -> bytes:
        """Return the bytes, of whatever kind of buffer."""
        if not isinstance(value, bytes | bytearray | memoryview):
            msg = f"raw stores bytes, not a {describe(type(value))}: return bytes, or choose another serializer"
            raise SerializationError(msg)
        return bytes(cast("bytes", value))

    def loads(self, data: bytes, kind: Any, /) -> bytes:
        """Return the bytes."""
        return data


def describe(kind: Any) -> str:
    """Return the name of a type, for messages."""
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__qualname__
    return str(kind).replace("typing.", "")
