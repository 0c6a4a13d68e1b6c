"""Load one submission: find the folder, read its files, unpack, and put the parts together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from auditor.core.submission import JsonDoc, Launch, Role, SourceFile, Submission
from auditor.core.syntax import parse_python
from auditor.core.types import PackedInfo
from auditor.intake.closure import NATIVE_SUFFIXES, roles
from auditor.intake.entry import Entry, find_entry
from auditor.intake.find import Found, find_submission
from auditor.intake.knobs import knobs_of
from auditor.intake.launch import Sources, read_launch
from auditor.intake.limits import LIMITS, Limits
from auditor.intake.logs import read_logs
from auditor.intake.metadata import read_json
from auditor.intake.texts import decode, decode_source
from auditor.intake.unpack import Unpacked, unpack
from auditor.intake.walk import Folder

_SHELL_SUFFIXES = {".sh", ".bash", ".zsh", ".slurm", ".sbatch", ".cmd", ".bat", ".env", ".ps1"}


def load_submission(path: Path, *, base: str = "origin/main", name: str | None = None) -> Submission:
    """Everything that can be known about the submission at ``path`` without running anything of it.

    ``path`` is a submission folder, a folder of several (``name`` selects), or a checkout of a pull request (the folder
    that it adds against ``base``). Raises ``IntakeError`` when there is no such folder or no one submission in it;
    everything else that is wrong with the folder becomes a ``Problem``.
    """
    return load_found(find_submission(Path(path), base=base, name=name))


def load_found(found: Found, limits: Limits = LIMITS) -> Submission:
    """Load the folder that was found."""
    return _Loader(found, limits).load()


@dataclass
class _Shipped:
    """A source as read: its text as shipped and its size."""

    text: str
    size: int
    sha256: str


@dataclass
class _Loader:
    """The state of one load."""

    found: Found
    limits: Limits
    shipped: dict[str, _Shipped] = field(default_factory=dict)
    unpacked: dict[str, Unpacked] = field(default_factory=dict)

    def load(self) -> Submission:
        """Read all parts in the order in which they need each other."""
        self.folder = Folder(self.found.root, self.limits)
        for file, note in self.found.notes:
            self.folder.problem(file, note)
        self._read_sources()
        metadata = self._read_metadata()
        readme_path, readme = self._read_readme()
        shell = self._read_shell()
        logs = read_logs(self.folder)
        python = {p: s.text for p, s in self.shipped.items() if p.endswith(".py")}
        entry = find_entry(python, self._unpack, metadata, shell, readme)
        for file, note in entry.notes:
            self.folder.problem(file, note)
        sources = self._source_files(entry)
        main = next((s for s in sources if s.role is Role.ENTRY), None)
        self._check(main)
        launch = self._launch(entry, sources, shell, readme, readme_path, metadata, logs)
        return Submission(
            root=self.found.root,
            name=self.found.name,
            track=self._track(metadata),
            files=self.folder.files(),
            entry=main,
            modules=tuple(s for s in sources if s is not main),
            metadata=metadata,
            logs=logs,
            readme=readme,
            readme_path=readme_path,
            launch=launch,
            problems=tuple(self.folder.problems),
            outside_files=self.found.outside,
        )

    def _read_sources(self) -> None:
        paths = [
            p for p in self.folder.sizes if p.endswith(".py") or PurePosixPath(p).suffix.lower() in NATIVE_SUFFIXES
        ]
        paths.sort(key=lambda p: (p.count("/"), not p.endswith(".py"), "train" not in p, p))
        for path in paths[self.limits.sources:]:
            self.folder.problem(path, f"not read: more than {self.limits.sources} source files", unread=True)
        for path in paths[: self.limits.sources]:
            data = self.folder.read(path, self.limits.source_bytes)
            if data is None:
                continue
            text, problem = decode_source(data)
            if problem:
                self.folder.problem(path, problem)
            self.shipped[path] = _Shipped(text, len(data), hashlib.sha256(data).hexdigest())

    def _read_metadata(self) -> JsonDoc | None:
        """``submission.json``, else the one JSON file that has its fields."""
        names = [p for p in self.folder.sizes if p.endswith(".json")]
        exact = [p for p in names if PurePosixPath(p).name.lower() == "submission.json"]
        exact.sort(key=lambda p: (p.count("/"), p))
        others = sorted(p for p in names if "/" not in p and p not in exact)
        if len(exact) > 1 and exact[1].count("/") == exact[0].count("/"):
            self.folder.problem(exact[1], f"a second submission.json; {exact[0]} is taken")
        for path in exact[:1]:
            return self._json(path)
        for path in others[:20]:
            document = self._json(path) if self.folder.sizes[path] < 200_000 else None
            if (
                document is not None
                and document.data is not None
                and {"val_bpb", "author", "blurb"} & set(document.data)
            ):
                self.folder.problem(path, "taken as submission.json, which is missing")
                return document
        return None

    def _json(self, path: str) -> JsonDoc | None:
        data = self.folder.read(path, self.limits.json_bytes)
        if data is None:
            return None
        text, problem = decode(data)
        return read_json(path, text, problem)

    def _read_readme(self) -> tuple[str | None, str | None]:
        names = [p for p in self.folder.sizes if PurePosixPath(p).name.lower().startswith("readme")]
        names.sort(key=lambda p: (p.count("/"), PurePosixPath(p).suffix.lower() != ".md", p))
        for path in names[:1]:
            return path, self._text(path)
        return None, None

    def _read_shell(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in sorted(self.folder.sizes, key=lambda p: (p.count("/"), p)):
            name = PurePosixPath(path)
            if (name.suffix.lower() in _SHELL_SUFFIXES or name.name in ("Makefile", "justfile")) and len(found) < 60:
                text = self._text(path)
                if text is not None:
                    found[path] = text
        return found

    def _text(self, path: str) -> str | None:
        data = self.folder.read(path, self.limits.source_bytes)
        if data is None:
            return None
        text, problem = decode(data)
        if problem:
            self.folder.problem(path, problem)
        return text.replace("\r\n", "\n")

    def _unpack(self, path: str) -> Unpacked:
        """``path`` decoded, once."""
        if path not in self.unpacked:
            if self.folder.late:
                reason = f"not decoded: the folder took longer than {self.limits.seconds:g} s"
                self.folder.problem(path, reason, unread=True)
                return Unpacked(self.shipped[path].text)
            self.unpacked[path] = unpack(path, self.shipped[path].text, self._beside, self.limits)
        return self.unpacked[path]

    def _beside(self, path: str) -> bytes | None:
        """Bytes of a file that a packed script reads; never outside the folder."""
        if path in self.shipped and path.endswith(".py"):
            return self.shipped[path].text.encode("utf-8", "replace")
        return self.folder.read(path, self.limits.side_bytes) if path in self.folder.sizes else None

    def _source_files(self, entry: Entry) -> list[SourceFile]:
        """All sources with decoded texts and roles; embedded modules follow the file that carries them."""
        texts: dict[str, str] = {}
        for path, shipped in self.shipped.items():
            if not path.endswith(".py"):
                texts[path] = shipped.text
                continue
            result = self._unpack(path)
            texts[path] = result.text
            texts.update({f"{path}!/{name}": text for name, text in result.modules.items()})
            for problem in result.problems:
                self.folder.problem(path, problem)
        kinds = roles(entry.path, texts) if entry.path is not None else {}
        return [
            self._source_file(p, t, Role.ENTRY if p == entry.path else kinds.get(p, Role.OTHER))
            for p, t in texts.items()
        ]

    def _source_file(self, path: str, text: str, role: Role) -> SourceFile:
        if path not in self.shipped:
            return SourceFile(path, text, role, 0, "", None, text)
        shipped, result = self.shipped[path], self.unpacked.get(path)
        packed = None
        if result is not None and result.packed and result.text != shipped.text:
            packed = PackedInfo(result.layers, shipped.size, result.decoded)
        return SourceFile(path, text, role, shipped.size, shipped.sha256, packed, shipped.text)

    def _check(self, main: SourceFile | None) -> None:
        """Say so when there is no entry, or when it does not parse."""
        if main is None:
            self.folder.problem(".", "no training script was found")
            return
        parsed = parse_python(main.text)
        if parsed.problem is not None:
            where = f" at line {parsed.problem.line}" if parsed.problem.line else ""
            self.folder.problem(main.path, f"cannot be parsed{where}: {parsed.problem.reason}")

    def _track(self, metadata: JsonDoc | None) -> str | None:
        if self.found.track is not None or metadata is None or metadata.data is None:
            return self.found.track
        stated = str(metadata.data.get("track", "")).lower().replace("-", "_").replace(" ", "_")
        if "non_record" in stated or "nonrecord" in stated or "unlimited" in stated:
            return "track_non_record_16mb"
        return "track_10min_16mb" if "10min" in stated or "10_min" in stated or stated == "record" else None

    def _launch(
        self,
        entry: Entry,
        sources: list[SourceFile],
        shell: dict[str, str],
        readme: str | None,
        readme_path: str | None,
        metadata: JsonDoc | None,
        logs: tuple[object, ...],
    ) -> Launch:
        used = [s.text for s in sources if s.role in (Role.ENTRY, Role.MODULE)]
        scripts = (*entry.shims, *((entry.path,) if entry.path else ()))
        wrapper = [(n, v, line, unset, p) for p in scripts for n, v, line, unset in self._unpack(p).env]
        launchers = {
            p: [(n, v, line) for n, v, line, _ in u.env]
            for p, u in self.unpacked.items() if p not in scripts and u.env and u.target == entry.path and entry.path
        }
        return read_launch(
            Sources(
                entry=entry.path,
                scripts=scripts,
                python=frozenset(p for p in self.shipped if p.endswith(".py")),
                shell=shell,
                readme=readme,
                readme_path=readme_path,
                metadata=metadata,
                logs=logs,  # type: ignore[arg-type]
                knobs=knobs_of(used),
                texts=tuple(used),
                code=frozenset(line.strip() for t in used for line in t.split("\n")),
                wrapper_env=wrapper,
                launchers=launchers,
            )
        )
