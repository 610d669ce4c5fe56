package partition

import (
	"slices"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/series"
)

// A Cursor loads samples. It is cheapest in the order of ids.
type Cursor struct {
	r      *Reader
	it     *badgerdb.Iterator
	prefix []byte
}

// NewCursor returns a cursor over r.
func (r *Reader) NewCursor() *Cursor {
	prefix := tenantKey(kindData, r.tenant)
	return &Cursor{r, r.txn.NewIterator(badgerdb.IteratorOptions{Prefix: prefix}), prefix}
}

// Close releases the cursor.
func (c *Cursor) Close() { c.it.Close() }

// Load returns the samples of s that lie in the range and no mask hides, and the one before the range; there may be more
// before it. A chunk that is missing or damaged is an error that wraps store.ErrCorrupt.
func (c *Cursor) Load(s *Series, in store.Range, masks []Mask) (series.Run, error) {
	prefix := seriesKey(kindData, c.r.tenant, s.ID)
	first := append(slices.Clip(prefix), dataChunk)
	var out series.Run
	chunks := uint64(0)
	for c.it.Seek(first); c.it.ValidForPrefix(prefix); c.it.Next() {
		item := c.it.Item()
		sequence, ok := chunkSequence(item.Key()[len(prefix):])
		if !ok {
			return nil, c.r.corrupt("series %s: chunk key", s.Labels)
		}
		chunks++
		var run series.Run
		err := item.Value(func(value []byte) (err error) {
			run, err = decodeChunk(value)
			return err
		})
		if err != nil {
			return nil, c.r.corrupt("series %s: chunk of flush %d: %v", s.Labels, sequence, err)
		}
		for _, m := range masks {
			if sequence <= m.Sequence && len(run.Between(m.Range)) > 0 {
				run = run.Without(m.Range)
			}
		}
		out = Join(out, run.Around(in))
	}
	if chunks < s.census.chunks {
		return nil, c.r.corrupt("series %s: %d chunks are there, %d were written", s.Labels, chunks, s.census.chunks)
	}
	return out, nil
}

// Join returns the samples of both runs, those of late where both have one. It may grow into old's memory.
func Join(old, late series.Run) series.Run {
	if len(old) > 0 && len(late) > 0 && old[len(old)-1].Timestamp < late[0].Timestamp {
		return append(old, late...)
	}
	return series.Merge(old, late)
}
