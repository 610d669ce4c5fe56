package postings

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// A Run is adjacent references: the first in the high 32 bits, their number in the low ones.
type Run uint64

// RunOf returns the run of n references from start.
func RunOf(start, n uint32) Run { return Run(start)<<32 | Run(n) }

// Start is the first reference.
func (r Run) Start() uint32 { return uint32(r >> 32) }

// Len is the number of references.
func (r Run) Len() uint32 { return uint32(r) }

// End is the first reference after the run.
func (r Run) End() uint64 { return uint64(r.Start()) + uint64(r.Len()) }

// A Set is references to take out of postings.
type Set struct {
	runs   []Run // Ascending, with gaps between.
	bitmap *roaring.Bitmap
}

// NewSet returns the set of the given references, in any order.
func NewSet(refs []uint32) *Set {
	refs = slices.Clone(refs)
	slices.Sort(refs)
	s := &Set{bitmap: roaring.New()}
	for _, ref := range refs {
		if n := len(s.runs); n > 0 && s.runs[n-1].End() == uint64(ref) {
			s.runs[n-1]++
		} else if n == 0 || s.runs[n-1].End() < uint64(ref) {
			s.runs = append(s.runs, RunOf(ref, 1))
		}
	}
	for _, r := range s.runs {
		s.bitmap.AddRange(uint64(r.Start()), r.End())
	}
	return s
}

// cut appends to dst what s leaves of a run, and reports whether it takes anything.
func (s *Set) cut(dst []Run, r Run) (out []Run, taken bool) {
	at, _ := slices.BinarySearchFunc(s.runs, uint64(r.Start()), func(x Run, start uint64) int {
		if x.End() <= start {
			return -1
		}
		return 1
	})
	start, end := uint64(r.Start()), r.End()
	for ; at < len(s.runs) && uint64(s.runs[at].Start()) < end; at++ {
		taken = true
		if gap := uint64(s.runs[at].Start()); gap > start {
			dst = append(dst, RunOf(uint32(start), uint32(gap-start)))
		}
		start = max(start, s.runs[at].End())
	}
	if start < end {
		dst = append(dst, RunOf(uint32(start), uint32(end-start)))
	}
	return dst, taken
}

// insert appends to dst the runs with one more reference, which is not among them.
func insert(dst, runs []Run, ref uint32) []Run {
	at, _ := slices.BinarySearchFunc(runs, ref, func(x Run, ref uint32) int {
		if x.Start() < ref {
			return -1
		}
		return 1
	})
	dst = append(dst, runs[:at]...)
	if n := len(dst); n > 0 && dst[n-1].End() == uint64(ref) {
		dst[n-1]++
	} else {
		dst = append(dst, RunOf(ref, 1))
	}
	if at < len(runs) && runs[at].Start() == ref+1 {
		dst[len(dst)-1] += Run(runs[at].Len())
		at++
	}
	return append(dst, runs[at:]...)
}
