package slab

import (
	"fmt"
	"sync"
	"unsafe"
)

const (
	granule     = 4  // Bytes. An offset counts granules, so that 32 bits reach 16 GiB.
	exact       = 64 // Sizes of up to so many granules have a free list each.
	arenaBits   = 20 // Granules of a segment: 4 MiB.
	arenaLimit  = 1 << 10
	coarse      = 64
	maxArenaLen = granule << (arenaBits - 1)
)

// An Arena holds byte strings of any length. They can be freed one by one; space is used again for strings of about the
// same length. Its methods may be called concurrently, Bytes without a lock.
type Arena struct {
	granules *Slab[uint32]

	mu     sync.Mutex
	next   uint64
	free   [exact + 1]uint32
	large  map[uint32]uint32 // Free lists of larger sizes.
	held   int64             // Granules.
	unused int64             // Granules in free lists.
}

// NewArena returns an empty arena. Offset 0 is never used.
func NewArena(mem *Memory) *Arena {
	return &Arena{granules: New[uint32](mem, arenaBits, arenaLimit), next: 1, large: map[uint32]uint32{}}
}

// class is the number of granules that n bytes take.
func class(n int) uint32 {
	g := uint32(max(n, 1)+granule-1) / granule
	if g > exact {
		g = (g + coarse - 1) / coarse * coarse
	}
	return g
}

// Put stores a copy of b and returns its offset. It fails with ErrTooLong, for more than 2 MiB, and
// with ErrFull.
func (a *Arena) Put(b []byte) (uint32, error) {
	if len(b) > maxArenaLen {
		return 0, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLong, len(b), maxArenaLen)
	}
	a.mu.Lock()
	off, err := a.take(class(len(b)))
	a.mu.Unlock()
	if err != nil {
		return 0, err
	}
	copy(a.Bytes(off, len(b)), b)
	return off, nil
}

func (a *Arena) take(g uint32) (uint32, error) {
	if off := a.pop(g); off != 0 {
		a.unused -= int64(g)
		return off, nil
	}
	segment := uint64(a.granules.Segment())
	if left := segment - a.next%segment; left < uint64(g) {
		for ; left > 0; left = segment - a.next%segment {
			piece := uint32(min(left, exact))
			a.push(uint32(a.next), piece)
			a.unused += int64(piece)
			a.held += int64(piece)
			a.next += uint64(piece)
			if a.next%segment == 0 {
				break
			}
		}
	}
	if err := a.granules.Grow(a.next + uint64(g)); err != nil {
		return 0, err
	}
	off := uint32(a.next)
	a.next += uint64(g)
	a.held += int64(g)
	return off, nil
}

func (a *Arena) pop(g uint32) uint32 {
	if g <= exact {
		off := a.free[g]
		if off != 0 {
			a.free[g] = *a.granules.At(off)
		}
		return off
	}
	off := a.large[g]
	if off != 0 {
		a.large[g] = *a.granules.At(off)
	}
	return off
}

func (a *Arena) push(off, g uint32) {
	if g <= exact {
		*a.granules.At(off) = a.free[g]
		a.free[g] = off
		return
	}
	*a.granules.At(off) = a.large[g]
	a.large[g] = off
}

// Free takes back the string of n bytes at off. Nobody may read it any more.
func (a *Arena) Free(off uint32, n int) {
	g := class(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.push(off, g)
	a.unused += int64(g)
}

// Bytes returns n bytes from off. They must not be changed.
func (a *Arena) Bytes(off uint32, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(a.granules.At(off))), n)
}

// After returns all bytes from off to the end of its segment, for a reader that learns the length from the first ones.
func (a *Arena) After(off uint32) []byte {
	left := a.granules.Segment() - off&(a.granules.Segment()-1)
	return a.Bytes(off, int(left)*granule)
}

// Size returns how many bytes were handed out and how many of those were taken back.
func (a *Arena) Size() (held, free int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held * granule, a.unused * granule
}
