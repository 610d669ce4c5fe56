package ingest

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// settingMetadata is the configuration key of the limit on metadata.
const settingMetadata = "storage.max_metadata_bytes"

// familyWeight is how many bytes a metric family takes besides its texts: in the store's map, and here.
const familyWeight = 128

// families bounds the metadata of each tenant: stores keep all of it in memory, and write it out at every checkpoint.
type families struct {
	most int64 // Bytes; 0 means no limit.
	log  *slog.Logger
	seed maphash.Seed

	mu      sync.Mutex
	tenants map[tenancy.ID]*described
}

// described is what is known of the metadata of a tenant.
type described struct {
	mu     sync.Mutex
	sizes  map[uint64]int64 // Of each family, by the hash of its name; nil until they were read from the store.
	bytes  int64
	warned bool
}

// LimitMetadata bounds the bytes of metadata that are kept of a tenant, names and 128 bytes for each metric family
// included. It is called before the first Ingest; without it there is no limit.
func (p *Pipeline) LimitMetadata(most int64, log *slog.Logger) {
	p.families = families{most: most, log: log, seed: maphash.MakeSeed(), tenants: map[tenancy.ID]*described{}}
}

// admit takes the metadata out of b that the tenant has no room for.
func (f *families) admit(ctx context.Context, st store.Store, id tenancy.ID, b *metric.Batch) ([]metric.Rejection, error) {
	if f.most <= 0 || len(b.Metadata) == 0 {
		return nil, nil
	}
	t := f.tenant(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := f.load(ctx, st, id, t); err != nil {
		return nil, err
	}
	kept := b.Metadata[:0]
	var refused int
	var first string
	for _, m := range b.Metadata {
		if f.add(t, m) {
			kept = append(kept, m)
			continue
		}
		if refused++; refused == 1 {
			first = m.Family
		}
	}
	clear(b.Metadata[len(kept):])
	b.Metadata = kept
	if refused == 0 {
		return nil, nil
	}
	if !t.warned {
		t.warned = true
		f.log.LogAttrs(ctx, slog.LevelWarn, "a tenant has as much metadata as it may: what comes on top is refused",
			slog.String("tenant", string(id)), slog.Int("families", len(t.sizes)), slog.Int64("bytes", t.bytes),
			slog.Int64("limit", f.most), slog.String("setting", settingMetadata))
	}
	return []metric.Rejection{{
		Lost: metric.Counts{Metadata: refused}, Reason: metric.MetadataLimit,
		Detail: fmt.Sprintf("metadata of metric family %.64q: the tenant has %d families with %d bytes of metadata, and the limit set by %s is %d: samples are stored all the same",
			first, len(t.sizes), t.bytes, settingMetadata, f.most),
	}}, nil
}

func (f *families) tenant(id tenancy.ID) *described {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tenants[id]
	if t == nil {
		t = &described{}
		f.tenants[id] = t
	}
	return t
}

// load asks the store what it has, once.
func (f *families) load(ctx context.Context, st store.Store, id tenancy.ID, t *described) error {
	if t.sizes != nil {
		return nil
	}
	list, err := st.Tenant(id).Metadata(ctx, store.MetadataQuery{})
	if err != nil {
		return fmt.Errorf("ingest: read metadata: %w", err)
	}
	t.sizes = make(map[uint64]int64, len(list))
	for _, m := range list {
		size := sizeOf(m)
		t.sizes[f.hash(m.Family)] = size
		t.bytes += size
	}
	return nil
}

// add reports whether there is room for m. What a family had before makes room.
func (f *families) add(t *described, m metric.Metadata) bool {
	key, size := f.hash(m.Family), sizeOf(m)
	more := size - t.sizes[key]
	if more > 0 && t.bytes+more > f.most {
		return false
	}
	if more != 0 {
		t.sizes[key] = size
		t.bytes += more
	}
	return true
}

func (f *families) hash(family string) uint64 { return maphash.String(f.seed, family) }

func sizeOf(m metric.Metadata) int64 {
	return familyWeight + int64(len(m.Family)+len(m.Type)+len(m.Help)+len(m.Unit))
}
