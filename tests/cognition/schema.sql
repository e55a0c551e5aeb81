CREATE TABLE collections (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    folder TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    used_at INTEGER NOT NULL
) STRICT;
CREATE TABLE files (
    collection TEXT NOT NULL,
    name TEXT NOT NULL,
    stamp TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    revision INTEGER NOT NULL,
    problem TEXT NOT NULL,
    PRIMARY KEY (collection, name)
) STRICT;
CREATE TABLE migrations (name TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE priors (
    collection TEXT NOT NULL REFERENCES collections (id),
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('human', 'analyzer', 'import')),
    status TEXT NOT NULL CHECK (status IN ('active', 'pending', 'rejected', 'removed')),
    revision INTEGER NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0,
    evidence TEXT NOT NULL DEFAULT '{}',
    reason TEXT NOT NULL DEFAULT '',
    former TEXT NOT NULL DEFAULT '[]',
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (collection, key)
) STRICT;
CREATE TABLE revisions (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    text TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    at INTEGER NOT NULL,
    author TEXT NOT NULL CHECK (author IN ('human', 'file', 'analyzer', 'import')),
    message TEXT NOT NULL,
    PRIMARY KEY (collection, key, revision)
) STRICT;
CREATE TABLE usage (
    collection TEXT NOT NULL,
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    figures TEXT NOT NULL,
    PRIMARY KEY (collection, run)
) STRICT
;
CREATE TABLE vectors (sha256 TEXT NOT NULL, embedder TEXT NOT NULL, dim INTEGER NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (embedder, sha256)) STRICT;
