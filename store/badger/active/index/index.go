// Package index is a hash table from 64-bit hashes to 32-bit numbers whose readers take no locks.
//
// It keeps 32 bits of a hash beside each number; the reader compares what the number stands for. There are 256 shards,
// and only one of them is locked and moved while it grows.
package index

import (
	"sync"
	"sync/atomic"
)

const (
	shardBits = 8
	firstHome = 16
	// removed in place of a number marks a slot whose number is gone but which others were probed past.
	removed = 1<<32 - 1
)

// Limit is the smallest number that cannot be stored.
const Limit = removed - 1

// A table is the slots of a shard: tag<<32 | number+1, or 0. The first place of a tag is tag*home>>32, so that slots are
// ordered by tag but for collisions and a larger table is filled in one pass over memory.
type table struct {
	slots []uint64 // The last one stays 0: it ends every probe.
	home  uint64
}

func newTable(home int) *table {
	overflow := min(128, 16+home/8)
	return &table{make([]uint64, home+overflow), uint64(home)}
}

// A Shard is the part of an index that one lock guards against other writers.
type Shard struct {
	mu    sync.Mutex
	table atomic.Pointer[table]
	live  int
	gone  int // Slots that hold removed.
	_     [32]byte
}

// An Index is the table.
type Index struct{ shards [1 << shardBits]Shard }

// New returns an empty index.
func New() *Index {
	x := &Index{}
	for i := range x.shards {
		x.shards[i].table.Store(newTable(firstHome))
	}
	return x
}

// Lock locks the shard of a hash for Insert and Remove; Unlock it afterwards.
func (x *Index) Lock(hash uint64) *Shard {
	s := &x.shards[hash>>(64-shardBits)]
	s.mu.Lock()
	return s
}

// Unlock ends what Lock began.
func (s *Shard) Unlock() { s.mu.Unlock() }

// A Probe walks over the numbers whose tag is that of a hash.
type Probe struct {
	slots []uint64
	at    uint64
	tag   uint64
}

// Find returns a probe for a hash.
func (x *Index) Find(hash uint64) Probe {
	t := x.shards[hash>>(64-shardBits)].table.Load()
	tag := uint64(uint32(hash))
	return Probe{t.slots, tag * t.home >> 32, tag}
}

// Next returns the next number, which may stand for another hash with the same tag.
func (p *Probe) Next() (number uint32, ok bool) {
	for {
		s := atomic.LoadUint64(&p.slots[p.at])
		if s == 0 {
			return 0, false
		}
		p.at++
		if s>>32 == p.tag && uint32(s) != removed {
			return uint32(s) - 1, true
		}
	}
}

// Insert adds a number below Limit. The caller has locked the shard of the hash and found that the number is not there.
func (s *Shard) Insert(hash uint64, number uint32) {
	slot := uint64(uint32(hash))<<32 | uint64(number+1)
	for !s.table.Load().put(slot, s) {
		s.rebuild()
	}
	s.live++
}

func (t *table) put(slot uint64, s *Shard) bool {
	if uint64(s.live+s.gone)*8 >= t.home*7 {
		return false
	}
	for p := (slot >> 32) * t.home >> 32; p < uint64(len(t.slots))-1; p++ {
		old := t.slots[p]
		if old != 0 && uint32(old) != removed {
			continue
		}
		if old != 0 {
			s.gone--
		}
		atomic.StoreUint64(&t.slots[p], slot)
		return true
	}
	return false
}

// Remove takes a number out. The caller has locked the shard of the hash.
func (s *Shard) Remove(hash uint64, number uint32) {
	t := s.table.Load()
	slot := uint64(uint32(hash))<<32 | uint64(number+1)
	for p := (slot >> 32) * t.home >> 32; t.slots[p] != 0; p++ {
		if t.slots[p] != slot {
			continue
		}
		atomic.StoreUint64(&t.slots[p], slot|removed)
		s.live--
		s.gone++
		if s.gone > s.live+firstHome {
			s.rebuild()
		}
		return
	}
}

// rebuild moves what is left into a table that has room for a quarter more, or half of it if that is enough.
func (s *Shard) rebuild() {
	old := s.table.Load()
	home := max(firstHome, int(old.home))
	switch {
	case uint64(s.live)*8 >= old.home*5:
		home = home*5/4 + 8
	case uint64(s.live)*3 < old.home:
		home = max(firstHome, s.live*3/2)
	case s.gone == 0: // A cluster at the end.
		home += home/8 + 8
	}
	for {
		t := newTable(home)
		if t.fill(old) {
			s.gone = 0
			s.table.Store(t)
			return
		}
		home += home/8 + 8
	}
}

func (t *table) fill(old *table) bool {
	for _, slot := range old.slots {
		if slot == 0 || uint32(slot) == removed {
			continue
		}
		p := (slot >> 32) * t.home >> 32
		for t.slots[p] != 0 {
			p++
		}
		if p >= uint64(len(t.slots))-1 {
			return false
		}
		t.slots[p] = slot
	}
	return true
}

// Size returns how many numbers there are and how many bytes the slots take.
func (x *Index) Size() (numbers int, bytes int64) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		numbers += s.live
		bytes += int64(len(s.table.Load().slots)) * 8
		s.mu.Unlock()
	}
	return numbers, bytes
}
