"""What the source witness knows after following the data: the values that rules read.

The interpreter (``auditor.source.interpret``) runs the script abstractly from its top level, with flags resolved,
and records *events*: a piece of state was updated from some data, a score was computed, a table was looked up, a
number was printed. Each event carries the loops that enclose it and the loops with which its data vary, so that
"scored before it was trained on" is a comparison of two events (`order`), whatever the functions are called.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from auditor.core.types import PathStep
from auditor.source.metric_facts import MetricFacts


class Origin(StrEnum):
    """Where data come from."""

    VAL = "val"
    TRAIN = "train"
    GENERATED = "generated"
    RANDOM = "random"


class StateKind(StrEnum):
    """What an update changes."""

    WEIGHTS = "weights"
    """Parameters of a model (through an optimizer step, ``.data`` writes or a load)."""
    VECTOR = "vector"
    """A fresh tensor that requires grad: SLOT deltas, logit biases, temperatures."""
    TABLE = "table"
    """Counts, caches, hash tables, dictionaries."""
    CALIBRATION = "calibration"
    """Statistics that a quantiser uses: Hessians, activation scales."""


class Order(StrEnum):
    """How an update stands to a score that depends on it."""

    SCORE_FIRST = "score_first"
    """Within each step of the shared loop the score comes first: the update serves later data only."""
    TRAIN_FIRST = "train_first"
    """Within one step of the shared loop the same data are trained on, then scored."""
    EARLIER_PASS = "earlier_pass"
    """The update's loop is over before the score's begins: all of its data were seen in advance."""
    REPEATED = "repeated"
    """A loop repeats both over the same data (epochs): from its second turn on, scored data were trained on."""
    UNRELATED = "unrelated"
    """The score does not depend on the update."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the (decoded) source; lines from 1, columns from 0."""

    file: str
    line: int
    end_line: int
    column: int
    function: str
    """Qualified name of the enclosing function, ``<module>`` at top level."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One dynamic loop nest level: where it stands and how often it turns (None: not known)."""

    id: int
    site: Site
    turns: int | None


@dataclass(frozen=True, slots=True)
class Update:
    """State was changed from data."""

    id: int
    kind: StateKind
    site: Site
    origins: frozenset[Origin]
    loops: tuple[int, ...]
    """Ids of the enclosing loops, outermost first."""
    varies: frozenset[int]
    """Loops with which the consumed slice varies."""
    position: int
    """Serial number in abstract execution order (first time seen)."""
    path: tuple[PathStep, ...]
    """From the load of the data to the change of state."""
    guard: str = ""
    """The innermost undecided condition that it stands under, as text; empty when it certainly runs."""
    during_training: bool = False
    """Inside the training clock (the loop that trains on training shards)."""
    disjoint_from: frozenset[int] = frozenset()
    """Ids of scores whose positions within one turn of the shared loop are the complement of the consumed ones
    (``loss[:, :s]`` trains, ``nll[:, s:]`` is scored; or the loss trains on ``tokens[:start]`` of this turn)."""
    carried: bool = False
    """The state outlives the turn: it was made outside the loops with which the consumed slice varies."""


@dataclass(frozen=True, slots=True)
class Score:
    """A loss of validation targets was computed (cross entropy, gathered log-probability, -log p)."""

    id: int
    site: Site
    loops: tuple[int, ...]
    varies: frozenset[int]
    position: int
    depends_on: frozenset[int]
    """Ids of the updates whose state reached this value."""
    lookups: frozenset[int]
    """Ids of the table look-ups that reached it."""
    raw_origins: frozenset[Origin]
    """Data that reached the scoring weights without an update event (calibration, packed tables)."""
    path: tuple[PathStep, ...]
    guard: str = ""
    first_turn_only: frozenset[int] = frozenset()
    """Loops in whose first turn only this score is accumulated (``if epoch == 0``)."""
    with_grad: bool = False


@dataclass(frozen=True, slots=True)
class Lookup:
    """A table was read under a key made from validation tokens."""

    id: int
    site: Site
    target_in_key: bool
    """The key contains the token whose probability the value becomes."""
    why: str
    """How that is known: ``ratio`` (divided by a look-up under the same key less one token), ``scored token``
    (the key holds a token that the loss takes as target), ``gate`` (a property of the target selects the value),
    ``stored`` (a stored copy of the text is compared with the target, and the comparison selects the value)."""
    table_origins: frozenset[Origin]
    loops: tuple[int, ...]
    position: int
    path: tuple[PathStep, ...]
    guard: str = ""
    updates: frozenset[int] = frozenset()
    """Ids of the table updates whose state is read."""
    use: str = ""
    """``hint``: the value is reduced to a token id (argmax, most common) that tilts logits; ``distribution``: a row
    over the whole vocabulary is read and normalised; empty: a count or probability of one token, or not known."""


