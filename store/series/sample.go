// Package series is in-memory runs of samples and the iterators over them, with the small parts of the storage contract
// that are the same for every backend: sets, chunks, bounded exemplars and the count of what series cost.
package series

import (
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// A Sample is one item of a series: a float, an integer histogram or a float histogram. At most one of Int and Float is
// set; the sample is a float if neither is.
type Sample struct {
	Timestamp int64 // Milliseconds since the Unix epoch.
	Start     int64 // When the counter began, in milliseconds since the Unix epoch; 0 if not known.
	Value     float64
	Int       *histogram.Histogram
	Float     *histogram.FloatHistogram
}

// Type returns the kind of s; it is never chunkenc.ValNone.
func (s *Sample) Type() chunkenc.ValueType {
	switch {
	case s.Int != nil:
		return chunkenc.ValHistogram
	case s.Float != nil:
		return chunkenc.ValFloatHistogram
	default:
		return chunkenc.ValFloat
	}
}

// A Run is samples with ascending timestamps, each of which occurs once. It and its histograms do not change once others
// can see it, so that any number of goroutines may read it.
type Run []Sample

// AppendBatch appends the samples and histograms of one series of a batch to dst, in the order in which they take
// precedence: floats before histograms, each in the order of the writer. The result shares no memory with b.
func AppendBatch(dst []Sample, b *metric.Batch, s *metric.Series) []Sample {
	for _, v := range b.Samples[s.Samples.Start:s.Samples.End] {
		dst = append(dst, Sample{Timestamp: v.Timestamp, Start: v.Start, Value: v.Value})
	}
	for i := s.Histograms.Start; i < s.Histograms.End; i++ {
		dst = append(dst, FromHistogram(&b.Histograms[i]))
	}
	return dst
}

// FromHistogram returns a sample with a deep copy of h.
//
// A counter-reset hint "no reset" is not kept: it is a statement about the neighbour that the writer saw, and a sample
// that arrives later may come between. Readers then find out by comparing the neighbours.
func FromHistogram(h *metric.Histogram) Sample {
	s := Sample{Timestamp: h.Timestamp, Start: h.Start}
	switch {
	case h.Int != nil:
		s.Int = h.Int.Copy()
		s.Int.CustomValues = slices.Clone(s.Int.CustomValues) // Copy shares them.
		s.Int.CounterResetHint = keptHint(s.Int.CounterResetHint)
	case h.Float != nil:
		s.Float = h.Float.Copy()
		s.Float.CustomValues = slices.Clone(s.Float.CustomValues)
		s.Float.CounterResetHint = keptHint(s.Float.CounterResetHint)
	}
	return s
}

func keptHint(h histogram.CounterResetHint) histogram.CounterResetHint {
	if h == histogram.NotCounterReset {
		return histogram.UnknownCounterReset
	}
	return h
}

// Sort turns samples in the order of their arrival into a run, in place. Of those with equal timestamps the last one
// stays.
func Sort(arrived []Sample) Run {
	sorted := true
	for i := 1; i < len(arrived); i++ {
		if arrived[i-1].Timestamp >= arrived[i].Timestamp {
			sorted = false
			break
		}
	}
	if sorted {
		return arrived
	}
	sort.SliceStable(arrived, func(i, j int) bool { return arrived[i].Timestamp < arrived[j].Timestamp })
	keep := 0
	for i := range arrived {
		if keep > 0 && arrived[keep-1].Timestamp == arrived[i].Timestamp {
			keep--
		}
		arrived[keep] = arrived[i]
		keep++
	}
	clear(arrived[keep:])
	return arrived[:keep]
}

// Merge returns the samples of all runs in one. Of samples with equal timestamps, that of the later run stays. The
// result may share memory with one of the runs.
func Merge(runs ...Run) Run {
	var out Run
	for _, r := range runs {
		out = merge(out, r)
	}
	return out
}

func merge(old, late Run) Run {
	switch {
	case len(late) == 0:
		return old
	case len(old) == 0:
		return late
	}
	out := make(Run, 0, len(old)+len(late))
	for len(old) > 0 && len(late) > 0 {
		switch {
		case old[0].Timestamp < late[0].Timestamp:
			n := before(old, late[0].Timestamp)
			out, old = append(out, old[:n]...), old[n:]
		case old[0].Timestamp == late[0].Timestamp:
			old = old[1:]
		default:
			n := before(late, old[0].Timestamp)
			out, late = append(out, late[:n]...), late[n:]
		}
	}
	return append(append(out, old...), late...)
}

// before returns the number of samples of r before t.
func before(r Run, t int64) int {
	return sort.Search(len(r), func(i int) bool { return r[i].Timestamp >= t })
}

// Between returns the part of r that lies in the range. It shares r's memory.
func (r Run) Between(in store.Range) Run {
	if in.Min > in.Max {
		return nil
	}
	start := before(r, in.Min)
	end := start + sort.Search(len(r)-start, func(i int) bool { return r[start+i].Timestamp > in.Max })
	return r[start:end:end]
}

// Around returns the part of r that lies in the range, with the sample before the range, as NewIn wants it. It shares r's
// memory.
func (r Run) Around(in store.Range) Run {
	end := sort.Search(len(r), func(i int) bool { return r[i].Timestamp > in.Max })
	start := max(before(r[:end], in.Min)-1, 0)
	return r[start:end:end]
}

// Without returns a copy of r that lacks what lies in the range.
func (r Run) Without(in store.Range) Run {
	if in.Min > in.Max {
		return slices.Clone(r)
	}
	start := before(r, in.Min)
	end := start + len(r.Between(in))
	return slices.Concat(r[:start], r[end:])
}
