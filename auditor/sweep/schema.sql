-- The store of a sweep, version 1. One file of SQLite; times are ISO 8601 in UTC.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    tool TEXT NOT NULL,             -- version and digest of the audit's own code
    edition TEXT NOT NULL,
    options TEXT NOT NULL,          -- JSON
    started TEXT NOT NULL,
    ended TEXT,                     -- NULL: interrupted, or still running
    seconds REAL,
    summary TEXT                    -- JSON
);
CREATE TABLE pulls (
    id INTEGER PRIMARY KEY,
    ref TEXT NOT NULL UNIQUE,
    number INTEGER,
    head TEXT NOT NULL,
    base TEXT NOT NULL,
    author TEXT NOT NULL,
    title TEXT NOT NULL,
    date TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('submissions', 'none', 'error')),
    note TEXT NOT NULL,
    plan_key TEXT NOT NULL          -- head, base branch and tool when it was looked at
);
CREATE TABLE submissions (
    id INTEGER PRIMARY KEY,
    pull INTEGER NOT NULL REFERENCES pulls (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    content TEXT NOT NULL,          -- digest of all that the audit reads
    key TEXT,                       -- content, tool, edition and options of the audit; NULL: not audited yet
    name TEXT, author TEXT, track TEXT, date TEXT, stated_bpb REAL,
    verdict TEXT, reason TEXT, complete INTEGER, record_ready INTEGER,
    error TEXT NOT NULL DEFAULT '', -- why there is no report
    report BLOB,                    -- JSON, zlib
    facts BLOB,                     -- JSON, zlib: digests of the script's functions
    program TEXT,                   -- digest of the script's normal form
    same_as INTEGER REFERENCES submissions (id) ON DELETE SET NULL, -- whose report this is: the same path and content
    seconds REAL, cpu_seconds REAL, peak_bytes INTEGER, audited TEXT,
    UNIQUE (pull, path)
);
CREATE INDEX submissions_key ON submissions (key);
CREATE TABLE results (
    submission INTEGER NOT NULL REFERENCES submissions (id) ON DELETE CASCADE,
    rule TEXT NOT NULL, witness TEXT NOT NULL, outcome TEXT NOT NULL, confidence TEXT NOT NULL,
    findings INTEGER NOT NULL, suppressed INTEGER NOT NULL
);
CREATE INDEX results_submission ON results (submission);
CREATE TABLE lineage (
    submission INTEGER PRIMARY KEY REFERENCES submissions (id) ON DELETE CASCADE,
    nearest INTEGER REFERENCES submissions (id) ON DELETE CASCADE,
    similarity REAL NOT NULL,       -- share of the code, 0 to 1
    same_program INTEGER NOT NULL,  -- equal but for comments, formatting and docstrings
    changed TEXT NOT NULL, added TEXT NOT NULL, removed TEXT NOT NULL  -- names of functions, JSON
);
