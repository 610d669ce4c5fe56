// Package metric is the one form that every write becomes: a batch of series with samples, native histograms,
// exemplars and metadata, and the rules that say which of them are taken.
package metric

import (
	"github.com/prometheus/prometheus/model/histogram"
)

// A Sample is one float value of a series.
type Sample struct {
	Timestamp int64 // Milliseconds since the Unix epoch.
	Start     int64 // When the counter began, in milliseconds since the Unix epoch; 0 if the writer did not say.
	Value     float64
}

// A Histogram is one native histogram of a series. Exactly one of Int and Float is set.
type Histogram struct {
	Timestamp int64 // Milliseconds since the Unix epoch.
	Start     int64 // When the histogram began, in milliseconds since the Unix epoch; 0 if the writer did not say.
	Int       *histogram.Histogram
	Float     *histogram.FloatHistogram
}

// An Exemplar is an example of what a series counts, usually a trace.
type Exemplar struct {
	Timestamp int64 // Milliseconds since the Unix epoch.
	Value     float64
	Labels    []byte // Canonical encoding, see EncodeLabels; may be empty. Belongs to the batch.
}

// Metadata describes a metric family of a tenant. The last one written wins.
type Metadata struct {
	Family string // Metric family name.
	Type   string // As in the Prometheus API: counter, gauge, histogram, gaugehistogram, summary, info, stateset, unknown.
	Help   string
	Unit   string
}

// A Span is a half-open range of indices [Start, End) into one of the slices of a Batch.
type Span struct{ Start, End int }

// Len is the number of indices in s.
func (s Span) Len() int { return s.End - s.Start }

// A Series is one series of a batch. Several series of a batch may have the same labels.
type Series struct {
	// Labels is the canonical encoding of the labels, __name__ among them, sorted, without duplicates and without empty
	// values. It belongs to the batch.
	Labels []byte

	// Hash is Batch.Hasher's hash of Labels: equal hashes of one hasher mean equal labels.
	Hash Hash

	Samples    Span // In Batch.Samples, in the writer's order.
	Histograms Span // In Batch.Histograms, in the writer's order.
	Exemplars  Span // In Batch.Exemplars.

	// Origin is the index of the series in the request, as its sender counts.
	Origin int

	// Vetted says that Labels are known to keep the rules that Batch.Vet was called with.
	Vetted bool
}

// A Batch is a write request after decoding. Its slices share a few arenas, so that a reused batch allocates nothing:
// nothing in it may be kept after Reset.
type Batch struct {
	Series     []Series
	Samples    []Sample
	Histograms []Histogram
	Exemplars  []Exemplar
	Metadata   []Metadata

	hasher Hasher
	arena  []byte
	vetted Rules // What Series.Vetted is about.
}

// NewBatch returns an empty batch whose series are identified by hasher.
func NewBatch(hasher Hasher) *Batch { return &Batch{hasher: hasher} }

// Hasher returns what computed Series.Hash.
func (b *Batch) Hasher() Hasher { return b.hasher }

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Histograms) // They hold pointers.
	clear(b.Metadata)
	b.Series, b.Samples, b.Histograms = b.Series[:0], b.Samples[:0], b.Histograms[:0]
	b.Exemplars, b.Metadata, b.arena = b.Exemplars[:0], b.Metadata[:0], b.arena[:0]
}

// Vet says which rules Series.Vetted is about. No series may be vetted for others.
func (b *Batch) Vet(r *Rules) { b.vetted = *r }

// Alloc returns n bytes of the batch's arena for the caller to fill. They live until Reset.
func (b *Batch) Alloc(n int) []byte {
	b.Reserve(n)
	return b.Take(n)
}

// Reserve returns n bytes of the batch's arena for the caller to fill, of which those live on that Take takes.
func (b *Batch) Reserve(n int) []byte {
	if cap(b.arena)-len(b.arena) < n {
		// The old arena stays alive through the slices that point into it.
		b.arena = make([]byte, 0, max(2*cap(b.arena), n, 4096))
	}
	start := len(b.arena)
	return b.arena[start : start+n]
}

// Take takes the first n bytes of what Reserve returned. They live until Reset.
func (b *Batch) Take(n int) []byte {
	start := len(b.arena)
	b.arena = b.arena[:start+n]
	return b.arena[start : start+n : start+n]
}

// StartSeries adds a series with the given canonical labels and no items. What AddSample, AddHistogram and AddExemplar
// add then belongs to it. labels must live until Reset: take it from Alloc, or from the request's own buffer.
func (b *Batch) StartSeries(labels []byte, origin int) {
	n := len(b.Series)
	if n < cap(b.Series) {
		b.Series = b.Series[:n+1]
	} else {
		b.Series = append(b.Series, Series{})
	}
	s := &b.Series[n] // Field by field: a literal would be made elsewhere and copied.
	s.Labels = labels
	s.Hash = b.hasher.Sum(labels)
	s.Samples = Span{len(b.Samples), len(b.Samples)}
	s.Histograms = Span{len(b.Histograms), len(b.Histograms)}
	s.Exemplars = Span{len(b.Exemplars), len(b.Exemplars)}
	s.Origin, s.Vetted = origin, false
}

// AddSample adds a sample to the newest series.
func (b *Batch) AddSample(s Sample) {
	b.Samples = append(b.Samples, s)
	b.Series[len(b.Series)-1].Samples.End++
}

// AddHistogram adds a native histogram to the newest series.
func (b *Batch) AddHistogram(h Histogram) {
	b.Histograms = append(b.Histograms, h)
	b.Series[len(b.Series)-1].Histograms.End++
}

// AddExemplar adds an exemplar to the newest series.
func (b *Batch) AddExemplar(e Exemplar) {
	b.Exemplars = append(b.Exemplars, e)
	b.Series[len(b.Series)-1].Exemplars.End++
}

// Counts tells how many items b holds. Items cut off from their series are not counted.
func (b *Batch) Counts() Counts {
	c := Counts{Metadata: len(b.Metadata)}
	for i := range b.Series {
		c.Add(b.Series[i].Counts())
	}
	return c
}

// Counts tells how many items s has.
func (s *Series) Counts() Counts {
	return Counts{Samples: s.Samples.Len(), Histograms: s.Histograms.Len(), Exemplars: s.Exemplars.Len()}
}

// Counts numbers the items of a batch or of a part of it.
type Counts struct{ Samples, Histograms, Exemplars, Metadata int }

// Add adds d to c.
func (c *Counts) Add(d Counts) {
	c.Samples += d.Samples
	c.Histograms += d.Histograms
	c.Exemplars += d.Exemplars
	c.Metadata += d.Metadata
}

// Sub takes d from c.
func (c *Counts) Sub(d Counts) {
	c.Samples -= d.Samples
	c.Histograms -= d.Histograms
	c.Exemplars -= d.Exemplars
	c.Metadata -= d.Metadata
}

// Total is the number of all items.
func (c Counts) Total() int { return c.Samples + c.Histograms + c.Exemplars + c.Metadata }