@dataclass(frozen=True, slots=True)
class Report:
    """A number was printed or logged: the literal text around it and the scores that it is made of."""

    site: Site
    text: str
    scores: frozenset[int]
    position: int


class MixKind(StrEnum):
    """Ways to combine scores that know the outcome."""

    MIN_OVER_PASSES = "min_over_passes"
    BEST_OF_EXPERTS = "best_of_experts"
    TARGET_ONLY_MIX = "target_only_mix"
    """Probabilities of the realised token alone are mixed with a value that is no distribution over the vocabulary."""
    BYTE_MIX = "byte_mix"
    """A byte-level model's probability is mixed into token scores."""
    TUNED_ON_SCORE = "tuned_on_score"
    """A constant (temperature, mixing weight) is chosen by comparing validation scores made with several values;
    ``scores`` are those made with the chosen one."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Several scores or probabilities of the same target were combined."""

    kind: MixKind
    site: Site
    scores: frozenset[int]
    path: tuple[PathStep, ...]
    guard: str = ""


@dataclass(frozen=True, slots=True)
class DataRead:
    """Shards were opened or read."""

    origin: Origin
    site: Site
    position: int
    after_training: bool
    """After the loop that trains on training shards has ended."""
    feeds: StateKind | None
    """What the data reach, when they reach state."""
    path: tuple[PathStep, ...]
    guard: str = ""


@dataclass(frozen=True, slots=True)
class Disabled:
    """Code that a resolved flag switches off, and would otherwise update from or score validation data."""

    site: Site
    condition: str
    value: str
    """The flag's value and where it comes from, as a sentence."""
    function: str


@dataclass(frozen=True, slots=True)
class External:
    """A network, subprocess, environment-sniffing or dynamic-code call, with the phase it stands in."""

    what: str
    """``network``, ``subprocess``, ``exec``, ``sniffing``."""
    site: Site
    call: str
    after_training: bool
    guard: str = ""
    program: str = ""
    """The program that is started, when it is known (``lrzip``; ``python`` for the interpreter itself)."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Everything that the source witness found. ``complete`` is False when the walk was cut short."""

    entry: str
    updates: tuple[Update, ...] = ()
    scores: tuple[Score, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    mixes: tuple[Mix, ...] = ()
    reports: tuple[Report, ...] = ()
    reads: tuple[DataRead, ...] = ()
    disabled: tuple[Disabled, ...] = ()
    external: tuple[External, ...] = ()
    loops: dict[int, Loop] = field(default_factory=dict)
    complete: bool = True
    unresolved: tuple[str, ...] = ()
    """Sentences: what could not be followed, and where."""
    texts: dict[str, str] = field(default_factory=dict)
    """Decoded text by file."""
    foreign: str = ""
    """Why the claimed score is not this code's: no print call of it can have written the log lines that state it."""
    headline: frozenset[int] | None = None
    """Scores behind the number that the submission claims; None when no report could be matched to it."""
    metric: MetricFacts = field(default_factory=MetricFacts)
    """Byte counting, causality, gates in native code: see ``auditor.source.metric``."""


def order(facts: SourceFacts, update: Update, score: Score) -> Order:
    """Say how ``update`` stands to ``score``; the heart of every order rule.

    Common enclosing loops decide. A common loop with which neither slice varies repeats both over the same data,
    unless it turns once or the score counts in its first turn only. Without a common loop the earlier event is
    over before the later begins. Otherwise the order inside one turn decides.
    """
    if update.id not in score.depends_on:
        return Order.UNRELATED
    common = [a for a, b in zip(update.loops, score.loops, strict=False) if a == b]
    for loop in common:
        repeats = facts.loops[loop].turns != 1 and loop not in score.first_turn_only
        if repeats and loop not in score.varies and loop not in update.varies:
            return Order.REPEATED
    shared = [loop for loop in common if loop in score.varies and facts.loops[loop].turns != 1]
    if not shared:
        return Order.EARLIER_PASS if update.position < score.position else Order.SCORE_FIRST
    if any(loop not in update.varies for loop in shared):
        return Order.EARLIER_PASS
    return Order.TRAIN_FIRST if update.position < score.position else Order.SCORE_FIRST
