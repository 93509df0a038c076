"""From a value to the bytes of an entry, and back.

One codec serves one function in one layer. It writes with the serializer that was chosen and reads whatever an entry
says that it is, so that entries of both kinds stay readable while a deployment rolls. Two rules hold:

1. Reading gives the value or `Unreadable`, whatever the bytes are.
2. A serializer that runs what it reads sees only payloads whose signature was verified.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NotRequired, TypedDict, Unpack

from holdfast._cached_errors import describe_error, rebuild_error
from holdfast._copies import copier
from holdfast._formats import describe
from holdfast._missing import MISSING
from holdfast._secrets import parse_secrets
from holdfast.compression import compressor, expand, shrink
from holdfast.errors import ConfigurationError, SerializationError
from holdfast.policy.frame import (
    Frame,
    Unreadable,
    is_frame,
    own_payload_start,
    pack,
    plain_names,
    plain_payload,
    unpack,
)
from holdfast.policy.roundtrip import difference
from holdfast.policy.stamps import Stamp
from holdfast.serializers import Serializers, compile_for, is_steady, needs_signature

__all__ = ["NOT_PLAIN", "Codec", "Facts", "parse_secrets"]

_MISFIT: Final = re.compile(r"(Expected `[^`]*`, got `[^`]*`)?.*?(?: - at `([^`]*)`)?", re.DOTALL)
"""What msgspec says about a value of the wrong type. Only these two parts are free of values."""

_NO_COPIES: Final = object()
"""Instead of a copier, where every caller has to decode."""
_LARGEST_HELD: Final = 16 * 1024
"""Bytes of an entry that may be held until the next one is read."""
NOT_PLAIN: Final = object()
"""What `Codec.quick` gives for an entry that it leaves to `Codec.open`."""


class Facts(TypedDict):
    """What a frame records about a value besides the value."""

    id: str
    """The token of the fill: 32 ASCII characters; or empty, in a frame that is not stored."""
    created: float
    """Unix seconds at which the value was loaded."""
    fresh_until: float
    """Unix seconds until which it is fresh."""
    load_time: float
    """Seconds that the loader took."""
    retry_at: NotRequired[float]
    """Unix seconds before which no refresh is tried."""
    stamps: NotRequired[Sequence[Stamp]]
    """The tags, with their versions before the load."""
    lingers: NotRequired[bool]
    """Whether Redis keeps it beyond `fresh_until`."""


class Codec:
    """Writes and reads the entries of one function.

    Args:
        serializers: those that the layer knows.
        name: the one to write with.
        kind: the type to decode to, `typing.Any` where it is not known.
        compression: the name of the compression to write with, or None.
        secrets: the newest first, which signs; all of them verify. Without any, entries are not signed.
        nothing: whether entries may say that there is no value; they are read as `MISSING` then.

    Raises:
        ConfigurationError: the serializer or the compression is not known, cannot decode to this type, or needs a
            secret that the layer lacks.
    """

    __slots__ = (
        "_compression",
        "_compressor",
        "_dumps",
        "_is_steady",
        "_kind",
        "_loads",
        "_name",
        "_plain",
        "_plain_names",
        "_readers",
        "_secrets",
        "_seen",
        "_serializers",
        "nothing",
    )

    def __init__(
        self,
        serializers: Serializers,
        name: str,
        kind: Any,
        *,
        compression: str | None = None,
        secrets: tuple[bytes, ...] = (),
        nothing: bool = False,
    ) -> None:
        serializer = serializers.get(name)
        guarded = needs_signature(name, serializer)
        if guarded and not secrets:
            msg = f"serializer={name!r} runs what it reads: give the layer a secret=, so that its entries are signed"
            raise ConfigurationError(msg)
        self._dumps, self._loads = compile_for(serializer, kind)
        self._is_steady = is_steady(serializer)
        self._compressor = None if compression is None else compressor(compression)
        self._compression = compression or ""
        self._name = name
        self._plain = None if guarded else name  # whose uncompressed payloads may be decoded without more questions
        self._plain_names = b"" if guarded or secrets else plain_names(name)
        self._kind = kind
        self._secrets = secrets
        self.nothing = nothing
        self._serializers = serializers
        self._seen: tuple[bytes | None, Any] = None, None
        """The entry that `quick` read last, and what makes copies of its value, if more than one caller wanted it."""
        self._readers: dict[str, tuple[Callable[[bytes], Any], bool]] = {name: (self._loads, guarded)}

    def encode(self, key: str, value: object, **facts: Unpack[Facts]) -> bytes:
        """Return a value as the bytes to store under `key`.

        Raises:
            SerializationError: the serializer cannot store it.
        """
        return self._seal(key, self._serialize(key, value), facts)

    def encode_checked(self, key: str, value: object, **facts: Unpack[Facts]) -> tuple[bytes, Any]:
        """Return a value as the bytes to store, and as the copy that will be read from them.

        Whoever loaded the value returns the copy, so that a miss gives what a hit will give.

        Raises:
            SerializationError: the serializer cannot store it, or the copy differs.
        """
        payload = self._serialize(key, value)
        return self._seal(key, payload, facts), self._check(key, value, payload)

    def copy_checked(self, key: str, value: object) -> Any:
        """Return the copy that `encode_checked` would give, for a value that is not going to be stored."""
        return self._check(key, value, self._serialize(key, value))

    def encode_error(
        self, key: str, error: BaseException, allowed: tuple[type[BaseException], ...], **facts: Unpack[Facts]
    ) -> bytes | None:
        """Return an exception as the bytes to store, or None if it would not come back as it is.

        It would if it is one of `allowed`, its arguments are text, numbers, booleans or None, and its class makes an
        equal one of them.
        """
        payload = describe_error(error, allowed)
        if payload is None:
            return None
        return self._pack(key, payload, facts, "json", "", len(payload), is_error=True)

    def encode_nothing(self, key: str, **facts: Unpack[Facts]) -> bytes:
        """Return the bytes to store under `key` that say that there is no value."""
        return self._pack(key, b"", facts, self._name, "", 0, is_nothing=True)

    def open(self, key: str, raw: bytes) -> Frame:
        """Return the frame that was found under `key`.

        Raises:
            Unreadable: it is none of ours, damaged, or not signed with one of the secrets.
        """
        return unpack(raw, key, self._secrets)

    def quick(self, raw: bytes) -> Any:
        """Return the value in an entry of the commonest shape, or `NOT_PLAIN`: then `open` it.

        Raises:
            Unreadable: it cannot be decoded.
        """
        seen, copies = self._seen
        if raw is seen:  # callers of one tick share a reply, and a copy takes a third of the time
            if copies is None:
                copies = self._prepare_copies(raw)
            if copies is not _NO_COPIES:
                return copies.copy()
        if not self._plain_names:
            return NOT_PLAIN
        payload = plain_payload(raw, self._plain_names)
        if payload is None:
            return NOT_PLAIN
        try:
            value = self._loads(payload)
        except Exception:
            raise Unreadable("payload") from None
        if raw is not seen and len(raw) <= _LARGEST_HELD:
            self._seen = raw, None
        return value

    def _prepare_copies(self, raw: bytes) -> Any:
        """Return what makes copies of the value in an entry that was read by `quick`, and is now read once more."""
        payload = plain_payload(raw, self._plain_names)
        copies = None if payload is None else copier(self._loads(payload))
        self._seen = raw, copies or _NO_COPIES
        return copies or _NO_COPIES

    def payload_start(self, raw: bytes) -> int:
        """Return where the payload begins that `decode` takes, in an entry that this codec has read or written.

        0 if it has to be read in another way: it is compressed, or was made by another serializer.
        """
        return own_payload_start(raw, self._name)

    def holds(self, raw: bytes, value: object) -> bool | None:
        """Say whether a frame holds a value, by its encoding; None if that cannot be told without decoding.

        Only some serializers always write the same value as the same bytes, see `is_steady`.
        """
        if not self._is_steady or not is_frame(raw):
            return None
        start = own_payload_start(raw, self._name)
        if not start:
            return None
        try:
            return raw[start:] == self._dumps(value)
        except Exception:  # it cannot be stored, which shows when that is tried
            return False

    def decode(self, payload: bytes) -> Any:
        """Return the value in a payload that was found by `payload_start`; it has been decoded before."""
        return self._loads(payload)

    def value(self, frame: Frame) -> Any:
        """Return the value in a frame.

        Raises:
            Unreadable: it cannot be decoded, or must not be.
        """
        if frame.serializer == self._plain and not (frame.compression or frame.is_error or frame.is_nothing):
            try:
                return self._loads(frame.payload)
            except Exception:
                raise Unreadable("payload") from None
        return self._value_of_other(frame)

    def error(self, frame: Frame, allowed: tuple[type[BaseException], ...]) -> BaseException:
        """Return the exception in a frame, if its class is one of `allowed` or a subclass.

        Raises:
            Unreadable: it is another one, or cannot be made.
        """
        try:
            if frame.is_error and not frame.compression:
                return rebuild_error(frame.payload, allowed)
        except Exception:  # the class is the user's code
            raise Unreadable("error") from None
        raise Unreadable("error")

    def _serialize(self, key: str, value: object) -> bytes:
        try:
            payload = self._dumps(value)
        except SerializationError as error:
            raise SerializationError(f"cannot store {key!r}: {error}") from None
        except Exception as error:
            msg = f"cannot store {key!r}: serializer {self._name!r} failed on a {_name(value)} ({_name(error)})"
            raise SerializationError(msg) from None  # the cause may quote the value
        if type(payload) is not bytes:
            msg = f"cannot store {key!r}: serializer {self._name!r} gave {_name(payload)} instead of bytes"
            raise SerializationError(msg)
        return payload

    def _check(self, key: str, value: object, payload: bytes) -> Any:
        """Return the copy that is in a payload, if it is what it was."""
        problem: str | None
        try:
            copy = self._loads(payload)
        except Exception as error:
            problem = _misfit(error)
        else:
            if self._name == "raw" and isinstance(value, bytearray | memoryview):
                return copy  # buffers in, bytes out
            problem = difference(value, copy)
            if problem is None:
                return copy
        known = "no return type is known" if self._kind is Any else f"the return type is {describe(self._kind)}"
        msg = (
            f"cannot store {key!r}: {self._name} would not give back what was stored ({problem}; {known}): annotate "
            "the function with exactly what it returns, or use serializer='pickle' with a secret"
        )
        raise SerializationError(msg) from None

    def _seal(self, key: str, payload: bytes, facts: Facts) -> bytes:
        smaller = None if self._compressor is None else shrink(self._compressor, payload)
        if smaller is None:
            return self._pack(key, payload, facts, self._name, "", len(payload))
        return self._pack(key, smaller, facts, self._name, self._compression, len(payload))

    def _pack(
        self,
        key: str,
        payload: bytes,
        facts: Facts,
        name: str,
        compression: str,
        length: int,
        *,
        is_error: bool = False,
        is_nothing: bool = False,
    ) -> bytes:
        frame = Frame(
            id=facts["id"],
            fresh_until=facts["fresh_until"],
            retry_at=facts.get("retry_at", 0.0),
            created=facts["created"],
            load_time=facts["load_time"],
            serializer=name,
            compression=compression,
            length=length,
            stamps=tuple(facts.get("stamps", ())),
            is_error=is_error,
            signed=bool(self._secrets),
            payload=payload,
            lingers=facts.get("lingers", False),
            is_nothing=is_nothing,
        )
        return pack(frame, key, self._secrets[0] if self._secrets else None)

    def _value_of_other(self, frame: Frame) -> Any:
        if frame.is_nothing and self.nothing:
            return MISSING
        if frame.is_nothing:
            raise Unreadable("nothing")
        if frame.is_error:
            raise Unreadable("error")
        loads, guarded = self._reader(frame.serializer)
        if guarded and not frame.signed:
            raise Unreadable("unsigned")
        payload = self._decompress(frame) if frame.compression else frame.payload
        try:
            return loads(payload)
        except Exception:
            raise Unreadable("payload") from None

    def _reader(self, name: str) -> tuple[Callable[[bytes], Any], bool]:
        """Return what decodes the payloads of a serializer, and whether it may see verified ones only."""
        reader = self._readers.get(name)
        if reader is None:
            serializer = self._serializers.find(name)
            if serializer is None:
                raise Unreadable("serializer")
            try:
                loads = compile_for(serializer, self._kind).loads
            except Exception:  # it cannot decode to this type
                raise Unreadable("serializer") from None
            reader = self._readers.setdefault(name, (loads, needs_signature(name, serializer)))
        return reader

    def _decompress(self, frame: Frame) -> bytes:
        try:
            own = self._compressor if frame.compression == self._compression else None
            return expand(own or compressor(frame.compression), frame.payload, frame.length)
        except ValueError as error:  # a ConfigurationError for one that is not known or not installed, too
            raise Unreadable("too large" if str(error) == "too large" else "compression") from None


def _name(value: object) -> str:
    return describe(type(value))


def _misfit(error: Exception) -> str:
    """Return what can be said of a copy that could not be decoded, without any value."""
    found = _MISFIT.fullmatch(str(error))
    parts = [part for part in found.groups() if part] if found else []
    return " at ".join(parts) or f"decoding it raises {type(error).__name__}"
