package active

import "unsafe"

// Memory is the bytes that the parts of a head take.
type Memory struct {
	Series int64 // Not bytes: how many.
	Pairs  int64 // Not bytes: how many.

	Index       int64 // Slots of the series index.
	Records     int64
	Stripes     int64 // Locks and groups.
	Blocks      int64 // Chunks beside the newest bytes in the records.
	BlocksFree  int64 // Of Blocks.
	LabelSets   int64
	SetsFree    int64 // Of LabelSets.
	PairStrings int64
	StringsFree int64 // Of PairStrings.
	PairIndex   int64
	PairArrays  int64
	Runs        int64 // Postings of a few runs.
	Bitmaps     int64 // Postings of many.
	Aside       int64 // Samples out of order and histograms, about.
	Matched     int64 // Cache of matched values.
}

// Total is the sum.
func (m Memory) Total() int64 {
	return m.Index + m.Records + m.Stripes + m.Blocks + m.LabelSets + m.PairStrings + m.PairIndex + m.PairArrays +
		m.Runs + m.Bitmaps + m.Aside + m.Matched
}

// Trim gives memory of chunks that were flushed back to the system. It is for after a peak: what is needed again must be
// had from the system again. Writers wait for it, 10 ms for a million free blocks or so.
func (h *Head) Trim() { h.blocks.trim() }

// SampleBytes is the memory of samples that a flush frees.
func (h *Head) SampleBytes() int64 {
	held, free := h.blocks.size()
	return held - free + h.asideBytes.Load()
}

// FreeSampleBytes is the memory of samples that were flushed, as far as Trim has not given it back.
func (h *Head) FreeSampleBytes() int64 {
	_, free := h.blocks.size()
	return free
}

// Memory counts.
func (h *Head) Memory() Memory {
	p := h.pairs.Memory()
	groups := int64(h.Groups())
	m := Memory{
		Series: h.series.Load(), Pairs: int64(p.Pairs),
		Records:     groups * GroupSize * int64(unsafe.Sizeof(record{})),
		Stripes:     groups / stripeGroups * int64(unsafe.Sizeof(stripe{})),
		PairStrings: p.Strings, StringsFree: p.Free, PairIndex: p.Index, PairArrays: p.Arrays,
		Runs: p.Runs, Bitmaps: p.Bitmaps,
		Aside: h.asideBytes.Load(), Matched: h.matched.size(),
	}
	_, m.Index = h.index.Size()
	m.Blocks, m.BlocksFree = h.blocks.size()
	m.LabelSets, m.SetsFree = h.sets.Size()
	return m
}
