package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store/archive"
	"github.com/luminate-metrics/luminate/tenancy"
)

// snapshots returns what writes archives of a tenant into storage.snapshot_dir; nil if that is not set. There is one at a
// time: each reads all that the tenant has.
func (m *Main) snapshots() promql.Snapshot {
	dir := m.cfg.Storage.SnapshotDir
	if dir == "" {
		return nil
	}
	var busy sync.Mutex
	return func(ctx context.Context, id tenancy.ID) (string, error) {
		if !busy.TryLock() {
			return "", problem.New(problem.Unavailable, "another snapshot is being written: try again later")
		}
		defer busy.Unlock()
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return "", fmt.Errorf("storage.snapshot_dir: %w", err)
		}
		var unique [8]byte
		_, _ = rand.Read(unique[:]) // It never fails.
		name := m.now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(unique[:]) + ".archive"
		sum, err := writeArchive(filepath.Join(dir, name), func(w io.Writer) (archive.Summary, error) {
			return archive.Write(ctx, w, m.store, m.archiveOptions([]tenancy.ID{id}))
		})
		if err != nil {
			return "", fmt.Errorf("write %s: %w", name, err)
		}
		m.log.LogAttrs(ctx, slog.LevelInfo, "wrote a snapshot", slog.String("tenant", string(id)), slog.String("file", filepath.Join(dir, name)),
			slog.Int64("bytes", sum.Bytes), slog.String("sha256", sum.SHA256))
		return name, nil
	}
}
