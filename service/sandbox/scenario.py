"""Scenario files: a life of payments as a list of steps, read and checked as a whole.

The format is told in docs/sandbox.md. Whatever is wrong is said with its line, before the
first step is played.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(?:\d+[smhd])+", re.ASCII)
_PART = re.compile(r"(\d+)([smhd])", re.ASCII)
_AFTER_MAX_S = 366 * 86_400

# Act -> what may stand beside it, besides `after` and `msn`.
_ON_A_PAYMENT: Mapping[str, tuple[str, ...]] = {
    "wait-for": ("state",),
    "approve": ("phoneNumber", "card"),
    "reject": (),
    "postpone": (),
    "open-details": (),
    "begin-authorizing": (),
    "fail-captures": ("code", "times"),
    "capture": ("value",),
    "refund": ("value",),
    "cancel": (),
}
_OTHERS: Mapping[str, tuple[str, ...]] = {"create": (), "advance": (), "chaos": ()}
_ACTS = {**_ON_A_PAYMENT, **_OTHERS}
_JSON_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null"))
_STATES = ("CREATED", "AUTHORIZED", "ABORTED", "EXPIRED", "TERMINATED")


class ScenarioInvalid(Exception):
    """The scenario cannot be played as it is written."""

    def __init__(self, name: str, line: int, reason: str) -> None:
        super().__init__(f"{name}:{line}: {reason}")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, `after_s` of business time after the one before.

    `about` is the reference, for `create` the body, for `advance` the seconds, for `chaos`
    the plan; `more` is what stood beside it.
    """

    line: int
    act: str
    about: Any
    after_s: float = 0.0
    msn: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """All steps of a file, and how many business seconds pass in one; None is at once."""

    steps: tuple[Step, ...]
    speed: float | None = 1.0


def read_scenario(path: Path) -> Scenario:
    """Return what the file says. Raises: ScenarioInvalid, OSError."""
    return parse_scenario(path.read_text(encoding="utf-8"), name=path.name)


def parse_scenario(text: str, *, name: str) -> Scenario:
    """Return what the text says; `name` is what errors call it. Raises: ScenarioInvalid."""
    return _Reading(text, name).scenario()


def parse_speed(text: str) -> float | None:
    """Return business seconds per second; `max` is None, no waiting at all.

    Raises: ValueError.
    """
    if text == "max":
        return None
    speed = float(text)
    if not 1 <= speed <= _AFTER_MAX_S:
        raise ValueError(f"must be from 1 to {_AFTER_MAX_S}, or max")
    return speed


class _Reading:
    """One file while it is read; nodes know their lines."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._loader = yaml.SafeLoader(text)

    def scenario(self) -> Scenario:
        try:
            root = self._loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ScenarioInvalid(self._name, line, f"not YAML: {error.problem}") from error
        parts = self._pairs(root, "the file must be a mapping with `steps`")
        for key, node in parts.items():
            if key not in ("steps", "speed"):
                raise self._wrong(node, f"`{key}` is unknown here; known are steps, speed")
        steps = parts.get("steps")
        if not isinstance(steps, yaml.SequenceNode) or not steps.value:
            raise self._wrong(steps or root, "`steps` must be a list of at least one step")
        speed = self._speed(parts["speed"]) if "speed" in parts else 1.0
        return Scenario(tuple(self._step(node) for node in steps.value), speed)

    def _step(self, node: yaml.Node) -> Step:
        parts = self._pairs(node, "a step must be a mapping, such as `approve: invoice-0001`")
        acts = [key for key in parts if key in _ACTS]
        if len(acts) != 1:
            raise self._wrong(node, f"a step must have exactly one of {', '.join(_ACTS)}")
        act = acts[0]
        known = (act, "after", "msn", *_ACTS[act])
        for key, value in parts.items():
            if key not in known:
                raise self._wrong(value, f"`{key}` is unknown in {act}; known: {', '.join(known)}")
        more = {key: self._more(key, parts[key]) for key in _ACTS[act] if key in parts}
        return Step(
            line=node.start_mark.line + 1,
            act=act,
            about=self._about(act, parts[act]),
            after_s=self._duration(parts["after"]) if "after" in parts else 0.0,
            msn=self._text(parts["msn"]) if "msn" in parts else None,
            more=more,
        )

    def _about(self, act: str, node: yaml.Node) -> Any:
        if act == "advance":
            return self._duration(node)
        if act in ("create", "chaos"):
            return self._body(node)
        return self._text(node)

    def _body(self, node: yaml.Node) -> dict[str, Any]:
        body = self._plain(node)
        if not isinstance(body, dict):
            raise self._wrong(node, "must be a mapping of fields")
        if "expiresIn" in body:
            body["expiresIn"] = self._duration(self._pairs(node)["expiresIn"])
        return body

    def _more(self, key: str, node: yaml.Node) -> Any:
        value = self._plain(node)
        if key == "state" and value not in _STATES:
            raise self._wrong(node, f"`state` must be one of {', '.join(_STATES)}")
        is_whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if key in ("value", "times", "code") and not is_whole:
            raise self._wrong(node, f"`{key}` must be a whole number above zero")
        return str(value) if key == "phoneNumber" else value

    def _duration(self, node: yaml.Node) -> float:
        text = self._text(node)
        total_s = sum(int(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
        if _DURATION.fullmatch(text) is None or total_s > _AFTER_MAX_S:
            raise self._wrong(node, f"`{text}` is no duration such as 30s, 10m, 3h, 2d or 1h30m")
        return float(total_s)

    def _speed(self, node: yaml.Node) -> float | None:
        try:
            return parse_speed(self._text(node))
        except ValueError as error:
            raise self._wrong(node, f"`speed` {error}") from error

    def _text(self, node: yaml.Node) -> str:
        # As it is written, so that a number without quotes keeps its zeros.
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            raise self._wrong(node, "must be a single word")
        return str(node.value)

    def _plain(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {key: self._plain(value) for key, value in self._pairs(node).items()}
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item) for item in node.value]
        # A date is sent as it is written.
        if node.tag not in _JSON_TAGS:
            return self._text(node)
        try:
            return self._loader.construct_object(node)
        except (yaml.MarkedYAMLError, ValueError, KeyError) as error:
            raise self._wrong(node, f"`{node.value}` cannot be read") from error

    def _pairs(
        self, node: yaml.Node | None, reason: str = "must be a mapping"
    ) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, reason)
        pairs: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value in pairs:
                raise self._wrong(key, f"`{key.value}` stands here twice")
            pairs[str(key.value)] = value
        return pairs

    def _wrong(self, node: yaml.Node | None, reason: str) -> ScenarioInvalid:
        line = 1 if node is None else node.start_mark.line + 1
        return ScenarioInvalid(self._name, line, reason)
