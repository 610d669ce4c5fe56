// Package slab is memory for large arrays without pointers, outside the Go heap where the system grants it.
//
// The collector neither scans what lies there nor lets it count when it decides on its next cycle.
package slab

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	// ErrFull reports that a slab has as many elements as it may have.
	ErrFull = errors.New("slab: full")
	// ErrTooLong reports a string that is too long for an arena.
	ErrTooLong = errors.New("slab: string is too long")
)

// A Memory is where slabs take their segments from, and gives all of them back at once.
type Memory struct {
	inHeap  bool
	refused atomic.Bool

	mu     sync.Mutex
	mapped [][]byte
}

// NewMemory returns a source of segments. inHeap keeps them in the Go heap: the race detector sees nothing else.
func NewMemory(inHeap bool) *Memory { return &Memory{inHeap: inHeap} }

// Refused reports that the system refused a mapping, so that some segments lie in the Go heap.
func (m *Memory) Refused() bool { return m.refused.Load() }

// Close unmaps all segments. No slab of m may be used any more, and no slice that came from one.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, b := range m.mapped {
		if err := unix.Munmap(b); err != nil {
			errs = append(errs, fmt.Errorf("slab: unmap: %w", err))
		}
	}
	m.mapped = nil
	return errors.Join(errs...)
}

// mapping returns zeroed memory outside the heap, or nil. If it is small, little of it will be used perhaps.
func (m *Memory) mapping(size int, small bool) unsafe.Pointer {
	if m.inHeap {
		return nil
	}
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		m.refused.Store(true)
		return nil
	}
	if small {
		// Where large pages are the rule, one for the first element of each slab would be most of what an empty head
		// takes. A system that does not know them may refuse.
		_ = unix.Madvise(b, unix.MADV_NOHUGEPAGE)
	}
	m.mu.Lock()
	m.mapped = append(m.mapped, b)
	m.mu.Unlock()
	return unsafe.Pointer(unsafe.SliceData(b))
}

// A Slab is an array that grows by segments and never moves. T holds no pointers.
//
// Reading and writing elements is up to the caller's own locks; Grow is for one goroutine at a time, and elements may be
// used by those who learn of their existence after it.
type Slab[T any] struct {
	mem      *Memory
	bits     uint
	mask     uint32
	segments []unsafe.Pointer
	mapped   []bool
	count    int // Segments that exist.
}

// New returns an empty slab of at most segments of 1<<bits elements each.
func New[T any](mem *Memory, bits uint, segments int) *Slab[T] {
	return &Slab[T]{
		mem: mem, bits: bits, mask: 1<<bits - 1,
		segments: make([]unsafe.Pointer, segments), mapped: make([]bool, segments),
	}
}

func (s *Slab[T]) size() uintptr {
	var zero T
	return unsafe.Sizeof(zero)
}

// At returns element i, which Grow must have made.
func (s *Slab[T]) At(i uint32) *T {
	var zero T
	return (*T)(unsafe.Add(s.segments[i>>s.bits], uintptr(i&s.mask)*unsafe.Sizeof(zero)))
}

// Slice returns n elements from i, which must lie in one segment.
func (s *Slab[T]) Slice(i, n uint32) []T { return unsafe.Slice(s.At(i), n) }

// Segment is the number of elements of a segment.
func (s *Slab[T]) Segment() uint32 { return s.mask + 1 }

// Grow makes the elements below n exist, all zero at first. It fails with ErrFull.
func (s *Slab[T]) Grow(n uint64) error {
	need := int((n + uint64(s.mask)) >> s.bits)
	if need > len(s.segments) {
		return fmt.Errorf("%w: %d elements, the limit is %d", ErrFull, n, len(s.segments)<<s.bits)
	}
	for ; s.count < need; s.count++ {
		p := s.mem.mapping(int(s.size())<<s.bits, s.count == 0)
		s.mapped[s.count] = p != nil
		if p == nil {
			p = unsafe.Pointer(unsafe.SliceData(make([]T, 1<<s.bits)))
		}
		s.segments[s.count] = p
	}
	return nil
}

// Release gives the memory of n elements from i back as far as whole pages lie within. Their content is zero or as it
// was before. Nobody may use them meanwhile. The elements must lie in one segment.
func (s *Slab[T]) Release(i, n uint32) error {
	if !s.mapped[i>>s.bits] {
		return nil
	}
	const page = 4096
	start := uintptr(i&s.mask) * s.size()
	end := start + uintptr(n)*s.size()
	start = (start + page - 1) &^ (page - 1)
	end &^= page - 1
	if start >= end {
		return nil
	}
	all := unsafe.Slice((*byte)(s.segments[i>>s.bits]), int(s.size())<<s.bits)
	if err := unix.Madvise(all[start:end], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("slab: release: %w", err)
	}
	return nil
}
