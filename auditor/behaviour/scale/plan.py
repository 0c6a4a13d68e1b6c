"""From a submission to a runnable toy plan, without running anything of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from auditor.behaviour.scale import tables
from auditor.behaviour.scale.config import config_values
from auditor.behaviour.scale.evaluate import Scope, worth
from auditor.behaviour.scale.launch import launch_env, required_env
from auditor.behaviour.scale.model import Change, Plan
from auditor.behaviour.scale.paths import path_env, places_of
from auditor.behaviour.scale.rewrite import Span, literal_text, replace_spans, with_helpers
from auditor.behaviour.scale.roles import role_of
from auditor.behaviour.scale.shape import LEVELS, Level, Shape, number_of, shape_of
from auditor.behaviour.scale.sites import Site, scope_of, sites_of
from auditor.behaviour.scale.values import other_value, toy_value
from auditor.behaviour.toyworld.spec import WorldSpec
from auditor.core.submission import Role, SourceFile, Submission, near_sources
from auditor.core.syntax import ParsedModule, parse_python

MAX_COPY_BYTES = 4 << 20
MAX_COPIES = 60
MAX_VOCAB = 16_384
_COPIED = {
    ".json", ".txt", ".model", ".vocab", ".c", ".h", ".cc", ".cpp", ".cu", ".cuh", ".so", ".yaml", ".yml", ".toml",
    ".npz", ".npy", ".bin", ".pt", ".sh", ".cfg", ".md", ".tsv", ".csv", ".xz", ".zst", ".br", ".gz", ".lzma",
}  # fmt: skip
_STEP = re.compile(r"(?:^|\s)step[:=\s]+(\d+)\s*/\s*(\d+)")


@dataclass
class Source:
    """One file of the run with its tree."""

    file: SourceFile
    parsed: ParsedModule


@dataclass
class Survey:
    """What the sources of one submission say."""

    sources: list[Source]
    scope: Scope
    sites: list[Site]
    launch: dict[str, str]
    notes: list[str]


def survey(submission: Submission, dropped: Collection[str] = ()) -> Survey:
    """Parse the sources and find their knobs under the launch settings, without those in ``dropped``."""
    sources = read_sources(submission)
    trees = [s.parsed.tree for s in sources if s.parsed.tree is not None]
    scope = scope_of(trees, {n: s.value for n, s in submission.launch.env.items()}, config_values(submission))
    sites = find_sites(sources, scope)
    launch, notes = launch_env(submission, sites, dropped)
    if launch != scope.env:
        scope.env = launch
        sites = find_sites(sources, scope)
    return Survey(sources, scope, with_argv(sites, submission.launch.argv), launch, notes)


def knobs(submission: Submission) -> list[Site]:
    """All knobs of a submission, with their values in the claimed run."""
    return survey(submission).sites


def plan(submission: Submission) -> Plan:
    """The first plan for ``submission``. Raises ``ValueError`` where it has no entry script."""
    return build(submission, 0, {}, 0)


def build(
    submission: Submission, level: int, tweaks: Mapping[str, int], attempt: int, dropped: tuple[str, ...] = ()
) -> Plan:
    """A plan at ``level``; ``tweaks`` chooses other values for knobs, ``dropped`` settings stay unset: `retry`."""
    if submission.entry is None:
        raise ValueError("no training script was found")
    found = survey(submission, dropped)
    sources, scope, sites, launch = found.sources, found.scope, found.sites, found.launch
    trees = [s.parsed.tree for s in sources if s.parsed.tree is not None]
    main = [s for s in sites if s.file == submission.entry.path] or sites
    shape = shape_of(main, LEVELS[level], steps_run(submission))
    env = {**launch, **path_env(sites, launch)}
    changes, edits, argv = choose(sites, shape, LEVELS[level], tweaks, env, submission.launch.argv,
                                  tuple(s.parsed.text for s in sources))
    if LEVELS[level].dim is not None:
        changes += shrink_tables(sources, edits)
    scope.env = env
    spec = world_of(sites, scope, launch, changes)
    env.update(required_env(sites, env, spec.vocab_size))
    return Plan(
        files={guest_path(s.file.path): edited(s.parsed, edits.get(s.file.path, [])) for s in sources},
        copies=copies_of(submission, {s.file.path for s in sources}),
        script=guest_path(submission.entry.path),
        argv=argv,
        env=env,
        settings=settings_of(submission),
        changes=changes,
        world=spec,
        data_paths=places_of(trees, scope, spec.vocab_size),
        seq_len=shape.toy_seq,
        iterations=shape.toy_iterations,
        attempt=attempt,
        folders=("logs",),
        level=level,
        tweaks=dict(tweaks),
        dropped=dropped,
        notes=tuple(found.notes),
    )  # fmt: skip


def find_sites(sources: list[Source], scope: Scope) -> list[Site]:
    """All knobs of all files."""
    return [site for s in sources if s.parsed.tree is not None for site in sites_of(s.file.path, s.parsed.tree, scope)]


def edited(parsed: ParsedModule, edits: list[tuple[Span, str]]) -> str:
    """The text with its edits. Edits first (their columns are those of the parsed text), then the helpers."""
    text = replace_spans(parsed.text, edits)
    return with_helpers(ParsedModule(parsed.tree, None, text, parsed.rewritten))


def read_sources(submission: Submission) -> list[Source]:
    """The entry and the Python files beside it that a run may import."""
    assert submission.entry is not None
    files = [submission.entry, *(f for f in near_sources(submission) if is_python(f))]
    return [Source(f, parse_python(f.text)) for f in files]


def is_python(file: SourceFile) -> bool:
    """Python text that a run may load (not the preparation of data)."""
    return file.path.endswith(".py") and file.role in (Role.MODULE, Role.OTHER)


def guest_path(path: str) -> str:
    """Where a file of the folder lies in the guest; a module packed into a script lies beside it."""
    if "!/" in path:
        carrier, name = path.split("!/", 1)
        return str(PurePosixPath(carrier).parent / name)
    return path


def steps_run(submission: Submission) -> int | None:
    """The last training step of the logs; None when they show none."""
    last: list[int] = []
    for log in submission.logs[:6]:
        steps = [int(m.group(1)) for line in log.lines if len(line) < 400 and (m := _STEP.search(line))]
        if steps and max(steps) >= 100:
            last.append(max(steps))
    return sorted(last)[len(last) // 2] if last else None


def with_argv(sites: list[Site], argv: tuple[str, ...]) -> list[Site]:
    """Options with the value that the launch gives them."""
    given: dict[str, str] = {}
    for position, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            following = argv[position + 1] if position + 1 < len(argv) else ""
            given[name] = value if equals else following
    return [
        Site(s.name, s.how, given[s.name], s.file, s.line, s.attribute) if s.how == "argv" and s.name in given else s
        for s in sites
    ]


def choose(
    sites: list[Site],
    shape: Shape,
    level: Level,
    tweaks: Mapping[str, int],
    env: dict[str, str],
    argv: tuple[str, ...],
    texts: tuple[str, ...] = (),
) -> tuple[tuple[Change, ...], dict[str, list[tuple[Span, str]]], tuple[str, ...]]:
    """Toy values for all knobs: (changes, edits by file, arguments); ``env`` is extended in place."""
    changes: list[Change] = []
    edits: dict[str, list[tuple[Span, str]]] = {}
    words = list(argv)
    for site in sites:
        role, value = toy_value(site, shape, level)
        if role == "val_every" and value is not None and any(zero_is_last_only(site.words, text) for text in texts):
            value = 0
        if site.name in tweaks:
            value = other_value(site, value, shape)
        if value is None or not allowed(site, role, sites):
            continue
        where = f"{site.file}:{site.line}"
        old = None if site.value is None else str(site.value)
        text = literal_text(value)
        if site.how == "env":
            env[site.name] = text
            changes.append(Change(site.name, old, text, role, "env", where))
        elif site.how == "argv":
            set_option(words, site.name, text)
            changes.append(Change(site.name, old, text, role, "argv", where))
        elif site.span is not None:
            edits.setdefault(site.file, []).append((site.span, text))
            changes.append(Change(site.name, old, text, role, "rewrite", where))
    return tuple(changes), edits, tuple(words)


def shrink_tables(sources: list[Source], edits: dict[str, list[tuple[Span, str]]]) -> tuple[Change, ...]:
    """Shrink the tables whose size is written out; ``edits`` is extended in place."""
    changes: list[Change] = []
    for source in sources:
        tree = source.parsed.tree
        if tree is None:
            continue
        mine = edits.setdefault(source.file.path, [])
        more, added = tables.shrink(source.file.path, tree, {span for span, _ in mine})
        changes += more
        mine += added
    return tuple(changes)


def zero_is_last_only(words: str, text: str) -> bool:
    """Whether ``text`` validates after the last step whatever ``words`` is, and never else when it is 0."""
    name = rf"(?:\w+\.)*{re.escape(words)}"
    return re.search(rf"last_step\s+or\s*\(?\s*{name}\s*>\s*0\s+and\b", text) is not None


_IN_CALLS = frozenset(
    {"seq_len", "stride", "batch", "batch_tokens", "calib", "chunk", "buckets", "docs", "epochs", "least_tokens"}
)
_DIMENSIONS = frozenset(
    {"model_dim", "width", "head_dim", "rope_dims", "heads", "kv_heads", "layers", "rank", "window"}
)


def allowed(site: Site, role: str, sites: list[Site]) -> bool:
    """Whether a literal with this role may be rewritten: in calls and parameters only sizes of data and tables."""
    if site.how in ("env", "argv"):
        return True
    if site.how in ("default", "keyword"):
        if role in _DIMENSIONS:
            decided = (s for s in sites if s.how in ("env", "argv", "const"))
            return not any(role_of(s.words, s.value) == "model_dim" for s in decided)
        if site.words == "block_size":
            return False
        return role in _IN_CALLS or (role in ("inner_steps", "repeats") and (number_of(site) or 0) >= 20)
    number = number_of(site) or 0
    if role == "layer_index":  # a constant beside the setting of its name
        return any(s.words == site.words and s.how in ("env", "argv") for s in sites) and number > 1
    return role not in ("every", "warmup", "log_every", "val_every") and number > 1


def set_option(words: list[str], name: str, value: str) -> None:
    """Give option ``name`` the value in a list of arguments."""
    for position, word in enumerate(words):
        if word == name and position + 1 < len(words):
            words[position + 1] = value
            return
        if word.startswith(name + "="):
            words[position] = f"{name}={value}"
            return
    words += [name, value]


def world_of(sites: list[Site], scope: Scope, launch: Mapping[str, str], changes: tuple[Change, ...]) -> WorldSpec:
    """Vocabulary, kind of tokenizer and BOS that the script expects, ``changes`` made."""
    vocab = next((int(n) for s in sites if role_of(s.words, s.value) == "vocab" and (n := number_of(s))), 1024)
    vocab = next((int(c.new) for c in changes if c.role == "vocab"), vocab)
    paths = " ".join(
        str(launch.get(s.name, s.value)) for s in sites if s.how == "env" and ("path" in s.words or "dir" in s.words)
    )
    caseops = next((s for s in sites if s.words in ("caseops_enabled", "use_caseops", "caseops")), None)
    kind = "bpe"
    if caseops is not None and str(launch.get(caseops.name, caseops.value)) == "1":
        kind = "caseops"
    elif vocab in (256, 260) or re.search(r"byte(?:256|260)", paths):
        kind = "bytes"
    bos = worth(scope.names.get("BOS_ID") or scope.names.get("bos_id"), scope)
    bos_id = bos if isinstance(bos, int) and 0 <= bos < vocab else 1
    return WorldSpec(vocab_size=min(vocab, MAX_VOCAB), tokenizer=kind, bos_id=bos_id)


def settings_of(submission: Submission) -> tuple[tuple[str, str, str], ...]:
    """(name, value, where it stands) of what the launch decided."""
    return tuple((n, s.value, f"{s.how}: {s.origin}") for n, s in sorted(submission.launch.env.items()))


def copies_of(submission: Submission, taken: set[str]) -> tuple[str, ...]:
    """Small files beside the script that it may open."""
    logs = {log.path for log in submission.logs}
    found = [
        f.path
        for f in submission.files
        if f.size <= MAX_COPY_BYTES
        and f.path not in taken
        and f.path not in logs
        and PurePosixPath(f.path).suffix.lower() in _COPIED
    ]
    return tuple(found[:MAX_COPIES])
